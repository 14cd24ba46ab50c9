/* SPDX-License-Identifier: MIT */
/*
 * memcached GETs over UDP answered before the network stack, in the shape of BMC (NSDI'21 §4), written anew
 * from its description. Programs, in the order of their tail calls:
 *
 *   xdp  rx_filter -> hash_keys -> prepare_packet -> write_reply     (a get)
 *                  -> invalidate                                     (any other command; always passes)
 *   tc   tx_filter -> update_cache                                   (a reply that may fill)
 *
 * A get is answered only if every key hits; the reply is composed in a buffer and the packet is touched when
 * it is complete, so that a request which is passed on is as it came. A reply fills the slot its request
 * missed, if no write has been seen for that slot since.
 */
#include "memcached_writes.h"

enum { CALL_HASH_KEYS, CALL_PREPARE_PACKET, CALL_WRITE_REPLY, CALL_INVALIDATE };

int hash_keys(struct xdp_md *ctx);
int prepare_packet(struct xdp_md *ctx);
int write_reply(struct xdp_md *ctx);
int invalidate(struct xdp_md *ctx);
int update_cache(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(u32));
	__array(values, int(void *));
} mc_xdp_calls SEC(".maps") = {
	.values = {
		[CALL_HASH_KEYS] = (void *)&hash_keys,
		[CALL_PREPARE_PACKET] = (void *)&prepare_packet,
		[CALL_WRITE_REPLY] = (void *)&write_reply,
		[CALL_INVALIDATE] = (void *)&invalidate,
	},
};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__array(values, int(void *));
} mc_tc_calls SEC(".maps") = {
	.values = {
		[0] = (void *)&update_cache,
	},
};

SEC("xdp")
int rx_filter(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct eth_header *eth = data;
	struct ip_header *ip = data + ETH_LEN;
	struct udp_header *udp;
	struct mc_run *run;
	u32 zero = 0, ip_len, total, port = memcached_port();
	void *p;

	if (data + ETH_LEN + IP_LEN + UDP_LEN > end || eth->proto != bpf_htons(0x0800) || ip->version_ihl >> 4 != 4)
		return XDP_PASS;
	ip_len = (ip->version_ihl & 15) * 4;
	if (ip_len < IP_LEN || (ip->fragment & bpf_htons(0x1fff)))
		return XDP_PASS; /* later fragments have no command */
	p = data + ETH_LEN + ip_len;
	if (p + UDP_LEN > end)
		return XDP_PASS;
	udp = p; /* ports are where TCP has them */
	if (udp->to != bpf_htons(port))
		return XDP_PASS;
	run = bpf_map_lookup_elem(&mc_run, &zero);
	if (!run)
		return XDP_PASS;
	run->client_ip = ip->from[0] | (u32)ip->from[1] << 16;
	run->client_port_proto = udp->from | (u32)ip->proto << 16;
	total = bpf_ntohs(ip->total);
	if (ip->proto == PROTO_TCP) {
		struct {
			u32 seq;
			u32 ack;
			u8 offset;
			u8 flags;
		} *tcp = p + 4;
		u32 header;

		if (p + 20 > end)
			return XDP_PASS;
		header = (tcp->offset >> 4) * 4;
		if (header < 20 || total < ip_len + header)
			return XDP_PASS;
		run->text = ETH_LEN + ip_len + header;
		run->text_end = ETH_LEN + total;
		run->scratch[0] = bpf_ntohl(tcp->seq);
		run->scratch[1] = tcp->flags;
		bpf_tail_call(ctx, &mc_xdp_calls, CALL_INVALIDATE);
		return XDP_PASS;
	}
	if (ip->proto != PROTO_UDP)
		return XDP_PASS;
	{
		struct frame_header *frame = p + UDP_LEN;
		u32 len = bpf_ntohs(udp->len);

		if (p + UDP_LEN + FRAME_LEN + 6 > end || len < UDP_LEN + FRAME_LEN + 6 || ip_len + len > total ||
		    frame->sequence != 0 || frame->count != bpf_htons(1)) {
			mc_count(STAT_MC_MALFORMED);
			return XDP_PASS; /* memcached takes no request of several datagrams */
		}
		run->text = ETH_LEN + ip_len + UDP_LEN + FRAME_LEN;
		run->text_end = ETH_LEN + ip_len + len;
		if (*(u32 *)(p + UDP_LEN + FRAME_LEN) == CH4('g', 'e', 't', ' ')) {
			mc_count(STAT_MC_GET_RECV);
			if (ip_len == IP_LEN && !(ip->fragment & bpf_htons(0x2000)) && !is_bypassed()) {
				*(struct frame_header *)run->reply = *frame;
				bpf_tail_call(ctx, &mc_xdp_calls, CALL_HASH_KEYS);
				return XDP_PASS;
			}
		}
	}
	run->scratch[1] = 0;
	bpf_tail_call(ctx, &mc_xdp_calls, CALL_INVALIDATE);
	return XDP_PASS;
}

