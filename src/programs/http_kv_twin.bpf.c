/* SPDX-License-Identifier: MIT */
/*
 * http_kv's logic as tc programs, because the kernel's BPF_PROG_TEST_RUN knows no sk_skb: tests compare the
 * kernel's answer with the emulator's, and the benchmark their speed. The packet is the bare request.
 */
#include "http_kv.h"

SEC("tc")
int parser_twin(struct __sk_buff *skb)
{
	return run_parser(skb);
}

SEC("tc")
int verdict_twin(struct __sk_buff *skb)
{
	return run_verdict(skb);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
