/* SPDX-License-Identifier: MIT */
/*
 * What clients' commands write, for every program that watches them: take_command reads one command from
 * mc_text, drops what it writes and notes when that expires. What it cannot make out drops all entries.
 */
#ifndef MEMCACHED_WRITES_H
#define MEMCACHED_WRITES_H

#include "bytes.h"
#include "memcached.h"

/* Tells whoever called take_command that the command can change what a key holds. */
static __always_inline void note_write(void)
{
	u32 zero = 0;
	struct mc_text *text = bpf_map_lookup_elem(&mc_text, &zero);

	if (text)
		text->wrote = 1;
}

/* Notes that the key at text->bytes[pos] is written: drops it now, and again when the reply leaves. Returns
 * the offset past the key. `expires_ns` as in mc_expiry. */
__attribute__((noinline)) int write_key(u32 pos, u64 expires_ns)
{
	u32 zero = 0, hash = FNV_OFFSET, slot, i;
	struct mc_text *text = bpf_map_lookup_elem(&mc_text, &zero);
	u64 now;

	asm volatile("" : "+r"(pos));
	if (!text || pos > 2048)
		return -1;
	for (i = 0; i <= HOT_KEY_MAX; i++) {
		u32 c = text->bytes[pos + i];

		if (c <= ' ')
			break;
		hash = (hash ^ c) * FNV_PRIME;
	}
	text->scratch[0] = i;
	FORGET();
	slot = hot_slot(hash);
	drop_key(hash, slot);
	now = bpf_ktime_get_ns();
	bpf_map_update_elem(&mc_written, &slot, &now, BPF_ANY);
	if (expires_ns)
		bpf_map_update_elem(&mc_expiry, &hash, &expires_ns, BPF_ANY);
	else
		bpf_map_delete_elem(&mc_expiry, &hash);
	text->written[text->pending & 15] = hash;
	text->pending++;
	return pos + (text->scratch[0] & 255);
}

/* The decimal number in the field-th word (0 is the word at pos) before `end`; ~0 if there is none. */
__attribute__((noinline)) u32 number_at(u32 pos, u32 end, u32 field)
{
	u32 zero = 0, at = 0, n = 0, digits = 0, bad = 0;
	struct mc_text *text = bpf_map_lookup_elem(&mc_text, &zero);

	asm volatile("" : "+r"(pos));
	if (!text || pos > 2048)
		return ~0u;
	for (u32 i = 0; i < 384; i++) {
		u32 c = text->bytes[pos + i], is_space, here, keep;

		if (pos + i >= end)
			break;
		is_space = EQUAL(c, ' ') | EQUAL(c, '\r');
		at += is_space;
		here = EQUAL(at, field) & (is_space ^ 1);
		keep = -here;
		bad |= keep & (((c - '0') | (9 - (c - '0'))) >> 31);
		n = (n & ~keep) | ((n * 10 + c - '0') & keep);
		digits += here;
	}
	return digits == 0 || digits > 9 || bad ? ~0u : n;
}

/* When an item of this exptime is gone, at the earliest (memcached's clock ticks in seconds). */
static __always_inline u64 expiry_of(u32 exptime)
{
	if (exptime == 0)
		return 0;
	if (exptime > 60 * 60 * 24 * 30)
		return EXPIRY_UNKNOWN; /* negative, absolute or no number */
	return bpf_ktime_get_ns() + (u64)(exptime - 1) * 1000000000ull;
}

enum meta_flag { META_BASE64 = 1, META_EXPIRY = 2 };

/* Which of the flags b, T and N a meta command has in its words from the `first`-th on. */
__attribute__((noinline)) u32 meta_flags(u32 pos, u32 end, u32 first)
{
	u32 zero = 0, at = 0, found = 0, was_space = 0;
	struct mc_text *text = bpf_map_lookup_elem(&mc_text, &zero);

	asm volatile("" : "+r"(pos));
	if (!text || pos > 2048 || end - pos > 384)
		return META_BASE64 | META_EXPIRY;
	for (u32 i = 0; i < 384; i++) {
		u32 c = text->bytes[pos + i], is_space, here;

		if (pos + i >= end)
			break;
		is_space = EQUAL(c, ' ');
		here = was_space & (is_space ^ 1);
		at += here;
		here &= LESS(first, at + 1);
		found |= here & EQUAL(c, 'b');
		found |= (here & (EQUAL(c, 'T') | EQUAL(c, 'N'))) << 1;
		was_space = is_space;
	}
	return found;
}

/*
 * mg, ms, md, ma, mn, me; `what` is the second letter. A key in base64 drops all entries; an mg only writes
 * if it sets an expiry. Flags say what expires when, and how is not followed: such items stay cold for fills
 * that do not know.
 */