enum key_result { KEY_BAD = -1, KEY_MISS = -2, KEY_TOO_BIG = -3 };
#define LAST_KEY 0x10000

/* Length of the key, up to HOT_KEY_MAX + 1, at `off` of the packet: copies it to run->key, and hashes it. */
static __always_inline u32 read_key(void *data, void *end, u32 off, struct mc_run *run)
{
	u32 hash = FNV_OFFSET, i;

	for (i = 0; i <= HOT_KEY_MAX; i++) {
		void *p = data + off + i;
		u32 c;

		if (p + 1 > end)
			break;
		c = *(u8 *)p;
		if (c <= ' ')
			break;
		run->key[i] = c;
		hash = (hash ^ c) * FNV_PRIME;
	}
	run->scratch[2] = i;
	run->hash = hash;
	FORGET();
	return run->scratch[2];
}

static __always_inline int is_same_key(const struct hot_entry *entry, const u8 *key, u32 len)
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

/* Writes n in decimal at reply[at]; returns the offset past it. May write up to 16 bytes. */
static __always_inline u32 put_number(struct mc_run *run, u32 at, u32 n)
{
	u32 i;

	for (i = 0; i < 10; i++) {
		run->digits[9 - i] = '0' + n % 10;
		n /= 10;
		if (!n)
			break;
	}
	run->scratch[2] = 9 - i;
	FORGET();
	i = run->scratch[2];
	if (i > 9)
		return at;
	*(u64 *)(run->reply + at) = *(u64 *)(run->digits + i);
	*(u16 *)(run->reply + at + 8) = *(u16 *)(run->digits + i + 8);
	run->scratch[2] = at + 10 - i;
	FORGET();
	return run->scratch[2];
}

/*
 * Looks the key at `off` up and appends its item to the reply. Returns the offset past the key and its
 * delimiter, LAST_KEY added at the end of the line; or a key_result. A global function: verified once.
 */
