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

/* The request of hit_again, `len` bytes of it: a multiple of 8, at most 256. */
struct bench_request {
	u32 len;
	u32 reserved;
	u64 words[32];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bench_request);
} bench_request SEC(".maps");

/*
 * verdict_twin with the request put back into the packet first: a test run with `repeat` runs on with the
 * packet as the program left it, and a reply is no hit.
 */
SEC("tc")
int hit_again(struct __sk_buff *skb)
{
	u32 zero = 0;
	struct bench_request *request = bpf_map_lookup_elem(&bench_request, &zero);
	void *data, *end;

	if (!request)
		return RUN_NONE;
	if (skb->len != request->len && bpf_skb_change_tail(skb, request->len, 0))
		return RUN_NO_ROOM;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	for (u32 i = 0; i < 32; i++) {
		if (data + 8 * i + 8 > end)
			break;
		*(u64 *)(data + 8 * i) = request->words[i];
	}
	return run_verdict(skb);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
