/* SPDX-License-Identifier: MIT */
/*
 * One HTTP/1.1 request at the hook: framing (frame_request) and the answer to `GET /kv/<key>` (answer_get).
 * Inline functions, because sk_skb programs have no BPF_PROG_TEST_RUN: http_kv.bpf.c wraps them for the
 * socket, http_kv_twin.bpf.c for tests and benchmarks.
 *
 * The framing rule. Behind us stands Node's parser (llhttp), which reads the same bytes. Whatever it accepts,
 * we must cut at the same byte; so everything where two readings of RFC 9112 are known to differ is refused,
 * and the connection then belongs to userspace for its life. What llhttp answers with an error may be cut
 * anywhere, for it closes the connection.
 */
#ifndef HTTP_KV_H
#define HTTP_KV_H

#include "bytes.h"

#define HEAD_MAX 4096
#define HEAD_LINES 64
#define NAME_MAX 128 /* of a header's name */
#define REQUEST_MIN 18 /* "GET / HTTP/1.1" and two line ends */

#define REFUSE_FRAME (-86) /* -ESTRPIPE */

#define DATE_LEN 29

/* "Sun, 06 Nov 1994 08:49:37 GMT", written by userspace each second. */
struct http_date {
	char text[32];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct http_date);
} http_date SEC(".maps");

/* ASCII letters of a word to lower case. Other bytes change too, control bytes into printable ones: use the
 * result only to recognise what must be recognised; each byte is also checked unfolded by the scan. */
#define FOLD(w) ((w) | EVERY(0x20))

/* Bytes below 0x20, and 0x7f. */
static __always_inline u64 control_bytes(u64 w)
{
	return ((w - EVERY(0x20)) | (w + EVERY(1))) & ~w & EVERY(0x80);
}

/* Bytes other than A-Z a-z 0-9 - _. Exact for each byte. A name may also hold ! # $ % & ' * + . ^ ` | ~ (RFC 9110
 * §5.6.2), and hardly any does: such a connection goes to userspace. */
static __always_inline u64 not_name_bytes(u64 w)
{
	u64 low = w & EVERY(0x7f);
	u64 fold = low | EVERY(0x20);
	u64 letter = (fold + EVERY(0x80 - 'a')) ^ (fold + EVERY(0x7f - 'z'));
	u64 digit = (low + EVERY(0x80 - '0')) ^ (low + EVERY(0x7f - '9'));
	u64 no_hyphen = (low ^ EVERY('-')) + EVERY(0x7f);
	u64 no_underscore = (low ^ EVERY('_')) + EVERY(0x7f);

	return ((~(letter | digit) & no_hyphen & no_underscore) | w) & EVERY(0x80);
}

/* Leaves the function when x exceeds its bound; for good, in whatever register or stack slot x lives. */
#define BOUND(x, max)                       \
	do {                                \
		asm volatile("" : "+r"(x)); \
		if ((x) > (max))            \
			return -RUN_HEAD_TOO_LONG; \
		asm volatile("" : "+r"(x)); \
	} while (0)

#define HAS_LENGTH 0x80000000u /* in run->body_len: the header was there */

/* The last eight of the n bytes there are, from `off` on: past the end come 'a's, which no scan stops at. */
static __always_inline u64 last_word(void *data, void *end, u32 off, u32 n)
{
	u32 back = n - 8, bits = 8 * (off - back);
	void *p = data + back;

	if (p + 8 > end)
		return EVERY('a');
	return *(u64 *)p >> (bits & 63) | EVERY('a') << ((64 - bits) & 63);
}

/*
 * Moves `off` to the next byte that `stops` marks, within 8 * words bytes, and sets `c` to it. Leaves the
 * function with 0, "need more", when the bytes end before. The offset is forgotten after the loop (FORGET):
 * what follows is walked once, whichever turn the loop ended at.
 */