__attribute__((noinline)) int take_key(struct xdp_md *ctx, u32 off)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u32 zero = 0, len, at, value_len, flags, i, next, found = 0, why;
	struct mc_run *run = bpf_map_lookup_elem(&mc_run, &zero);
	struct hot_entry *entry;
	u64 expires, now = 0;
	void *p;

	if (!run)
		return KEY_BAD;
	asm volatile("" : "+r"(off));
	if (off > TEXT_MAX + 100)
		return KEY_BAD;
	len = read_key(data, end, off, run);
	if (len == 0 || len > HOT_KEY_MAX)
		return KEY_BAD;
	next = off + len;
	p = data + next;
	if (p + 2 > end)
		return KEY_BAD;
	if (*(u8 *)p == ' ')
		next++;
	else if (*(u8 *)p == '\r' && ((u8 *)p)[1] == '\n' && next + 2 == run->text_end)
		next |= LAST_KEY;
	else
		return KEY_BAD;
	run->scratch[0] = next; /* for hash_keys, when the key misses */

	run->slot = hot_slot(run->hash);
	entry = hot_look(run->hash, run->slot, &run->generation, &why);
	if (!entry) {
		if (why == RUN_COLLISION)
			mc_count(STAT_MC_COLLISION);
		return KEY_MISS;
	}
	value_len = entry->value_len;
	flags = entry->flags;
	expires = entry->expires_ns;
	if (value_len > HOT_VALUE_MAX)
		return KEY_MISS;
	if (expires) {
		now = bpf_ktime_get_ns();
		if (expires <= now) {
			mc_count(STAT_MC_EXPIRED);
			return KEY_MISS;
		}
	}
	at = run->len;
	if (at > PAYLOAD_MAX || at + 33 + len + value_len > PAYLOAD_MAX)
		return KEY_TOO_BIG;
	*(u64 *)(run->reply + at) = CH8('V', 'A', 'L', 'U', 'E', ' ', 0, 0);
	at += 6;
	for (i = 0; i < HOT_KEY_MAX / 8 + 1; i++) {
		*(u64 *)(run->reply + at + 8 * i) = *(u64 *)(run->key + 8 * i);
		if (8 * i + 8 >= len)
			break;
	}
	at += len;
	run->reply[at] = ' ';
	at = put_number(run, at + 1, flags);
	if (at > PAYLOAD_MAX)
		return KEY_BAD;
	run->reply[at] = ' ';
	at = put_number(run, at + 1, value_len);
	if (at > PAYLOAD_MAX)
		return KEY_BAD;
	*(u16 *)(run->reply + at) = '\r' | '\n' << 8;
	run->scratch[3] = at + 2;
	FORGET();
	at = run->scratch[3];
	asm volatile("" : "+r"(at));
	if (at > PAYLOAD_MAX)
		return KEY_BAD;

	hot_hold(entry);
	if ((entry->state & HOT_VALID) && entry->hash == run->hash && entry->value_len == value_len &&
	    entry->flags == flags && entry->expires_ns == expires) {
		found = 1;
		if (entry->key_len == len && is_same_key(entry, run->key, len)) {
			for (i = 0; i < (HOT_VALUE_MAX + 7) / 8; i++) {
				if (8 * i >= value_len)
					break;
				*(u64 *)(run->reply + at + 8 * i) = *(u64 *)(entry->value + 8 * i);
			}
			found = 2;
		}
	}
	hot_release(entry, found == 2);
	if (found == 1)
		mc_count(STAT_MC_HIT_MISPREDICTION);
	if (found != 2)
		return KEY_MISS;
	at += value_len;
	if (at > PAYLOAD_MAX)
		return KEY_BAD;
	*(u16 *)(run->reply + at) = '\r' | '\n' << 8;
	run->len = at + 2;
	return next;
}

SEC("xdp")
int hash_keys(struct xdp_md *ctx)
{
	u32 zero = 0, off, hits = 0;
	struct mc_run *run = bpf_map_lookup_elem(&mc_run, &zero);
	struct mc_inflight_key key;
	struct mc_inflight miss = {};
	int next = KEY_BAD;

	if (!run)
		return XDP_PASS;
	run->len = FRAME_LEN;
	off = run->text + 4;
	for (u32 i = 0; i < KEYS_MAX; i++) {
		next = take_key(ctx, off);
		if (next < 0 || (next & LAST_KEY))
			break;
		off = next;
		hits++;
	}
	if (next >= 0 && (next & LAST_KEY)) {
		struct hot_stats *count = bpf_map_lookup_elem(&stats, &zero);

		if (count)
			count->n[STAT_MC_HIT] += hits + 1;
		bpf_tail_call(ctx, &mc_xdp_calls, CALL_PREPARE_PACKET);
		return XDP_PASS;
	}
	if (next == KEY_MISS) {
		mc_count(STAT_MC_MISS);
		if (hits)
			mc_count(STAT_MC_PARTIAL);
		if (!(run->scratch[0] & LAST_KEY))
			goto more; /* who knows what follows the line */
		if (hits)
			return XDP_PASS;
		key.ip = run->client_ip;
		key.port_id = (run->client_port_proto & 0xffff) | (u32)*(u16 *)run->reply << 16;
		miss.slot = run->slot;
		miss.hash = run->hash;
		miss.generation = run->generation;
		bpf_map_update_elem(&mc_inflight, &key, &miss, BPF_ANY);
	} else {
		mc_count(next == KEY_TOO_BIG ? STAT_MC_TOO_BIG : STAT_MC_UNSUPPORTED);
		goto more;
	}
	return XDP_PASS;
more:
	/* Another command may stand behind this one in the datagram. */
	run->scratch[1] = 0;
	bpf_tail_call(ctx, &mc_xdp_calls, CALL_INVALIDATE);
	return XDP_PASS;
}

