/**
 * Helpers Linux has and this machine has not, beside the rows of linux-helpers.ts: known so that a stranger's
 * program gets the verdict Linux gives. Two kinds: rows whose arguments and result this verifier can check,
 * and names it can only refuse (`NOT_MODELLED`: pointers of the kernel's own types, timers, dynptrs).
 * Ids and prototypes: Linux UAPI <linux/bpf.h>; which program types may call them: as Linux 6.18 answers.
 */
import type { ProgramType } from "../program.ts";
import type { VerifierArg, VerifierHelper, VerifierReturn } from "./linux-helpers.ts";

const ALL = ["xdp", "tc", "sk_skb", "socket_filter"] as const;
const TC = ["tc"] as const;
const XDP = ["xdp"] as const;
const XDP_TC = ["xdp", "tc"] as const;

type Row = Pick<VerifierHelper, "id" | "name" | "args" | "ret" | "types"> & Partial<VerifierHelper>;

function row(
  id: number,
  name: string,
  types: readonly ProgramType[],
  args: readonly VerifierArg[],
  more: Partial<VerifierHelper> & { ret?: VerifierReturn } = {},
): Row {
  return { id, name, types, args, ret: "integer", ...more };
}

const MEMORY = ["mem_rdonly", "size"] as const;
const FILLED = ["mem_write", "size"] as const;
const SYN_COOKIE = ["sock", ...MEMORY, ...MEMORY] as const;

export const ELSEWHERE: readonly Row[] = [
  row(22, "perf_event_read", ALL, ["const_map_ptr", "anything"]),
  row(25, "perf_event_output", ALL, ["ctx", "const_map_ptr", "anything", "mem_rdonly", "size_or_zero"], {
    gplOnly: true,
  }),
  row(29, "skb_get_tunnel_opt", TC, ["ctx", ...FILLED]),
  row(30, "skb_set_tunnel_opt", TC, ["ctx", ...MEMORY]),
  row(33, "skb_under_cgroup", TC, ["ctx", "const_map_ptr", "anything"]),
  row(37, "current_task_under_cgroup", ALL, ["const_map_ptr", "anything"]),
  row(51, "redirect_map", XDP, ["const_map_ptr", "anything", "anything"]),
  row(55, "perf_event_read_value", ALL, ["const_map_ptr", "anything", ...FILLED], { gplOnly: true }),
  row(66, "skb_get_xfrm_state", TC, ["ctx", "anything", ...FILLED, "anything"]),
  row(79, "skb_cgroup_id", TC, ["ctx"]),
  row(83, "skb_ancestor_cgroup_id", TC, ["ctx", "anything"]),
  row(87, "map_push_elem", ALL, ["const_map_ptr", "map_value", "anything"], { packetMemory: true }),
  row(88, "map_pop_elem", ALL, ["const_map_ptr", "map_value_out"]),
  row(89, "map_peek_elem", ALL, ["const_map_ptr", "map_value_out"]),
  row(100, "tcp_check_syncookie", XDP_TC, SYN_COOKIE, { packetMemory: true }),
  row(109, "send_signal", ALL, ["anything"]),
  row(110, "tcp_gen_syncookie", XDP_TC, SYN_COOKIE, { packetMemory: true, gplOnly: true }),
  row(114, "probe_read_user_str", ALL, ["mem_write", "size_or_zero", "anything"], { gplOnly: true }),
  row(115, "probe_read_kernel_str", ALL, ["mem_write", "size_or_zero", "anything"], { gplOnly: true }),
  row(117, "send_signal_thread", ALL, ["anything"]),
  row(120, "get_ns_current_pid_tgid", ALL, ["anything", "anything", ...FILLED]),
  row(123, "get_current_ancestor_cgroup_id", ALL, ["anything"]),
  row(124, "sk_assign", TC, ["ctx", "sock", "anything"]),
  row(130, "ringbuf_output", ALL, ["const_map_ptr", "mem_rdonly", "size_or_zero", "anything"]),
  row(131, "ringbuf_reserve", ALL, ["const_map_ptr", "alloc_size", "anything"], {
    ret: "ringbuf_mem_or_null",
    acquires: true,
  }),
  row(132, "ringbuf_submit", ALL, ["ringbuf_mem", "anything"], { ret: "void" }),
  row(133, "ringbuf_discard", ALL, ["ringbuf_mem", "anything"], { ret: "void" }),
  row(134, "ringbuf_query", ALL, ["const_map_ptr", "anything"]),
  // The kernel's own socket types: what comes back may be compared, not followed.
  row(136, "skc_to_tcp6_sock", ALL, ["sock"]),
  row(137, "skc_to_tcp_sock", ALL, ["sock"]),
  row(138, "skc_to_tcp_timewait_sock", ALL, ["sock"]),
  row(139, "skc_to_tcp_request_sock", ALL, ["sock"]),
  row(140, "skc_to_udp6_sock", ALL, ["sock"]),
  row(149, "snprintf_btf", ALL, [...FILLED, ...MEMORY, "anything"], { gplOnly: true }),
  row(151, "skb_cgroup_classid", TC, ["ctx"]),
  row(152, "redirect_neigh", TC, ["anything", "mem_rdonly_or_null", "size_or_zero", "anything"]),
  row(158, "get_current_task_btf", ALL, [], { gplOnly: true }),
  row(176, "get_branch_snapshot", ALL, ["mem_write", "size_or_zero"], { gplOnly: true }),
  row(177, "trace_vprintk", ALL, [...MEMORY, "mem_rdonly_or_null", "size_or_zero"], { gplOnly: true }),
  row(178, "skc_to_unix_sock", ALL, ["sock"]),
  row(192, "skb_set_tstamp", TC, ["ctx", "anything", "anything"]),
  row(196, "skc_to_mptcp_sock", ALL, ["sock_common"]),
];

