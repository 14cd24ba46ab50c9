/* SPDX-License-Identifier: MIT */
/*
 * memcached over TCP at the hook: framing (frame_command), the answer to `get` when every key is hot
 * (answer_get), and the invalidation that any other command asks for. Inline, because sk_skb programs have no
 * BPF_PROG_TEST_RUN: memcached_skb.bpf.c wraps them for the socket, memcached_skb_twin.bpf.c for tests.
 *
 * The framing rule. Behind us stands a server that reads the same bytes, and we must cut where it does: bytes
 * of a value must never be taken for a command. Only the storage commands and ms have a value. Their lines
 * are framed if they are of the plain form whose reading is beyond doubt; where the server might refuse the
 * line and then not wait for a value, the connection belongs to userspace for its life.
 */
#ifndef MEMCACHED_SKB_H
#define MEMCACHED_SKB_H

#include "memcached_writes.h"

#define LINE_MAX 4096
#define SERVER_LINE_MAX 2048 /* memcached waits no longer for the end of a line, unless it is a get's */
#define STORE_LINE_MAX 384 /* key, numbers and flags fit */
#define META_TOKENS_MAX 15 /* flags of an ms; memcached refuses lines of more, without a value */
#define REPLY_MAX 7000 /* no value begins behind so many bytes of a reply */
#define WRITE_LINE_MAX 2040 /* what take_command looks at */

#define REFUSE_FRAME (-86) /* -ESTRPIPE */

/* What userspace tells the pair of the connection whose bytes come next. */
struct mc_stream {
	u32 ordered; /* commands of it are under way in userspace: an answer from here would overtake theirs */
	u32 reserved;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct mc_stream);
} mc_stream SEC(".maps");

/* The reply as it grows, item by item; the packet is touched when it is complete. */
struct mc_reply {
	u32 len;
	u32 reserved;
	u8 bytes[8192];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct mc_reply);
} mc_reply SEC(".maps");
_Static_assert(REPLY_MAX + HOT_VALUE_MAX + 16 <= 8192, "the last value and END fit");

/* Offset past the first line feed; 0 if there is none in the first LINE_MAX bytes. Global: verified once. */
__attribute__((noinline)) int line_end(struct __sk_buff *skb)
{
	void *data, *end;
	u32 off = 0;

	PACKET(skb, data, end);
	for (u32 i = 0; i < LINE_MAX / 8; i++) {
		u64 marks;

		if (data + off + 8 > end)
			break;
		marks = bytes_equal(*(u64 *)(data + off), '\n');
		if (marks)
			return off + (first_byte_of(marks) & 7) + 1;
		off += 8;
	}
	for (u32 i = 0; i < 7; i++) {
		if (data + off + 1 > end)
			return 0;
		if (*(u8 *)(data + off) == '\n')
			return off + 1;
		off++;
	}
	return 0;
}

/* The words of a storage line after its command, as tables: a byte a word, the key first. */
struct line_form {
	u64 longest; /* bytes a word may have */
	u32 numeric; /* bit i: word i is a number */
	u32 value; /* the word that tells the value's length */
	u32 last; /* number of the last word, a noreply not counted */
	u32 last_max;
};
#define WORDS(a, b, c, d, e) ((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | (u64)(e) << 32)

/*
 * Length of the value that the storage line in the first `line` bytes announces, its words beginning at
 * `off`; negative if the line is not of the plain form. `kind`: 0 is set and its like, 1 cas, 2 ms.
 */
