/* SPDX-License-Identifier: MIT */
/*
 * memcached over TCP answered at the socket, which BMC left to the stack: an sk_skb pair for a stream. The
 * parser cuts it into commands; the verdict answers a `get` whose keys are all hot through the socket it came
 * from, drops what any other command writes, and lets all else up to userspace untouched. Userspace fills.
 * The logic is in memcached_skb.h.
 */
#include "memcached_skb.h"
#include "answer_self.h"

SEC("sk_skb/stream_parser")
int mc_parser(struct __sk_buff *skb)
{
	return run_parser(skb);
}

SEC("sk_skb/stream_verdict")
int mc_verdict(struct __sk_buff *skb)
{
	return run_verdict(skb) == RUN_HIT ? answer_self(skb) : SK_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