#define HEADERS (ETH_LEN + IP_LEN + UDP_LEN)

/* Gives the packet the reply's size: at its tail, or where the driver has no room there, at its head. */
SEC("xdp")
int prepare_packet(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u32 zero = 0;
	struct mc_run *run = bpf_map_lookup_elem(&mc_run, &zero);
	s32 grow;
	u64 *from, *to;

	if (!run || run->len > PAYLOAD_MAX)
		return XDP_PASS;
	*(u32 *)(run->reply + run->len) = CH4('E', 'N', 'D', '\r');
	run->reply[run->len + 4] = '\n';
	run->len += 5;
	grow = (s32)(HEADERS + run->len) - (s32)(end - data);
	if (bpf_xdp_adjust_tail(ctx, grow)) {
		if (grow <= 0 || grow > 1400 || bpf_xdp_adjust_head(ctx, -grow))
			return XDP_PASS;
		data = (void *)(long)ctx->data;
		end = (void *)(long)ctx->data_end;
		if (data + HEADERS + 6 > end || data + grow + HEADERS + 6 > end)
			return XDP_ABORTED;
		from = data + grow;
		to = data;
		for (int i = 0; i < 6; i++) /* upwards: the new place lies before the old one */
			to[i] = from[i];
	}
	bpf_tail_call(ctx, &mc_xdp_calls, CALL_WRITE_REPLY);
	return XDP_ABORTED;
}

SEC("xdp")
int write_reply(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct eth_header *eth = data;
	struct ip_header *ip = data + ETH_LEN;
	struct udp_header *udp = data + ETH_LEN + IP_LEN;
	u32 zero = 0, len, sum = 0, i;
	struct mc_run *run = bpf_map_lookup_elem(&mc_run, &zero);
	struct frame_header *frame;
	u16 t;

	if (!run || data + HEADERS > end)
		return XDP_ABORTED;
	len = run->len;
	if (len < FRAME_LEN || len > PAYLOAD_MAX + 5)
		return XDP_ABORTED;
	for (i = 0; i < 3; i++) {
		t = eth->to[i];
		eth->to[i] = eth->from[i];
		eth->from[i] = t;
	}
	for (i = 0; i < 2; i++) {
		t = ip->to[i];
		ip->to[i] = ip->from[i];
		ip->from[i] = t;
	}
	t = udp->to;
	udp->to = udp->from;
	udp->from = t;
	ip->total = bpf_htons(IP_LEN + UDP_LEN + len);
	ip->ttl = 64;
	ip->check = 0;
	for (i = 0; i < IP_LEN / 2; i++)
		sum += ((u16 *)ip)[i];
	/* Ten words carry at most 9 out of 16 bits, and adding that may carry once more. */
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~sum;
	udp->len = bpf_htons(UDP_LEN + len);
	udp->check = 0;
	frame = (struct frame_header *)run->reply;
	frame->sequence = 0;
	frame->count = bpf_htons(1);
	frame->reserved = 0;
	if (bpf_xdp_store_bytes(ctx, HEADERS, run->reply, len))
		return XDP_ABORTED;
	return XDP_TX;
}