__attribute__((noinline)) int store_value_len(struct __sk_buff *skb, u32 off, u32 line, u32 kind)
{
	struct line_form form = {
		.longest = WORDS(HOT_KEY_MAX, 10, 10, 9, 18), .numeric = 0x1e, .value = 3, .last = 3, .last_max = 3
	};
	u32 word = 0, len = 0, minus = 0, bad = 0, value = 0;
	void *data, *end;
	void *p;

	if (kind == 1)
		form.last = form.last_max = 4;
	if (kind == 2) {
		form.longest = WORDS(HOT_KEY_MAX, 9, 255, 255, 255) | ~0ull << 40;
		form.numeric = 2;
		form.value = 1;
		form.last = 1;
		form.last_max = 1 + META_TOKENS_MAX;
	}
	PACKET(skb, data, end);
	asm volatile("" : "+r"(off), "+r"(line));
	if (off > 8 || line < 8 || line > STORE_LINE_MAX)
		return -1;
	line -= 2;
	asm volatile("" : "+r"(line));
	p = data + line;
	if (p + 2 > end || *(u16 *)p != CH2('\r', '\n'))
		return -1;
	if (kind != 2 && line > 16) {
		p = data + (line - 8);
		if (p + 8 > end)
			return -1;
		if (*(u64 *)p == CH8(' ', 'n', 'o', 'r', 'e', 'p', 'l', 'y'))
			line -= 8;
	}
	for (u32 i = 0; i < STORE_LINE_MAX; i++) {
		u32 c, space, digit, sign, here, keep;

		p = data + off + i;
		if (off + i >= line || p + 1 > end)
			break;
		c = *(u8 *)p;
		space = EQUAL(c, ' ');
		here = form.numeric >> (word & 31) & 1;
		digit = ((c - '0') | ('9' - c)) >> 31 ^ 1;
		sign = EQUAL(c, '-') & EQUAL(word, 2) & here & EQUAL(len + minus, 0);
		bad |= space & EQUAL(len, 0); /* an empty word, or a sign alone */
		bad |= (space ^ 1) & here & (digit ^ 1) & (sign ^ 1);
		bad |= (space ^ 1) & LESS(c, ' ' + 1); /* NUL and its like end or hide things */
		keep = -(EQUAL(word, form.value) & digit);
		value = (value & ~keep) | ((value * 10 + c - '0') & keep);
		len += (space ^ 1) & (sign ^ 1);
		minus |= sign;
		bad |= LESS(form.longest >> (8 * (word & 7)) & 255, len);
		len &= -(space ^ 1);
		minus &= space ^ 1;
		word += space;
	}
	if (bad || len == 0 || word < form.last || word > form.last_max)
		return -1;
	return value;
}

static __always_inline int refuse(struct run_info *run, u32 reason)
{
	run->reason = reason;
	return REFUSE_FRAME;
}

/*
 * Length of the first command in the packet: its line and its value, where the value need not be here yet.
 * 0: more bytes are needed to tell. Negative: this cannot be framed, run->reason says why.
 */
static __always_inline int frame_command(struct __sk_buff *skb, struct run_info *run)
{
	void *data, *end;
	u32 n = skb->len, off = 0, kind = 0;
	int line, value;
	u64 word;

	run->reason = RUN_NEED_MORE;
	PACKET(skb, data, end);
	if (data + 1 > end)
		return n ? refuse(run, RUN_NOT_LINEAR) : 0;
	if ((u32)*(u8 *)data - 'a' > 'z' - 'a')
		return refuse(run, RUN_BAD_METHOD); /* spaces first, the binary protocol, nonsense */
	line = line_end(skb);
	if (line <= 0) {
		if (n <= SERVER_LINE_MAX)
			return 0;
		PACKET(skb, data, end);
		if (n > LINE_MAX || data + 8 > end ||
		    (*(u32 *)data != CH4('g', 'e', 't', ' ') && (*(u64 *)data & FIRST(5)) != CH8('g', 'e', 't', 's', ' ', 0, 0, 0)))
			return refuse(run, RUN_HEAD_TOO_LONG);
		return 0;
	}
	run->reason = RUN_FRAMED;
	run->head_len = line;
	PACKET(skb, data, end);
	if (data + 8 > end)
		return line; /* too short for a value */
	word = *(u64 *)data;
	if ((u32)word == CH4('g', 'e', 't', ' '))
		return line;
	if ((u32)word == CH4('s', 'e', 't', ' ') || (u32)word == CH4('a', 'd', 'd', ' ')) {
		off = 4;
	} else if ((u32)word == CH4('c', 'a', 's', ' ')) {
		off = 4;
		kind = 1;
	} else if ((word & FIRST(3)) == CH8('m', 's', ' ', 0, 0, 0, 0, 0)) {
		off = 3;
		kind = 2;
	} else if ((word & FIRST(7)) == CH8('a', 'p', 'p', 'e', 'n', 'd', ' ', 0)) {
		off = 7;
	} else if (word == CH8('p', 'r', 'e', 'p', 'e', 'n', 'd', ' ') ||
		   word == CH8('r', 'e', 'p', 'l', 'a', 'c', 'e', ' ')) {
		off = 8;
	} else {
		return line;
	}
	value = store_value_len(skb, off, line, kind);
	if (value < 0 || value > 999999999)
		return refuse(run, RUN_BAD_CONTENT_LENGTH);
	return line + value + 2;
}

