/* SPDX-License-Identifier: MIT */
/*
 * HTTP key-value GETs answered at the socket: an sk_skb pair for a TCP stream. The parser cuts the stream
 * into requests; the verdict answers `GET /kv/<key>` from the hot map and sends the reply back through the
 * socket it came from; all else goes up to userspace untouched. The logic is in http_kv.h.
 */
#include "http_kv.h"
#include "answer_self.h"

SEC("sk_skb/stream_parser")
int http_kv_parser(struct __sk_buff *skb)
{
	return run_parser(skb);
}

SEC("sk_skb/stream_verdict")
int http_kv_verdict(struct __sk_buff *skb)
{
	return run_verdict(skb) == RUN_HIT ? answer_self(skb) : SK_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