/* Watches what clients write; never answers. Streams are followed across segments by mc_flows. */
SEC("xdp")
int invalidate(struct xdp_md *ctx)
{
	u32 zero = 0, off, len, pos = 0, is_tcp, seq, flags, tail, i;
	struct mc_run *run = bpf_map_lookup_elem(&mc_run, &zero);
	struct mc_text *text = bpf_map_lookup_elem(&mc_text, &zero);
	struct mc_flow_key key;
	struct mc_flow *flow;
	int next = 0;

	if (!run || !text)
		return XDP_PASS;
	off = run->text;
	len = run->text_end - off;
	seq = run->scratch[0];
	flags = run->scratch[1];
	is_tcp = run->client_port_proto >> 16 == PROTO_TCP;
	key.ip = run->client_ip;
	key.port_proto = run->client_port_proto;
	flow = bpf_map_lookup_elem(&mc_flows, &key);
	if (!flow || (flags & 2 /* SYN */)) {
		/* A zeroed value from a map: too big for the stack. The reply buffer is free in this program. */
		for (i = 0; i < sizeof(struct mc_flow) / 8; i++)
			*(u64 *)(run->reply + 8 * i) = 0;
		bpf_map_update_elem(&mc_flows, &key, run->reply, BPF_ANY);
		flow = bpf_map_lookup_elem(&mc_flows, &key);
		if (!flow)
			return XDP_PASS;
		if (flags & 2) {
			flow->known = 1;
			flow->next_seq = seq + 1;
			return XDP_PASS;
		}
	}
	if (is_tcp && (flags & 5) /* FIN, RST */ && len == 0) {
		bpf_map_delete_elem(&mc_flows, &key);
		return XDP_PASS;
	}
	if (len == 0)
		return XDP_PASS;
	if (len > 2048 - TAIL_MAX) {
		drop_all(); /* a segment larger than any link's: merged by the driver */
		flow->known = 0;
		mc_count(STAT_MC_UNKNOWN_STREAM);
		return XDP_PASS;
	}
	if (is_tcp) {
		if (!flow->known || flow->next_seq != seq) {
			if (flow->known && (s32)(seq + len - flow->next_seq) <= 0)
				return XDP_PASS; /* seen before */
			/* A hole, or a connection older than we are: take it up at this segment, trust nothing before. */
			drop_all();
			mc_count(STAT_MC_UNKNOWN_STREAM);
			flow->known = 1;
			flow->skip = 0;
			flow->tail_len = 0;
		}
		flow->next_seq = seq + len;
		if (flow->skip >= len) {
			flow->skip -= len;
			return XDP_PASS;
		}
		off += flow->skip;
		len -= flow->skip;
		flow->skip = 0;
	} else {
		flow->tail_len = 0;
	}
	tail = flow->tail_len;
	if (tail > TAIL_MAX || len == 0 || len > 2048 - TAIL_MAX || off > 4096)
		return XDP_PASS;
	for (i = 0; i < TAIL_MAX / 8; i++)
		*(u64 *)(text->bytes + 8 * i) = *(u64 *)(flow->tail + 8 * i);
	if (bpf_xdp_load_bytes(ctx, off, text->bytes + tail, len)) {
		drop_all();
		return XDP_PASS;
	}
	text->len = tail + len;
	text->pending = 0;
	for (i = 0; i < COMMANDS_MAX; i++) {
		next = take_command(pos);
		if (next <= 0)
			break;
		pos = next;
		if (pos >= text->len)
			break;
	}
	if (i == COMMANDS_MAX || next < 0) {
		drop_all();
		mc_count(STAT_MC_UNKNOWN_STREAM);
		flow->known = 0;
		return XDP_PASS;
	}
	for (i = 0; i < 16; i++) {
		if (i < text->pending) {
			flow->written[flow->writes & 15] = text->written[i];
			flow->writes++;
		}
	}
	if (text->pending)
		flow->written_ns = bpf_ktime_get_ns();
	if (text->pending > 16)
		flow->writes |= 0x80000000; /* more than the ring holds */
	len = text->len;
	if (!is_tcp)
		return XDP_PASS;
	flow->tail_len = 0;
	if (pos > len) {
		flow->skip = pos - len;
		return XDP_PASS;
	}
	tail = len - pos;
	if (tail > TAIL_MAX) {
		/* A line longer than any that writes: keep its start, which names the command. */
		tail = TAIL_MAX;
	}
	if (pos > 2048)
		return XDP_PASS;
	flow->tail_len = tail;
	for (i = 0; i < TAIL_MAX / 8; i++)
		*(u64 *)(flow->tail + 8 * i) = *(u64 *)(text->bytes + pos + 8 * i);
	return XDP_PASS;
}