#define SCAN_TO(stops, words)                                                     \
	do {                                                                      \
		u64 w = 0, marks = 0;                                             \
		for (u32 turn = 0; turn < (words); turn++) {                      \
			void *at = data + off;                                    \
			if (at + 8 > end)                                         \
				break;                                            \
			w = *(u64 *)at;                                           \
			marks = stops(w);                                         \
			if (marks)                                                \
				break;                                            \
			off += 8;                                                 \
		}                                                                 \
		if (!marks) {                                                     \
			if (off >= n)                                             \
				return n > HEAD_MAX ? -RUN_HEAD_TOO_LONG : 0;     \
			if (off + 8 <= n)                                         \
				return -RUN_HEAD_TOO_LONG;                        \
			w = last_word(data, end, off, n);                         \
			marks = stops(w);                                         \
			if (!marks)                                               \
				return n > HEAD_MAX ? -RUN_HEAD_TOO_LONG : 0;     \
		}                                                                 \
		c = first_byte_of(marks) & 7;                                     \
		run->scratch[0] = off + c;                                        \
		run->scratch[1] = w >> (8 * c) & 0xff;                            \
		FORGET();                                                         \
		off = run->scratch[0];                                            \
		c = run->scratch[1];                                              \
		BOUND(off, HEAD_MAX + 8);                                         \
	} while (0)

/*
 * What a header line from `line` up to `at` means for the framing: 0, or why the connection is given up. A
 * Content-Length is left in run_info.
 */
static __always_inline u32 line_concern(void *data, void *end, u32 line, u32 at, struct run_info *run)
{
	u32 length = at - line, digits;
	void *p;
	u64 f, w, low;

	if (length < 8)
		return 0; /* too short for any name that matters */
	if (line > HEAD_MAX)
		return RUN_HEAD_TOO_LONG;
	p = data + line;
	if (p + 8 > end)
		return RUN_BAD_HEADER_NAME;
	f = FOLD(*(u64 *)p);
	if (f == CH8('c', 'o', 'n', 'n', 'e', 'c', 't', 'i')) {
		/* "connection: keep-alive" or nothing. */
		if (length != 22 || p + 22 > end || FOLD(*(u64 *)(p + 8)) != CH8('o', 'n', ':', ' ', 'k', 'e', 'e', 'p') ||
		    FOLD(*(u64 *)(p + 14)) != CH8('e', 'p', '-', 'a', 'l', 'i', 'v', 'e'))
			return RUN_CONNECTION;
		return 0;
	}
	if (f == CH8('c', 'o', 'n', 't', 'e', 'n', 't', '-')) {
		if (length < 15)
			return 0;
		if (p + 16 > end)
			return RUN_BAD_CONTENT_LENGTH;
		if (FOLD(*(u64 *)(p + 7)) != CH8('-', 'l', 'e', 'n', 'g', 't', 'h', ':'))
			return 0;
		digits = length - 15 - (*(u8 *)(p + 15) == ' ');
		if (run->body_len & HAS_LENGTH || digits - 1 > 7)
			return RUN_BAD_CONTENT_LENGTH;
		/* The eight bytes before the line's end; those before the digits become '0'. */
		p = data + (at - 8);
		if (at < 8 || p + 8 > end)
			return RUN_BAD_CONTENT_LENGTH;
		low = FIRST(8 - digits);
		w = (*(u64 *)p & ~low) | (EVERY('0') & low);
		if ((w | (w + EVERY(0x7f - '9')) | (w - EVERY('0'))) & EVERY(0x80))
			return RUN_BAD_CONTENT_LENGTH;
		w -= EVERY('0');
		w = w * 10 + (w >> 8); /* pairs of digits, in every other byte */
		w = ((w & 0x000000ff000000ffull) * 0x000f424000000064ull +
		     (w >> 16 & 0x000000ff000000ffull) * 0x0000271000000001ull) >> 32;
		run->body_len = w | HAS_LENGTH;
		return 0;
	}
	if (f == CH8('t', 'r', 'a', 'n', 's', 'f', 'e', 'r'))
		return RUN_TRANSFER_ENCODING;
	if (f == CH8('u', 'p', 'g', 'r', 'a', 'd', 'e', ':'))
		return RUN_UPGRADE;
	if (f == CH8('p', 'r', 'o', 'x', 'y', '-', 'c', 'o'))
		return RUN_CONNECTION; /* llhttp heeds Proxy-Connection */
	return (f & FIRST(7)) == CH8('e', 'x', 'p', 'e', 'c', 't', ':', 0) ? RUN_EXPECT : 0;
}

/*
 * Checks the header line at `off`. Returns the offset past its line end; 0 when bytes are missing; or the
 * negative reason for which the connection is given up. A global function: the verifier walks it once, not
 * once for each way through the lines before.
 */