static __always_inline int is_key_of(const struct hot_entry *entry, const u8 *key, u32 len)
{
	for (u32 i = 0; i < HOT_KEY_MAX / 8 + 1; i++) {
		u64 differ = *(u64 *)(entry->key + 8 * i) ^ *(u64 *)(key + 8 * i);
		u32 left = len - 8 * i;

		if (left <= 8)
			return differ << ((64 - 8 * left) & 63) == 0;
		if (differ)
			return 0;
	}
	return 0;
}

/* Writes n in decimal at reply[at]; returns the offset past it. For client flags, which are 0 nearly always. */
__attribute__((noinline)) u32 put_flags(u32 at, u32 n)
{
	u32 zero = 0, digits = 1;
	struct mc_reply *reply = bpf_map_lookup_elem(&mc_reply, &zero);
	u64 bound = 10;

	asm volatile("" : "+r"(at));
	if (!reply || at > REPLY_MAX)
		return 0;
	for (u32 i = 0; i < 9; i++) {
		digits += n >= bound;
		bound *= 10;
	}
	for (u32 i = 0; i < 10; i++) {
		if (i >= digits)
			break;
		reply->bytes[at + ((digits - 1 - i) & 15)] = '0' + n % 10;
		n /= 10;
	}
	return at + digits;
}

/*
 * Looks the key at `off` up and appends its item to the reply. Negative: the reason why this get must be
 * passed. Else the offset past the key and its delimiter, LAST_ITEM added at the end of the line.
 */
