/* SPDX-License-Identifier: MIT */
/*
 * What the memcached programs share: packet layout, the maps that carry a request from one program to the
 * next, and the two operations on the hot map that writes need.
 */
#ifndef MEMCACHED_H
#define MEMCACHED_H

#include "hot_map.h"
#include <bpf/bpf_endian.h>

#define MEMCACHED_PORT 11211
#define KEYS_MAX 30 /* of a multi-get, as in BMC */
#define PAYLOAD_MAX 1400 /* UDP payload of a reply: one datagram, as memcached sends */
#define FRAME_LEN 8 /* memcached's UDP frame header: request id, sequence, count, reserved */
#define COMMANDS_MAX 64 /* of one segment; more, and all entries are dropped */
#define TAIL_MAX 320 /* bytes kept of a command line that a segment cuts: command, key and numbers fit */
#define TEXT_MAX 1500
/* How long after a write the replies on its connection drop the key again, and no reply fills its slot. */
#define SETTLE_NS 100000000ull

#define ETH_LEN 14
#define IP_LEN 20
#define UDP_LEN 8
#define PROTO_TCP 6
#define PROTO_UDP 17

struct eth_header {
	u16 to[3];
	u16 from[3];
	u16 proto;
};
struct ip_header {
	u8 version_ihl;
	u8 tos;
	u16 total;
	u16 id;
	u16 fragment;
	u8 ttl;
	u8 proto;
	u16 check;
	u16 from[2];
	u16 to[2];
};
struct udp_header {
	u16 from;
	u16 to;
	u16 len;
	u16 check;
};
struct frame_header {
	u16 id;
	u16 sequence;
	u16 count;
	u16 reserved;
};

/* One request on its way through the programs of this CPU. */
struct mc_run {
	u32 text; /* offset of the command in the packet */
	u32 text_end;
	u32 len; /* bytes in reply */
	u32 slot; /* of the key looked at last, with its hash and generation */
	u32 hash;
	u32 generation;
	u32 client_ip;
	u32 client_port_proto;
	u32 scratch[4]; /* see FORGET */
	u64 now;
	u8 digits[24];
	u8 key[264];
	u8 reply[4096];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct mc_run);
} mc_run SEC(".maps");

/* Bytes of a stream: what was left of the last segment, and this one. */
struct mc_text {
	u32 len;
	u32 tail; /* of len: bytes from the last segment */
	u32 skip; /* bytes of a data block still to come */
	u32 pending; /* keys written, their hashes in `written` */
	u32 written[16];
	u32 wrote; /* set by take_command when the command is one that writes */
	u32 scratch[3];
	u8 bytes[4096];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct mc_text);
} mc_text SEC(".maps");

/* A client's end of a flow. */
struct mc_flow_key {
	u32 ip;
	u32 port_proto; /* port in network order, protocol << 16 */
};
struct mc_flow {
	u32 known; /* 0: nothing seen yet */
	u32 next_seq; /* TCP: host order */
	u32 skip;
	u32 tail_len;
	u64 written_ns; /* last write */
	u32 written[16]; /* hashes of keys written lately, a ring */
	u32 writes;
	u32 reserved;
	u8 tail[TAIL_MAX + 8];
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct mc_flow_key);
	__type(value, struct mc_flow);
} mc_flows SEC(".maps");

/* A GET that missed and was passed on: its reply may fill the slot if nothing happened to it meanwhile. */
struct mc_inflight_key {
	u32 ip;
	u32 port_id; /* both in network order: port | request id << 16 */
};
struct mc_inflight {
	u32 slot;
	u32 hash;
	u32 generation;
	u32 reserved;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct mc_inflight_key);
	__type(value, struct mc_inflight);
} mc_inflight SEC(".maps");

/* Replies do not tell an item's expiry: it is noted when it is set. By hash; absent is "never expires". */
#define EXPIRY_UNKNOWN 1ull /* a time we cannot compute: such items stay cold */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, u64);
} mc_expiry SEC(".maps");

/* When a slot was last written. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u64);
} mc_written SEC(".maps");

struct mc_control {
	u64 bypass_until_ns; /* a delayed flush_all: nothing is served or filled until it has happened */
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct mc_control);
} mc_control SEC(".maps");

static __always_inline u32 memcached_port(void)
{
	u32 zero = 0;
	struct hot_config *config = bpf_map_lookup_elem(&hot_config, &zero);

	return config && config->memcached_port ? config->memcached_port : MEMCACHED_PORT;
}

static __always_inline int is_bypassed(void)
{
	u32 zero = 0;
	struct mc_control *control = bpf_map_lookup_elem(&mc_control, &zero);

	return control && control->bypass_until_ns && bpf_ktime_get_ns() < control->bypass_until_ns;
}

static __always_inline void mc_count(u32 which)
{
	u32 zero = 0;
	struct hot_stats *count = bpf_map_lookup_elem(&stats, &zero);

	if (count && which < STAT_COUNT)
		count->n[which]++;
}

/* Makes the slot unfillable for GETs under way, and drops the entry if it holds a key of this hash. */
static __always_inline void drop_key(u32 hash, u32 slot)
{
	if (hot_drop(hash, slot))
		mc_count(STAT_MC_INVALIDATION);
}

/* flush_all, and whatever could not be understood. */
static __always_inline void drop_all(void)
{
	hot_drop_all();
	mc_count(STAT_MC_INVALIDATION);
}

#endif