__attribute__((noinline)) int frame_line(struct __sk_buff *skb, u32 off)
{
	void *data, *end;
	u32 n, line, c, zero = 0;
	struct run_info *run = bpf_map_lookup_elem(&run_info, &zero);
	void *p;

	PACKET(skb, data, end);
	if (!run)
		return -RUN_HEAD_TOO_LONG;
	n = run->limit;
	BOUND(n, HEAD_MAX + 8);
	BOUND(off, HEAD_MAX);
	if (n < REQUEST_MIN)
		return -RUN_HEAD_TOO_LONG;
	line = off;
	SCAN_TO(not_name_bytes, NAME_MAX / 8);
	if (c != ':' || off == line)
		return -RUN_BAD_HEADER_NAME;
	SCAN_TO(control_bytes, HEAD_MAX / 8);
	if (c != '\r')
		return c == '\n' ? -RUN_BAD_LINE_END : -RUN_BAD_BYTE;
	if (off > HEAD_MAX)
		return -RUN_HEAD_TOO_LONG;
	p = data + off;
	if (p + 2 > end)
		return 0;
	if (((u8 *)p)[1] != '\n')
		return -RUN_BAD_LINE_END;
	c = line_concern(data, end, line, off, run);
	return c ? -(int)c : (int)(off + 2);
}

/* As frame_line, for the request line; `off` is that of the target's first byte. */
__attribute__((noinline)) int frame_request_line(struct __sk_buff *skb, u32 off)
{
	void *data, *end;
	u32 n, c, zero = 0;
	struct run_info *run = bpf_map_lookup_elem(&run_info, &zero);
	void *p;

	PACKET(skb, data, end);
	if (!run)
		return -RUN_BAD_TARGET;
	n = run->limit;
	BOUND(n, HEAD_MAX + 8);
	if (off > 16 || n < REQUEST_MIN)
		return -RUN_BAD_TARGET;
	p = data + off;
	if (p + 1 > end || *(u8 *)p != '/')
		return -RUN_BAD_TARGET;
	SCAN_TO(control_bytes, HEAD_MAX / 8);
	if (c != '\r')
		return c == '\n' ? -RUN_BAD_LINE_END : -RUN_BAD_BYTE;
	if (off > HEAD_MAX)
		return -RUN_HEAD_TOO_LONG;
	if (off < REQUEST_MIN - 4)
		return -RUN_BAD_VERSION;
	p = data + (off - 9);
	if (p + 10 > end || *(u8 *)p != ' ' || *(u64 *)(p + 1) != CH8('H', 'T', 'T', 'P', '/', '1', '.', '1'))
		return -RUN_BAD_VERSION;
	if (p + 11 > end)
		return 0;
	return ((u8 *)p)[10] == '\n' ? (int)(off + 2) : -RUN_BAD_LINE_END;
}

static __always_inline int refuse(struct run_info *run, u32 reason)
{
	run->reason = reason;
	return REFUSE_FRAME;
}

/*
 * Length of the first request in the packet: head and body, where the body need not be here yet. 0: more
 * bytes are needed to tell. Negative: this cannot be framed, run->reason says why.
 */
static __always_inline int frame_request(struct __sk_buff *skb, struct run_info *run)
{
	void *data, *end;
	u32 n = skb->len, off;
	void *p;
	int next;
	u64 w;

	PACKET(skb, data, end);
	run->reason = RUN_NEED_MORE;
	run->body_len = 0;
	if (n < REQUEST_MIN)
		return 0;
	if (n > HEAD_MAX + 8)
		n = HEAD_MAX + 8;
	run->limit = n;
	if (data + n > end || data + 16 > end)
		return refuse(run, RUN_NOT_LINEAR);

	w = *(u64 *)data;
	if ((u32)w == CH4('G', 'E', 'T', ' ') || (u32)w == CH4('P', 'U', 'T', ' '))
		off = 4;
	else if ((w & FIRST(5)) == CH8('H', 'E', 'A', 'D', ' ', 0, 0, 0) ||
		 (w & FIRST(5)) == CH8('P', 'O', 'S', 'T', ' ', 0, 0, 0))
		off = 5;
	else if ((w & FIRST(6)) == CH8('P', 'A', 'T', 'C', 'H', ' ', 0, 0))
		off = 6;
	else if ((w & FIRST(7)) == CH8('D', 'E', 'L', 'E', 'T', 'E', ' ', 0))
		off = 7;
	else if (w == CH8('O', 'P', 'T', 'I', 'O', 'N', 'S', ' '))
		off = 8;
	else
		return refuse(run, RUN_BAD_METHOD);

	next = frame_request_line(skb, off);
	for (u32 lines = 0; lines < HEAD_LINES; lines++) {
		if (next <= 0)
			return next ? refuse(run, -next) : 0;
		off = next;
		if (off > HEAD_MAX)
			return refuse(run, RUN_HEAD_TOO_LONG);
		PACKET(skb, data, end);
		p = data + off;
		if (p + 2 > end)
			return 0;
		if (*(u16 *)p == CH2('\r', '\n')) {
			run->head_len = off + 2;
			run->reason = RUN_FRAMED;
			return off + 2 + (run->body_len & 0x7ffffff);
		}
		next = frame_line(skb, off);
	}
	return refuse(run, RUN_HEAD_TOO_LONG);
}

