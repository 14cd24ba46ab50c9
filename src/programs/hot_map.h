/* SPDX-License-Identifier: MIT */
/*
 * The hot tier's maps, shared by every program and mirrored by src/tiers/hot/layout.ts: the emulator joins
 * maps of equal name, so the HTTP and the memcached programs serve the same entries. Little-endian.
 *
 * A key's hash names its slot, and the slot has a `generation`, which grows with every invalidation: who means
 * to fill notes it at the miss and fills only if it is unchanged and `writers` (writes that have been seen and
 * not yet answered) is 0. Where entries lie is the policy's affair, chosen when the object is built; programs
 * go through hot_look, hot_hold, hot_claim and hot_drop below and are the same source for all:
 *
 *   (none)       direct-mapped, as BMC: slot = FNV-1a32(key) % entries, one entry, always replaced
 *   -DHOT_WAYS=n sets of n entries; a second-chance bit and a hand choose who makes room
 *   -DHOT_LRU    an LRU_HASH map by hash; slots are words of their own, as an evicted entry keeps none
 */
#ifndef HOT_MAP_H
#define HOT_MAP_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

#define HOT_KEY_MAX 250
#define HOT_VALUE_MAX 1000
/* What the object asks for; whoever loads it may set another size and then writes hot_config.entries. */
#define HOT_ENTRIES_DEFAULT 16384

#define HOT_VALID 1u
#define HOT_REFERENCED 2u /* second chance: set by a hit, cleared by the hand (HOT_WAYS > 1) */

#ifndef HOT_WAYS
#define HOT_WAYS 1
#endif

/*
 * `lock` guards all the other fields. Of a set, way 0 has generation and writers for all ways, and way 1 keeps
 * the hand in `writers`. No LRU map may hold a lock: there a stamp tells one fill of an element from the next,
 * and an entry may be served while its generation is its slot's.
 */
struct hot_entry {
#ifdef HOT_LRU
	u32 stamp;
#else
	struct bpf_spin_lock lock;
#endif
	u32 hash;
	u32 generation;
	u32 writers;
	u64 expires_ns; /* bpf_ktime_get_ns() time; 0 is never */
	u64 cas;
	u32 flags; /* memcached's client flags */
	u16 value_len;
	u8 key_len;
	u8 state;
	u8 key[256];
	u8 value[1024];
};
_Static_assert(sizeof(struct hot_entry) == 1320, "layout.ts and BMC agree on 1,320 bytes");
_Static_assert(__builtin_offsetof(struct hot_entry, expires_ns) == 16, "expires_ns");
_Static_assert(__builtin_offsetof(struct hot_entry, value_len) == 36, "value_len");
_Static_assert(__builtin_offsetof(struct hot_entry, key) == 40, "key");
_Static_assert(__builtin_offsetof(struct hot_entry, value) == 296, "value");

struct hot_config {
	u32 entries; /* slots of hot_map in use; 0 is HOT_ENTRIES_DEFAULT */
	u32 memcached_port; /* host order; 0 is 11211 */
	u32 reserved[2];
};

/* Counters: u64 each, in the one per-CPU value of `stats`. */
enum hot_stat {
	STAT_HTTP_GET = 0, /* GET /kv/… seen by the verdict */
	STAT_HTTP_HIT = 1,
	STAT_HTTP_COLD = 2, /* nothing valid in the slot */
	STAT_HTTP_COLLISION = 3, /* the slot holds a key of another hash */
	STAT_HTTP_MISPREDICTION = 4, /* equal hash, another key */
	STAT_HTTP_EXPIRED = 5,
	STAT_HTTP_RACED = 6, /* the entry changed under us */
	STAT_HTTP_UNSUPPORTED = 7, /* any other request that was framed and passed */
	STAT_HTTP_WRITE = 8,
	STAT_HTTP_FRAMED = 9, /* requests the parser framed */
	STAT_HTTP_UNFRAMED = 10, /* the parser gave a connection up */
	STAT_MC_GET_RECV = 16, /* 16..23 are BMC's own counters */
	STAT_MC_SET_RECV = 17,
	STAT_MC_GET_RESP = 18,
	STAT_MC_HIT = 19,
	STAT_MC_MISS = 20,
	STAT_MC_HIT_MISPREDICTION = 21,
	STAT_MC_UPDATE = 22,
	STAT_MC_INVALIDATION = 23,
	STAT_MC_COLLISION = 24,
	STAT_MC_EXPIRED = 25,
	STAT_MC_PARTIAL = 26, /* multi-gets passed up whole because a key missed */
	STAT_MC_TOO_BIG = 27, /* replies no fill takes, or no datagram holds */
	STAT_MC_FILL_RACED = 28, /* fills discarded: the generation moved or a write is in flight */
	STAT_MC_MALFORMED = 29,
	STAT_MC_UNKNOWN_STREAM = 30, /* TCP bytes whose command could not be told: all entries dropped */
	STAT_MC_UNSUPPORTED = 31,
	STAT_MC_TCP_GET = 40, /* 40..45: the share of the sk_skb pair, in the counts above too */
	STAT_MC_TCP_HIT = 41,
	STAT_MC_TCP_MISS = 42,
	STAT_MC_TCP_WRITE = 43,
	STAT_MC_TCP_FRAMED = 44,
	STAT_MC_TCP_UNFRAMED = 45,
	STAT_MC_TCP_ANSWER = 46, /* gets answered, of one or more keys */
	STAT_VALUE_LOG2 = 48, /* 11 buckets of served value sizes: 0, 1, 2-3, 4-7 … 512-1000 */
	STAT_COUNT = 64,
};
struct hot_stats {
	u64 n[STAT_COUNT];
};