static __always_inline int take_meta(u32 pos, u32 end, u32 what)
{
	u32 flags, bytes;

	if (what == 'n' || what == 'e')
		return end + 1;
	flags = meta_flags(pos, end, what == 's' ? 3 : 2);
	if (what != 'g' || flags) {
		mc_count(STAT_MC_SET_RECV);
		if (flags & META_BASE64)
			drop_all();
		else if (write_key(pos + 3, EXPIRY_UNKNOWN) < 0)
			return -1;
		note_write();
	}
	if (what != 's')
		return end + 1;
	bytes = number_at(pos, end, 2);
	return end + 1 + (bytes < 0x7fffff00 ? bytes + 2 : 0);
}

/*
 * The command at text->bytes[pos]. Returns the offset past it and its data block; 0 if its line does not end
 * in what there is.
 */
__attribute__((noinline)) int take_command(u32 pos)
{
	u32 zero = 0, i, end, key = 0, size = 0, expires = 0, bytes;
	struct mc_text *text = bpf_map_lookup_elem(&mc_text, &zero);
	u64 word, marks = 0;
	int after;

	asm volatile("" : "+r"(pos));
	if (!text || pos > 2048)
		return -1;
	for (i = 0; i < 256; i++) {
		marks = bytes_equal(*(u64 *)(text->bytes + pos + 8 * i), '\n');
		if (marks || pos + 8 * i >= text->len)
			break;
	}
	if (!marks)
		return 0;
	text->scratch[1] = pos + 8 * i + first_byte_of(marks);
	FORGET();
	end = text->scratch[1];
	if (end >= text->len)
		return 0;

	word = *(u64 *)(text->bytes + pos);
	if ((word & FIRST(4)) == CH4('s', 'e', 't', ' ') || (word & FIRST(4)) == CH4('a', 'd', 'd', ' ') ||
	    (word & FIRST(4)) == CH4('c', 'a', 's', ' ')) {
		key = 4;
		size = 1;
	} else if ((word & FIRST(7)) == CH8('a', 'p', 'p', 'e', 'n', 'd', ' ', 0)) {
		key = 7;
		size = 2;
	} else if (word == CH8('p', 'r', 'e', 'p', 'e', 'n', 'd', ' ')) {
		key = 8;
		size = 2;
	} else if (word == CH8('r', 'e', 'p', 'l', 'a', 'c', 'e', ' ')) {
		key = 8;
		size = 1;
	} else if ((word & FIRST(7)) == CH8('d', 'e', 'l', 'e', 't', 'e', ' ', 0)) {
		key = 7;
	} else if ((word & FIRST(5)) == CH8('i', 'n', 'c', 'r', ' ', 0, 0, 0) ||
		   (word & FIRST(5)) == CH8('d', 'e', 'c', 'r', ' ', 0, 0, 0)) {
		key = 5;
		size = 3;
	} else if ((word & FIRST(6)) == CH8('t', 'o', 'u', 'c', 'h', ' ', 0, 0)) {
		key = 6;
	} else if (((word & FIRST(3)) & ~FIRST(2)) == (u64)' ' << 16 && (word & 0xff) == 'm') {
		return take_meta(pos, end, word >> 8 & 0xff);
	} else if ((word & FIRST(3)) == CH4('g', 'a', 't', 0)) {
		text->wrote = 1;
		drop_all(); /* keys follow the expiry, and all of them get it */
		return end + 1;
	} else if (word == CH8('f', 'l', 'u', 's', 'h', '_', 'a', 'l')) {
		u32 delay = number_at(pos, end, 1);
		struct mc_control *control = bpf_map_lookup_elem(&mc_control, &zero);

		text->wrote = 1;
		drop_all();
		if (control && delay != ~0u && delay)
			control->bypass_until_ns = bpf_ktime_get_ns() + (u64)(delay + 1) * 1000000000ull;
		return end + 1;
	} else {
		return end + 1;
	}

	text->wrote = 1;
	mc_count(STAT_MC_SET_RECV);
	if (size == 1)
		expires = number_at(pos, end, 3);
	else if (key == 6)
		expires = number_at(pos, end, 2);
	/* append, prepend, incr and decr keep the expiry an item has, which is then not known anew: cold. */
	after = write_key(pos + key, size == 2 || size == 3 ? EXPIRY_UNKNOWN : expiry_of(expires));
	if (after < 0)
		return -1;
	if (size != 1 && size != 2)
		return end + 1;
	bytes = number_at(pos, end, 4);
	return end + 1 + (bytes < 0x7fffff00 ? bytes + 2 : 0);
}

#endif