/* Key bytes that every reader hands on as they are: RFC 3986 pchar but '%' and ';'. */
static __always_inline int is_plain_key_byte(u32 c)
{
	u64 low = 1ull << '!' | 1ull << '$' | 1ull << '&' | 1ull << '\'' | 1ull << '(' | 1ull << ')' | 1ull << '*' |
		  1ull << '+' | 1ull << ',' | 1ull << '-' | 1ull << '.' | 0x3ffull << '0' | 1ull << ':' | 1ull << '=';
	u64 high = 0x3ffffffull << ('A' - 64) | 0x3ffffffull << ('a' - 64) | 1ull << ('@' - 64) | 1ull << ('_' - 64) |
		   1ull << ('~' - 64);

	return c < 128 && ((c < 64 ? low : high) >> (c & 63) & 1);
}

#define KEY_AT 8 /* "GET /kv/" */

/*
 * Whether a header that starts with the word w may change the answer: 0 or the reason. The names that matter
 * are looked for by their first letter; bytes were checked by the parser.
 */
static __always_inline u32 header_concern(u64 w)
{
	u64 f = FOLD(w);
	u32 letter = f & 0x1f;
	u32 suspects = 1u << ('a' & 31) | 1u << ('c' & 31) | 1u << ('e' & 31) | 1u << ('i' & 31) | 1u << ('p' & 31) |
		       1u << ('r' & 31) | 1u << ('t' & 31) | 1u << ('u' & 31);

	if (!(suspects >> letter & 1))
		return 0;
	if (f == CH8('c', 'o', 'n', 'n', 'e', 'c', 't', 'i')) /* keep-alive: the parser refuses any other */
		return 0;
	if (f == CH8('c', 'o', 'n', 't', 'e', 'n', 't', '-') || f == CH8('c', 'a', 'c', 'h', 'e', '-', 'c', 'o') ||
	    f == CH8('a', 'c', 'c', 'e', 'p', 't', '-', 'v') || f == CH8('t', 'r', 'a', 'n', 's', 'f', 'e', 'r') ||
	    f == CH8('t', 'r', 'a', 'i', 'l', 'e', 'r', ':') || f == CH8('u', 'p', 'g', 'r', 'a', 'd', 'e', ':'))
		return RUN_HEADER;
	if ((f & FIRST(3)) == CH8('i', 'f', '-', 0, 0, 0, 0, 0) || (f & FIRST(3)) == CH8('t', 'e', ':', 0, 0, 0, 0, 0) ||
	    (f & FIRST(5)) == CH8('r', 'a', 'n', 'g', 'e', 0, 0, 0) ||
	    (f & FIRST(6)) == CH8('e', 'x', 'p', 'e', 'c', 't', 0, 0) ||
	    (f & FIRST(6)) == CH8('p', 'r', 'a', 'g', 'm', 'a', 0, 0))
		return RUN_HEADER;
	return 0;
}

#define IS_HOST 0x10000

static __always_inline u64 line_ends(u64 w)
{
	return (w - EVERY(0x20)) & ~w & EVERY(0x80);
}

/*
 * The header line at `off` of a head that the parser has framed: lines end in CR LF and that CR is their only
 * byte below 0x20. Returns the offset past it, IS_HOST added for a Host; 0 if it may change the answer.
 */