type NotModelled = { readonly types: readonly ProgramType[]; readonly names: string };

/** What Linux takes in these types and this verifier cannot check: refused in words that say so. */
const NOT_MODELLED: readonly NotModelled[] = [
  {
    types: ALL,
    names: `get_task_stack per_cpu_ptr this_cpu_ptr
      task_storage_get task_storage_delete snprintf timer_init timer_set_callback timer_start timer_cancel
      task_pt_regs find_vma strncmp kptr_xchg dynptr_from_mem ringbuf_reserve_dynptr
      ringbuf_submit_dynptr ringbuf_discard_dynptr dynptr_read dynptr_write dynptr_data user_ringbuf_drain
      cgrp_storage_get cgrp_storage_delete`,
  },
  { types: TC, names: "sk_storage_get sk_storage_delete" },
  {
    types: XDP_TC,
    names: `check_mtu tcp_raw_gen_syncookie_ipv4 tcp_raw_gen_syncookie_ipv6 tcp_raw_check_syncookie_ipv4
      tcp_raw_check_syncookie_ipv6`,
  },
];
const TYPES_OF_NOT_MODELLED: ReadonlyMap<string, readonly ProgramType[]> = new Map(
  NOT_MODELLED.flatMap(({ names, types }) => names.split(/\s+/).map((name) => [`bpf_${name}`, types])),
);

/** They may sleep, which no program of these types may. */
const SLEEPING = new Set(["bpf_copy_from_user", "bpf_copy_from_user_task"]);

/** Why a helper without a row cannot be called. @param name with its `bpf_` prefix, or `unknown` */
export function whyRefused(id: number, name: string, type: ProgramType): string {
  if (id !== 0 && name === "unknown") return `invalid func unknown#${id}`;
  if (SLEEPING.has(name)) return "helper call might sleep in a non-sleepable prog";
  if (TYPES_OF_NOT_MODELLED.get(name)?.includes(type)) {
    return `helper ${name}#${id} is not known to this verifier, though Linux has it for ${type} programs`;
  }
  return `program of this type cannot use helper ${id === 0 ? "bpf_unspec" : name}#${id}`;
}