/* Writes on this flow have been answered, or may have been: their keys are dropped once more, so that a fill
 * which read the old value meanwhile does not stay. */
static __always_inline void settle(struct mc_flow *flow)
{
	u64 now = bpf_ktime_get_ns();

	if (flow->writes & 0x80000000)
		drop_all();
	else
		for (u32 i = 0; i < 16; i++)
			if (i < flow->writes)
				drop_key(flow->written[i], hot_slot(flow->written[i]));
	if (now - flow->written_ns > SETTLE_NS)
		flow->writes = 0;
}

SEC("tc")
int tx_filter(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct eth_header *eth = data;
	struct ip_header *ip = data + ETH_LEN;
	struct udp_header *udp = data + ETH_LEN + IP_LEN;
	struct mc_flow_key key;
	struct mc_flow *flow;
	u32 port = memcached_port(), zero = 0;
	struct mc_run *run;

	if (data + HEADERS > end || eth->proto != bpf_htons(0x0800) || ip->version_ihl != 0x45 ||
	    (ip->fragment & bpf_htons(0x3fff)) || (ip->proto != PROTO_UDP && ip->proto != PROTO_TCP) ||
	    udp->from != bpf_htons(port))
		return 0;
	key.ip = ip->to[0] | (u32)ip->to[1] << 16;
	key.port_proto = udp->to | (u32)ip->proto << 16;
	flow = bpf_map_lookup_elem(&mc_flows, &key);
	if (flow && flow->writes)
		settle(flow);
	if (ip->proto != PROTO_UDP)
		return 0;
	run = bpf_map_lookup_elem(&mc_run, &zero);
	if (!run || is_bypassed())
		return 0;
	run->client_ip = key.ip;
	run->client_port_proto = key.port_proto;
	run->len = bpf_ntohs(udp->len) - UDP_LEN;
	if (run->len < FRAME_LEN + 20 || bpf_ntohs(udp->len) < UDP_LEN)
		return 0;
	if (run->len > PAYLOAD_MAX) {
		mc_count(STAT_MC_TOO_BIG);
		return 0;
	}
	mc_count(STAT_MC_GET_RESP);
	bpf_tail_call(skb, &mc_tc_calls, 0);
	return 0;
}

/* A decimal number at reply[pos], up to `stop`; its end goes to scratch[0]. ~0 if it is none. */
__attribute__((noinline)) u32 reply_number(u32 pos)
{
	u32 zero = 0, n = 0, i;
	struct mc_run *run = bpf_map_lookup_elem(&mc_run, &zero);

	asm volatile("" : "+r"(pos));
	if (!run || pos > 2048)
		return ~0u;
	for (i = 0; i < 10; i++) {
		u32 c = run->reply[pos + i] - '0';

		if (c > 9)
			break;
		n = n * 10 + c;
	}
	run->scratch[0] = pos + i;
	return i == 0 ? ~0u : n;
}