__attribute__((noinline)) int judge_line(struct __sk_buff *skb, u32 off)
{
	void *data, *end;
	u32 n, host = 0, c, zero = 0;
	struct run_info *run = bpf_map_lookup_elem(&run_info, &zero);
	void *p;

	PACKET(skb, data, end);
	if (!run)
		return 0;
	n = run->limit;
	BOUND(n, HEAD_MAX + 8);
	BOUND(off, HEAD_MAX);
	if (n < REQUEST_MIN)
		return 0;
	p = data + off;
	if (p + 6 > end)
		return 0;
	if (p + 8 <= end) { /* else a name of one or two letters without a value: none that matters */
		if ((FOLD(*(u64 *)p) & FIRST(5)) == CH8('h', 'o', 's', 't', ':', 0, 0, 0))
			host = IS_HOST;
		else if (header_concern(*(u64 *)p))
			return 0;
	}
	SCAN_TO(line_ends, HEAD_MAX / 8);
	if (c != '\r' || off > HEAD_MAX)
		return 0;
	return (off + 2) | host;
}

/* Whether the header lines from `off` on leave the answer as it is: 0, or the reason why not. */
static __always_inline u32 headers_concern(struct __sk_buff *skb, u32 off, u32 n)
{
	u32 hosts = 0;

	for (u32 lines = 0; lines < HEAD_LINES; lines++) {
		void *data, *end;
		void *p;
		int next;

		PACKET(skb, data, end);
		if (off > HEAD_MAX)
			return RUN_HEADER;
		p = data + off;
		if (p + 2 > end)
			return RUN_HEADER;
		if (*(u16 *)p == CH2('\r', '\n')) {
			if (off + 2 != n)
				return RUN_BODY;
			return hosts == IS_HOST ? 0 : RUN_HOST;
		}
		next = judge_line(skb, off);
		if (next <= 0)
			return RUN_HEADER;
		hosts += next & IS_HOST;
		off = next & (IS_HOST - 1);
	}
	return RUN_HEADER;
}

#define HEAD_FIXED "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncache-status: bmc-hot; hit\r\ncontent-length: "
#define HEAD_DATE "\r\nDate: "
#define HEAD_REST "\r\nConnection: keep-alive\r\nKeep-Alive: timeout=72\r\n\r\n"
#define FIXED_LEN (sizeof(HEAD_FIXED) - 1)
#define AFTER_LENGTH (sizeof(HEAD_DATE) - 1 + DATE_LEN + sizeof(HEAD_REST) - 1)

/* Where in the reply the value begins, for a value of `len` bytes. */
static __always_inline u32 reply_head_len(u32 len)
{
	return FIXED_LEN + AFTER_LENGTH + 1 + (len >= 10) + (len >= 100) + (len >= 1000);
}

static __always_inline int same_key(const struct hot_entry *entry, void *key, void *end, u32 len)
{
	u32 i;

	for (i = 0; i < HOT_KEY_MAX / 8 + 1; i++) {
		u64 a, b;
		u32 left = len - 8 * i;

		/* At least " HTTP/1.1" follows the key: a load past its end stays in the packet. */
		if (key + 8 * i + 8 > end)
			return 0;
		a = *(u64 *)(key + 8 * i);
		b = *(u64 *)(entry->key + 8 * i);
		if (left <= 8)
			return left == 0 || (a ^ b) << (64 - 8 * left) == 0;
		if (a != b)
			return 0;
	}
	return 0;
}

/* Copies the value to the packet at `to`; the caller has proved nothing about the packet's size. */
static __always_inline int copy_value(void *to, void *end, const u8 *value, u32 len)
{
	u32 i, left;

	for (i = 0; i < HOT_VALUE_MAX / 8; i++) {
		if (8 * i + 8 > len)
			break;
		if (to + 8 * i + 8 > end)
			return 0;
		*(u64 *)(to + 8 * i) = *(const u64 *)(value + 8 * i);
	}
	to += 8 * i;
	value += 8 * i;
	left = len & 7;
	if (left & 4) {
		if (to + 4 > end)
			return 0;
		*(u32 *)to = *(const u32 *)value;
		to += 4;
		value += 4;
	}
	if (left & 2) {
		if (to + 2 > end)
			return 0;
		*(u16 *)to = *(const u16 *)value;
		to += 2;
		value += 2;
	}
	if (left & 1) {
		if (to + 1 > end)
			return 0;
		*(u8 *)to = *value;
	}
	return 1;
}

