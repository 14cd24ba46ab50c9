/* SPDX-License-Identifier: MIT */
/*
 * memcached_skb's logic as tc programs, because the kernel's BPF_PROG_TEST_RUN knows no sk_skb: tests compare
 * the kernel's answer with the emulator's. The packet is the bare command.
 */
#include "memcached_skb.h"

SEC("tc")
int mc_parser_twin(struct __sk_buff *skb)
{
	return run_parser(skb);
}

SEC("tc")
int mc_verdict_twin(struct __sk_buff *skb)
{
	return run_verdict(skb);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