/* A reply "VALUE <key> <flags> <bytes>\r\n<value>\r\nEND\r\n" of one datagram fills the slot its request missed. */
SEC("tc")
int update_cache(struct __sk_buff *skb)
{
	u32 zero = 0, len, i, at, flags, value_len;
	struct mc_run *run = bpf_map_lookup_elem(&mc_run, &zero);
	struct frame_header *frame;
	struct mc_inflight_key key;
	struct mc_inflight *miss, found;
	struct hot_entry *entry;
	u64 *written, *known_expiry, expires = 0, now;

	if (!run)
		return 0;
	len = run->len;
	if (len < FRAME_LEN || len > PAYLOAD_MAX || bpf_skb_load_bytes(skb, HEADERS, run->reply, len))
		return 0;
	frame = (struct frame_header *)run->reply;
	if (frame->sequence != 0 || frame->count != bpf_htons(1))
		return 0;
	key.ip = run->client_ip;
	key.port_id = (run->client_port_proto & 0xffff) | (u32)frame->id << 16;
	miss = bpf_map_lookup_elem(&mc_inflight, &key);
	if (!miss)
		return 0;
	found = *miss;
	bpf_map_delete_elem(&mc_inflight, &key);
	if ((*(u64 *)(run->reply + FRAME_LEN) & FIRST(6)) != CH8('V', 'A', 'L', 'U', 'E', ' ', 0, 0))
		return 0;
	{
		u32 hash = FNV_OFFSET;

		for (i = 0; i <= HOT_KEY_MAX; i++) {
			u32 c = run->reply[FRAME_LEN + 6 + i];

			if (c <= ' ')
				break;
			hash = (hash ^ c) * FNV_PRIME;
		}
		run->hash = hash;
		run->scratch[1] = i;
		FORGET();
		i = run->scratch[1];
	}
	if (i == 0 || i > HOT_KEY_MAX || run->hash != found.hash || run->reply[FRAME_LEN + 6 + i] != ' ')
		return 0;
	flags = reply_number(FRAME_LEN + 6 + i + 1);
	at = run->scratch[0];
	if (at > PAYLOAD_MAX || run->reply[at] != ' ')
		return 0;
	value_len = reply_number(at + 1);
	at = run->scratch[0];
	if (at > PAYLOAD_MAX || run->reply[at] != '\r')
		return 0; /* a cas number, or no number */
	if (value_len > HOT_VALUE_MAX) {
		mc_count(STAT_MC_TOO_BIG);
		return 0;
	}
	at += 2;
	if (at + value_len + 7 != len)
		return 0; /* several items */

	now = bpf_ktime_get_ns();
	written = bpf_map_lookup_elem(&mc_written, &found.slot);
	known_expiry = bpf_map_lookup_elem(&mc_expiry, &found.hash);
	if (known_expiry)
		expires = *known_expiry;
	if (written && now - *written < SETTLE_NS)
		goto raced;
	if (expires == EXPIRY_UNKNOWN || (expires && expires <= now))
		return 0;
	run->scratch[2] = at;
	run->scratch[3] = i;
	FORGET();
	at = run->scratch[2];
	if (at > PAYLOAD_MAX)
		return 0;
	entry = hot_claim(found.hash, found.slot, found.generation);
	if (!entry)
		goto raced;
	entry->flags = flags;
	entry->expires_ns = expires;
	entry->cas = 0;
	entry->value_len = value_len;
	entry->key_len = run->scratch[3];
	for (i = 0; i < 32; i++)
		*(u64 *)(entry->key + 8 * i) = *(u64 *)(run->reply + FRAME_LEN + 6 + 8 * i);
	for (i = 0; i < (HOT_VALUE_MAX + 7) / 8; i++) {
		if (8 * i >= value_len)
			break;
		*(u64 *)(entry->value + 8 * i) = *(u64 *)(run->reply + at + 8 * i);
	}
	hot_commit(entry, found.hash);
	mc_count(STAT_MC_UPDATE);
	return 0;
raced:
	mc_count(STAT_MC_FILL_RACED);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