#define LAST_ITEM 0x10000
__attribute__((noinline)) int take_item(struct __sk_buff *skb, u32 off)
{
	void *data, *end;
	u32 zero = 0, hash = FNV_OFFSET, slot, at, len, value_len, flags, found, i;
	struct mc_reply *reply = bpf_map_lookup_elem(&mc_reply, &zero);
	struct run_info *info = bpf_map_lookup_elem(&run_info, &zero);
	struct hot_entry *entry;
	u64 expires;
	u8 *key;
	void *p;
	u32 next;

	PACKET(skb, data, end);
	asm volatile("" : "+r"(off));
	if (!reply || !info || off > LINE_MAX)
		return -RUN_KEY_BYTES;
	at = reply->len;
	asm volatile("" : "+r"(at));
	if (at > REPLY_MAX - 300)
		return -RUN_NO_ROOM;
	*(u64 *)(reply->bytes + at) = CH8('V', 'A', 'L', 'U', 'E', ' ', 0, 0);
	at += 6;
	key = reply->bytes + at;
	for (i = 0; i <= HOT_KEY_MAX; i++) {
		u32 c;

		p = data + off + i;
		if (p + 1 > end)
			return -RUN_KEY_BYTES;
		c = *(u8 *)p;
		if (c <= ' ')
			break;
		key[i] = c;
		hash = (hash ^ c) * FNV_PRIME;
	}
	info->key_len = i;
	info->hash = hash;
	FORGET();
	len = info->key_len;
	if (len > HOT_KEY_MAX)
		return -RUN_KEY_TOO_LONG;
	if (len == 0)
		return -RUN_KEY_BYTES;
	next = off + len;
	p = data + next;
	if (p + 2 > end)
		return -RUN_KEY_BYTES;
	if (*(u8 *)p == ' ')
		next++;
	else if (*(u16 *)p == CH2('\r', '\n') && next + 2 == skb->len)
		next |= LAST_ITEM;
	else
		return -RUN_KEY_BYTES;

	slot = hot_slot(hash);
	info->slot = slot;
	entry = hot_look(hash, slot, &info->generation, &found);
	if (!entry)
		return -(int)found;
	found = RUN_RACED;
	value_len = entry->value_len;
	flags = entry->flags;
	expires = entry->expires_ns;
	if (value_len > HOT_VALUE_MAX)
		return -RUN_RACED;
	if (expires && expires <= bpf_ktime_get_ns())
		return -RUN_EXPIRED;
	key = reply->bytes + at;
	at += len;
	reply->bytes[at] = ' ';
	if (flags < 10) {
		reply->bytes[at + 1] = '0' + flags;
		at += 2;
	} else {
		info->scratch[0] = put_flags(at + 1, flags);
		FORGET();
		at = info->scratch[0];
		asm volatile("" : "+r"(at));
		if (at > REPLY_MAX)
			return -RUN_NO_ROOM;
	}
	reply->bytes[at] = ' ';
	i = 1 + (value_len >= 10) + (value_len >= 100) + (value_len >= 1000);
	at += i;
	reply->bytes[at] = '0' + value_len % 10;
	if (i > 1)
		reply->bytes[at - 1] = '0' + value_len / 10 % 10;
	if (i > 2)
		reply->bytes[at - 2] = '0' + value_len / 100 % 10;
	if (i > 3)
		reply->bytes[at - 3] = '1';
	*(u16 *)(reply->bytes + at + 1) = CH2('\r', '\n');
	info->scratch[0] = at + 3;
	FORGET();
	at = info->scratch[0];
	asm volatile("" : "+r"(at));
	if (at > REPLY_MAX)
		return -RUN_NO_ROOM;

	hot_hold(entry);
	if ((entry->state & HOT_VALID) && entry->hash == hash && entry->value_len == value_len &&
	    entry->flags == flags && entry->expires_ns == expires) {
		found = RUN_MISPREDICTION;
		if (entry->key_len == len && is_key_of(entry, key, len)) {
			for (i = 0; i < (HOT_VALUE_MAX + 7) / 8; i++) {
				if (8 * i >= value_len)
					break;
				*(u64 *)(reply->bytes + at + 8 * i) = *(u64 *)(entry->value + 8 * i);
			}
			found = RUN_HIT;
		}
	}
	hot_release(entry, found == RUN_HIT);
	if (found != RUN_HIT)
		return -(int)found;
	at += value_len;
	*(u16 *)(reply->bytes + at) = CH2('\r', '\n');
	reply->len = at + 2;
	info->value_len = value_len;
	return next;
}

/*
 * Answers the get in the packet if all its keys are hot: RUN_HIT, and the packet is the reply. Otherwise the
 * reason, and the packet is what it was.
 */
static __always_inline u32 answer_get(struct __sk_buff *skb, struct run_info *info, struct hot_stats *count)
{
	u32 zero = 0, off = 4, hits = 0, len;
	struct mc_reply *reply = bpf_map_lookup_elem(&mc_reply, &zero);
	int next = -RUN_NO_ROOM;

	if (!reply)
		return RUN_RACED;
	reply->len = 0;
	for (u32 i = 0; i < KEYS_MAX; i++) {
		next = take_item(skb, off);
		if (next < 0)
			break;
		hits++;
		off = next;
		if (next & LAST_ITEM)
			break;
	}
	if (next < 0) {
		if (hits)
			count->n[STAT_MC_PARTIAL]++;
		return -next;
	}
	if (!(next & LAST_ITEM))
		return RUN_NO_ROOM; /* more keys than are answered here */
	len = reply->len;
	asm volatile("" : "+r"(len));
	if (len > REPLY_MAX + HOT_VALUE_MAX + 2)
		return RUN_NO_ROOM;
	*(u32 *)(reply->bytes + len) = CH4('E', 'N', 'D', '\r');
	reply->bytes[len + 4] = '\n';
	len += 5;
	if (bpf_skb_change_tail(skb, len, 0))
		return RUN_NO_ROOM;
	if (bpf_skb_store_bytes(skb, 0, reply->bytes, len, 0))
		return RUN_RACED; /* cannot be: the packet has that size */
	count->n[STAT_MC_HIT] += hits;
	count->n[STAT_MC_TCP_HIT] += hits;
	count->n[STAT_MC_TCP_ANSWER]++;
	return RUN_HIT;
}

