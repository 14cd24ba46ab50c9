/* SPDX-License-Identifier: MIT */
/* How an sk_skb verdict answers: what the packet holds now goes out through the socket it came in by. */
#ifndef ANSWER_SELF_H
#define ANSWER_SELF_H

#include "hot_map.h"
#include <bpf/bpf_endian.h>

/* A context field, read through the context pointer as it is: the compiler would share an address computed
 * from it between the branches below, which no verifier takes. */
#define CTX_U32(skb, field)                                                                          \
	({                                                                                           \
		u32 value_;                                                                          \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                                                \
			     : "=r"(value_)                                                          \
			     : "r"(skb), "i"(__builtin_offsetof(struct __sk_buff, field)));          \
		value_;                                                                              \
	})

/* A connection as __sk_buff shows it. IPv4 addresses are held as IPv4-mapped IPv6 ones. */
struct sock_key {
	u32 remote_ip[4];
	u32 remote_port; /* as in __sk_buff: network order */
	u32 local_port; /* host order */
};

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 65536);
	__uint(key_size, sizeof(struct sock_key));
	__uint(value_size, sizeof(u32));
} sock_hash SEC(".maps");

static __always_inline int answer_self(struct __sk_buff *skb)
{
	struct sock_key key = {};

	if (CTX_U32(skb, family) == 2 /* AF_INET */) {
		key.remote_ip[2] = bpf_htonl(0xffff);
		key.remote_ip[3] = CTX_U32(skb, remote_ip4);
	} else {
		key.remote_ip[0] = CTX_U32(skb, remote_ip6[0]);
		key.remote_ip[1] = CTX_U32(skb, remote_ip6[1]);
		key.remote_ip[2] = CTX_U32(skb, remote_ip6[2]);
		key.remote_ip[3] = CTX_U32(skb, remote_ip6[3]);
	}
	key.remote_port = CTX_U32(skb, remote_port);
	key.local_port = CTX_U32(skb, local_port);
	return bpf_sk_redirect_hash(skb, &sock_hash, &key, 0);
}

#endif
