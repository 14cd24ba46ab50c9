/* SPDX-License-Identifier: MIT */
/*
 * The memcached programs and one more for the benchmark: a get that can be run again and again. A test run with
 * `repeat` runs on with the packet as the program left it, and a reply is no request.
 */
#include "memcached.bpf.c"

/* The packet of get_again, `len` bytes of it: a multiple of 8, at most 256 (Ethernet may pad). */
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

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__array(values, int(void *));
} twin_calls SEC(".maps") = {
	.values = {
		[0] = (void *)&rx_filter,
	},
};

/* Puts the request back into the packet and receives it: one tail call more than the wire's own way. */
SEC("xdp")
int get_again(struct xdp_md *ctx)
{
	u32 zero = 0;
	struct bench_request *request = bpf_map_lookup_elem(&bench_request, &zero);
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	s32 grow;

	if (!request)
		return XDP_ABORTED;
	grow = (s32)request->len - (s32)(end - data);
	if (grow && bpf_xdp_adjust_tail(ctx, grow))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	for (u32 i = 0; i < 32; i++) {
		if (data + 8 * i + 8 > end)
			break;
		*(u64 *)(data + 8 * i) = request->words[i];
	}
	bpf_tail_call(ctx, &twin_calls, 0);
	return XDP_ABORTED;
}