/* Any command but a get: drops what it writes. */
static __always_inline u32 watch_command(struct __sk_buff *skb, struct hot_stats *count)
{
	u32 zero = 0, n = skb->len;
	struct mc_text *text = bpf_map_lookup_elem(&mc_text, &zero);
	int taken;

	if (!text)
		return RUN_METHOD;
	if (n > WRITE_LINE_MAX)
		n = WRITE_LINE_MAX;
	text->wrote = 0;
	text->pending = 0;
	text->len = n;
	asm volatile("" : "+r"(n));
	if (n == 0)
		return RUN_METHOD;
	asm volatile("" : "+r"(n));
	if (n > WRITE_LINE_MAX || bpf_skb_load_bytes(skb, 0, text->bytes, n))
		n = 0;
	taken = n ? take_command(0) : 0;
	if (taken <= 0) {
		drop_all(); /* a line of that length: nobody knows what it does */
		text->wrote = 1;
	}
	if (!text->wrote)
		return RUN_METHOD;
	count->n[STAT_MC_TCP_WRITE]++;
	return RUN_WRITE;
}

static __always_inline int run_parser(struct __sk_buff *skb)
{
	u32 zero = 0;
	struct run_info *run = bpf_map_lookup_elem(&run_info, &zero);
	struct hot_stats *count = bpf_map_lookup_elem(&stats, &zero);
	int length;

	if (!run || !count)
		return REFUSE_FRAME;
	length = frame_command(skb, run);
	if (length > 0)
		count->n[STAT_MC_TCP_FRAMED]++;
	else if (length < 0)
		count->n[STAT_MC_TCP_UNFRAMED]++;
	return length;
}

static __always_inline void count_miss(struct hot_stats *count, u32 reason)
{
	count->n[STAT_MC_MISS]++;
	count->n[STAT_MC_TCP_MISS]++;
	if (reason == RUN_COLLISION)
		count->n[STAT_MC_COLLISION]++;
	if (reason == RUN_MISPREDICTION)
		count->n[STAT_MC_HIT_MISPREDICTION]++;
	if (reason == RUN_EXPIRED)
		count->n[STAT_MC_EXPIRED]++;
}

/* RUN_HIT when the packet is now the reply, else why it was left alone. */
static __always_inline u32 run_verdict(struct __sk_buff *skb)
{
	u32 zero = 0, reason;
	struct run_info *run = bpf_map_lookup_elem(&run_info, &zero);
	struct hot_stats *count = bpf_map_lookup_elem(&stats, &zero);
	struct mc_stream *stream = bpf_map_lookup_elem(&mc_stream, &zero);
	void *data, *end;

	if (!run || !count || !stream)
		return RUN_NONE;
	PACKET(skb, data, end);
	if (data + 4 > end && bpf_skb_pull_data(skb, skb->len))
		return RUN_NO_ROOM;
	PACKET(skb, data, end);
	if (data + 4 <= end && *(u32 *)data == CH4('g', 'e', 't', ' ')) {
		count->n[STAT_MC_GET_RECV]++;
		count->n[STAT_MC_TCP_GET]++;
		if (stream->ordered || is_bypassed()) {
			reason = RUN_RACED;
		} else {
			reason = answer_get(skb, run, count);
			if (reason >= RUN_COLD && reason <= RUN_RACED)
				count_miss(count, reason);
			else if (reason == RUN_NO_ROOM)
				count->n[STAT_MC_TOO_BIG]++;
			else if (reason != RUN_HIT)
				count->n[STAT_MC_UNSUPPORTED]++;
		}
	} else {
		reason = watch_command(skb, count);
	}
	run->reason = reason;
	return reason;
}

#endif