static __always_inline int write_head(void *data, void *end, const struct http_date *date, u32 len)
{
	u8 *p = data;
	u32 digits = 1 + (len >= 10) + (len >= 100) + (len >= 1000);

	if (data + FIXED_LEN + 1 + AFTER_LENGTH > end)
		return 0;
	__builtin_memcpy(p, HEAD_FIXED, FIXED_LEN);
	p += FIXED_LEN + digits;
	if ((void *)p + AFTER_LENGTH > end)
		return 0;
	p[-1] = '0' + len % 10;
	if (digits > 1)
		p[-2] = '0' + len / 10 % 10;
	if (digits > 2)
		p[-3] = '0' + len / 100 % 10;
	if (digits > 3)
		p[-4] = '0' + len / 1000;
	__builtin_memcpy(p, HEAD_DATE, sizeof(HEAD_DATE) - 1);
	p += sizeof(HEAD_DATE) - 1;
	__builtin_memcpy(p, date->text, DATE_LEN);
	p += DATE_LEN;
	__builtin_memcpy(p, HEAD_REST, sizeof(HEAD_REST) - 1);
	return 1;
}

/*
 * What the request is, by its first bytes, when it is not a GET under /kv/. Writes are named apart: userspace
 * invalidates for them, since it alone decodes keys.
 */
static __always_inline u32 other_request(void *data, void *end)
{
	void *target = 0;

	if (data + 16 > end)
		return RUN_METHOD;
	if (*(u32 *)data == CH4('G', 'E', 'T', ' '))
		return RUN_ROUTE;
	if (*(u32 *)data == CH4('P', 'U', 'T', ' '))
		target = data + 4;
	else if (*(u32 *)data == CH4('P', 'O', 'S', 'T'))
		target = data + 5;
	else if (*(u32 *)data == CH4('D', 'E', 'L', 'E'))
		target = data + 7;
	else
		return RUN_METHOD;
	return *(u32 *)target == CH4('/', 'k', 'v', '/') ? RUN_WRITE : RUN_ROUTE;
}

/*
 * Answers the request in the packet if the hot tier can: RUN_HIT, and the packet is the reply. Otherwise the
 * reason, and the packet is what it was. The message must be one that frame_request framed.
 */