/* Why the last run on this CPU decided as it did. */
enum run_reason {
	RUN_NONE = 0,
	RUN_HIT = 1,
	RUN_NEED_MORE = 2, /* parser: the head is not complete */
	RUN_FRAMED = 3,
	/* The verdict passed: */
	RUN_COLD = 16,
	RUN_COLLISION = 17,
	RUN_MISPREDICTION = 18,
	RUN_EXPIRED = 19,
	RUN_RACED = 20,
	RUN_WRITE = 21, /* a method other than GET on /kv/ that may change it */
	RUN_METHOD = 22,
	RUN_ROUTE = 23, /* not under /kv/ */
	RUN_QUERY = 24,
	RUN_ESCAPED_KEY = 25, /* percent-encoded: userspace decodes */
	RUN_KEY_TOO_LONG = 26,
	RUN_KEY_BYTES = 27, /* empty, or bytes userspace may read differently */
	RUN_HEADER = 28, /* a header that may change the answer */
	RUN_HOST = 29, /* no Host, or several */
	RUN_BODY = 30,
	RUN_NO_ROOM = 31, /* the packet could not be resized */
	/* The parser gives the connection up: */
	RUN_UNFRAMED = 32, /* this and all above */
	RUN_BAD_METHOD = 32,
	RUN_BAD_TARGET = 33,
	RUN_BAD_VERSION = 34,
	RUN_BAD_LINE_END = 35, /* bare CR or LF */
	RUN_BAD_BYTE = 36,
	RUN_BAD_HEADER_NAME = 37, /* obs-fold too */
	RUN_BAD_CONTENT_LENGTH = 38, /* invalid, repeated, or of more than 8 digits */
	RUN_TRANSFER_ENCODING = 39,
	RUN_CONNECTION = 40, /* close, upgrade, … */
	RUN_UPGRADE = 41,
	RUN_EXPECT = 42,
	RUN_HEAD_TOO_LONG = 43,
	RUN_NOT_LINEAR = 44,
};
struct run_info {
	u32 reason;
	u32 slot; /* of the key, once hashed; with `hash` and `generation` what a fill must present */
	u32 hash;
	u32 generation;
	u32 key_len;
	u32 value_len; /* of a hit */
	u32 head_len; /* parser: bytes up to and with the empty line */
	u32 body_len; /* parser: Content-Length, with HAS_LENGTH when there was one */
	u32 limit; /* how many bytes the scans look at */
	u32 scratch[2]; /* see FORGET */
	u32 reserved;
};

/* The map's name tells the policy: objects of different ones must not share a map. */
#ifdef HOT_LRU
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, HOT_ENTRIES_DEFAULT);
	__type(key, u32); /* the hash */
	__type(value, struct hot_entry);
} hot_lru SEC(".maps");

/* Slots: more of them than entries, since a write to one key of a slot ends the entries of all its keys. */
#define HOT_SLOTS_PER_ENTRY 4
struct hot_guard {
	u32 reserved[2];
	u32 generation; /* where struct hot_entry has them */
	u32 writers;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HOT_SLOTS_PER_ENTRY * HOT_ENTRIES_DEFAULT);
	__type(key, u32);
	__type(value, struct hot_guard);
} hot_guard SEC(".maps");

/* An entry on its way in or out: per CPU, so nobody else's. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct hot_entry);
} hot_copy SEC(".maps");
#else
#if HOT_WAYS > 1
#define HOT_PASTE(a, b) a##b
#define HOT_NAME(a, b) HOT_PASTE(a, b)
#define HOT_MAP HOT_NAME(hot_set, HOT_WAYS)
#else
#define HOT_MAP hot_map
#endif
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HOT_ENTRIES_DEFAULT);
	__type(key, u32);
	__type(value, struct hot_entry);
} HOT_MAP SEC(".maps");
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct hot_config);
} hot_config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct hot_stats);
} stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct run_info);
} run_info SEC(".maps");

#define FNV_OFFSET 2166136261u
#define FNV_PRIME 16777619u

/*
 * Writes memory and reads it anew: what the verifier knew of a number kept in run_info is forgotten. After a
 * loop it then has one state for all the turns at which the loop may have ended, and walks what follows once.
 */
#define FORGET() asm volatile("" ::: "memory")

/* Bytes in a word, eight at a time. A mask has the top bit of each byte found; only its lowest is exact. */
#define EVERY(b) ((u64)(b) * 0x0101010101010101ull)

static __always_inline u32 first_byte_of(u64 mask)
{
	/* One for each byte up to and with the lowest marked one, summed by the multiplication. */
	return (u32)((((mask - 1) & ~mask & EVERY(1)) * EVERY(1)) >> 56) - 1;
}

static __always_inline u32 hot_entries(void)
{
	u32 zero = 0;
	struct hot_config *config = bpf_map_lookup_elem(&hot_config, &zero);

	return config && config->entries ? config->entries : HOT_ENTRIES_DEFAULT;
}

/* floor(log2(n)) + 1, and 0 for 0; n below 1,024. */
static __always_inline u32 size_class(u32 n)
{
	u32 c = n != 0;

	n &= 1023;
	if (n >= 32) {
		n >>= 5;
		c += 5;
	}
	if (n >= 4) {
		n >>= 2;
		c += 2;
		if (n >= 4) {
			n >>= 2;
			c += 2;
		}
	}
	return c + (n >> 1);
}

#ifdef HOT_LRU
#include "hot_lru.h"
#else
#include "hot_ways.h"
#endif

#endif