static __always_inline u32 answer_get(struct __sk_buff *skb, struct run_info *run)
{
	void *data, *end;
	u32 n = skb->len, zero = 0;
	u32 hash = FNV_OFFSET, key_len, value_len, head_len, reason, slot, grown = 0, i;
	struct http_date *date;
	struct hot_entry *entry;
	u64 expires, now = 0;
	void *p;

	PACKET(skb, data, end);
	if (n < REQUEST_MIN || n > HEAD_MAX)
		return n < REQUEST_MIN ? RUN_METHOD : RUN_BODY;
	if (data + n > end || data + 16 > end) {
		if (bpf_skb_pull_data(skb, n))
			return RUN_NO_ROOM;
		PACKET(skb, data, end);
		if (data + 16 > end)
			return RUN_NOT_LINEAR;
	}
	if (*(u64 *)data != CH8('G', 'E', 'T', ' ', '/', 'k', 'v', '/'))
		return other_request(data, end);

	for (i = 0; i <= HOT_KEY_MAX; i++) {
		u32 c;

		p = data + KEY_AT + i;
		if (p + 1 > end)
			return RUN_KEY_BYTES;
		c = *(u8 *)p;
		if (c == ' ')
			break;
		if (!is_plain_key_byte(c))
			return c == '%' ? RUN_ESCAPED_KEY : c == '?' ? RUN_QUERY : c == '/' ? RUN_ROUTE : RUN_KEY_BYTES;
		hash = (hash ^ c) * FNV_PRIME;
	}
	if (i > HOT_KEY_MAX)
		return RUN_KEY_TOO_LONG;
	run->key_len = i;
	FORGET();
	key_len = run->key_len;
	if (key_len == 0)
		return RUN_KEY_BYTES;
	if (key_len > HOT_KEY_MAX)
		return RUN_KEY_TOO_LONG;
	p = data + KEY_AT + key_len;
	if (p + 11 > end)
		return RUN_KEY_BYTES;
	if (*(u64 *)(p + 1) != CH8('H', 'T', 'T', 'P', '/', '1', '.', '1') || *(u16 *)(p + 9) != CH2('\r', '\n'))
		return RUN_KEY_BYTES; /* a second space */

	run->limit = n;
	slot = hot_slot(hash);
	run->slot = slot;
	run->hash = hash;
	date = bpf_map_lookup_elem(&http_date, &zero);
	if (!date)
		return RUN_COLD;
	/* Most misses end here, and the reply's size is needed before the entry is held. */
	entry = hot_look(hash, slot, &run->generation, &reason);
	if (!entry)
		return reason;
	value_len = entry->value_len;
	expires = entry->expires_ns;
	if (value_len > HOT_VALUE_MAX)
		return RUN_RACED;
	if (expires) {
		now = bpf_ktime_get_ns();
		if (expires <= now)
			return RUN_EXPIRED;
	}
	reason = headers_concern(skb, KEY_AT + key_len + 11, n);
	if (reason)
		return reason;

	head_len = reply_head_len(value_len);
	if (head_len + value_len > n) {
		if (bpf_skb_change_tail(skb, head_len + value_len, 0))
			return RUN_NO_ROOM;
		grown = 1;
	}
	PACKET(skb, data, end);

	reason = RUN_RACED;
	hot_hold(entry);
	if ((entry->state & HOT_VALID) && entry->hash == hash && entry->value_len == value_len &&
	    entry->expires_ns == expires) {
		if (entry->key_len != key_len || !same_key(entry, data + KEY_AT, end, key_len))
			reason = RUN_MISPREDICTION;
		else if (copy_value(data + head_len, end, entry->value, value_len))
			reason = RUN_HIT;
	}
	hot_release(entry, reason == RUN_HIT);
	if (reason != RUN_HIT) {
		if (grown)
			bpf_skb_change_tail(skb, n, 0);
		return reason;
	}
	if (!write_head(data, end, date, value_len))
		return RUN_RACED; /* cannot be: the packet holds head and value */
	if (!grown && head_len + value_len < n)
		bpf_skb_change_tail(skb, head_len + value_len, 0);
	run->value_len = value_len;
	return RUN_HIT;
}

/* Counts a verdict. */
static __always_inline void count_verdict(struct hot_stats *count, u32 reason, u32 value_len)
{
	if (reason == RUN_HIT) {
		u32 bucket = STAT_VALUE_LOG2 + size_class(value_len);

		count->n[STAT_HTTP_GET]++;
		count->n[STAT_HTTP_HIT]++;
		if (bucket < STAT_COUNT)
			count->n[bucket]++;
	} else if (reason >= RUN_COLD && reason <= RUN_RACED) {
		count->n[STAT_HTTP_GET]++;
		count->n[STAT_HTTP_COLD + (reason - RUN_COLD)]++;
	} else if (reason == RUN_WRITE) {
		count->n[STAT_HTTP_WRITE]++;
	} else {
		count->n[STAT_HTTP_UNSUPPORTED]++;
	}
}

static __always_inline int run_parser(struct __sk_buff *skb)
{
	u32 zero = 0;
	struct run_info *run = bpf_map_lookup_elem(&run_info, &zero);
	struct hot_stats *count = bpf_map_lookup_elem(&stats, &zero);
	int length;

	if (!run || !count)
		return REFUSE_FRAME;
	length = frame_request(skb, run);
	if (length > 0)
		count->n[STAT_HTTP_FRAMED]++;
	else if (length < 0)
		count->n[STAT_HTTP_UNFRAMED]++;
	return length;
}

/* RUN_HIT when the packet is now the reply, else why it was left alone. */
static __always_inline u32 run_verdict(struct __sk_buff *skb)
{
	u32 zero = 0;
	struct run_info *run = bpf_map_lookup_elem(&run_info, &zero);
	struct hot_stats *count = bpf_map_lookup_elem(&stats, &zero);
	u32 reason;

	if (!run || !count)
		return RUN_NONE;
	reason = answer_get(skb, run);
	run->reason = reason;
	count_verdict(count, reason, run->value_len);
	return reason;
}

#endif
