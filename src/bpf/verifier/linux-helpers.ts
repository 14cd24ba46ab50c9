/**
 * Helpers as the verifier sees them: the rows this machine runs (helpers/signatures.ts) with the facts only
 * a verifier asks for, and below them rows Linux has for these program types that the machine does not
 * run, so that a stranger's program gets the verdict Linux would give. Source: Linux UAPI <linux/bpf.h>,
 * and which program types may call what as Linux 6.18 answers (test/bpf/verifier/helper-rows.test.ts).
 */
import { type ArgKind, HELPERS, type HelperRow, type ReturnKind } from "../helpers/signatures.ts";
import type { ProgramType } from "../program.ts";
import { ELSEWHERE } from "./helpers-elsewhere.ts";

/**
 * Beside the machine's argument kinds:
 * - `sock` any socket pointer (`sock_common` too, which Linux words otherwise); `sock_release` one whose reference ends here
 * - `map_value_out` memory of the map's value size that the helper fills
 * - `out_u64` 8 bytes the helper fills
 * - `alloc_size` a constant: bytes of the record asked for; `ringbuf_mem` such a record, whose reference ends here
 * - `mem_write_init` memory the helper reads and writes
 */
export type VerifierArg =
  | ArgKind
  | "sock"
  | "sock_common"
  | "map_value_out"
  | "sock_release"
  | "out_u64"
  | "alloc_size"
  | "ringbuf_mem"
  | "mem_write_init";
export type VerifierReturn =
  | ReturnKind
  | "ringbuf_mem_or_null"
  | "sock_or_null"
  | "sock_common_or_null"
  | "tcp_sock_or_null";

export type VerifierHelper = {
  readonly id: number;
  readonly name: string;
  readonly args: readonly VerifierArg[];
  readonly ret: VerifierReturn;
  readonly types: readonly ProgramType[];
  readonly movesPacket: boolean;
  readonly gplOnly: boolean;
  readonly underLock: boolean;
  /** May memory arguments point into the packet? */
  readonly packetMemory: boolean;
  /** The result is the socket it was given, seen as another type: it ends with that one's reference. */
  readonly castsSocket: boolean;
  /** The result holds a reference that must be released. */
  readonly acquires: boolean;
  /** Least and greatest result, where known. */
  readonly range: readonly [bigint, bigint] | null;
  /** Does the emulated machine have it, or is it known only to Linux? */
  readonly runsHere: boolean;
};

const ALL = ["xdp", "tc", "sk_skb", "socket_filter"] as const;
const XDP_TC = ["xdp", "tc"] as const;
const LOOKUP = ["xdp", "tc", "sk_skb"] as const;
const SKB = ["tc", "sk_skb", "socket_filter"] as const;
const TC = ["tc"] as const;
const XDP = ["xdp"] as const;
const TC_SK = ["tc", "sk_skb"] as const;

type Row = Pick<VerifierHelper, "id" | "name" | "args" | "ret" | "types"> & Partial<VerifierHelper>;

const LOOKUP_ARGS = ["ctx", "mem_rdonly", "size_or_zero", "anything", "anything"] as const;

const LINUX_ONLY: readonly Row[] = [
  {
    id: 13,
    name: "clone_redirect",
    args: ["ctx", "anything", "anything"],
    ret: "integer",
    types: TC,
    movesPacket: true,
  },
  { id: 14, name: "get_current_pid_tgid", args: [], ret: "integer", types: ALL },
  { id: 15, name: "get_current_uid_gid", args: [], ret: "integer", types: ALL },
  { id: 16, name: "get_current_comm", args: ["mem_write", "size"], ret: "integer", types: ALL },
  { id: 17, name: "get_cgroup_classid", args: ["ctx"], ret: "integer", types: ALL },
  {
    id: 18,
    name: "skb_vlan_push",
    args: ["ctx", "anything", "anything"],
    ret: "integer",
    types: TC,
    movesPacket: true,
  },
  { id: 19, name: "skb_vlan_pop", args: ["ctx"], ret: "integer", types: TC, movesPacket: true },
  {
    id: 20,
    name: "skb_get_tunnel_key",
    args: ["ctx", "mem_write", "size", "anything"],
    ret: "integer",
    types: TC,
  },
  {
    id: 21,
    name: "skb_set_tunnel_key",
    args: ["ctx", "mem_rdonly", "size", "anything"],
    ret: "integer",
    types: TC,
  },
  { id: 24, name: "get_route_realm", args: ["ctx"], ret: "integer", types: TC },
  {
    id: 31,
    name: "skb_change_proto",
    args: ["ctx", "anything", "anything"],
    ret: "integer",
    types: TC,
    movesPacket: true,
  },
  { id: 32, name: "skb_change_type", args: ["ctx", "anything"], ret: "integer", types: TC },
  { id: 34, name: "get_hash_recalc", args: ["ctx"], ret: "integer", types: TC },
  { id: 35, name: "get_current_task", args: [], ret: "integer", types: ALL, gplOnly: true },
  { id: 40, name: "csum_update", args: ["ctx", "anything"], ret: "integer", types: TC },
  { id: 41, name: "set_hash_invalid", args: ["ctx"], ret: "integer", types: TC },
  { id: 42, name: "get_numa_node_id", args: [], ret: "integer", types: ALL },
  { id: 46, name: "get_socket_cookie", args: ["ctx"], ret: "integer", types: SKB },
  { id: 47, name: "get_socket_uid", args: ["ctx"], ret: "integer", types: SKB },
  { id: 48, name: "set_hash", args: ["ctx", "anything"], ret: "integer", types: TC },
  {
    id: 50,
    name: "skb_adjust_room",
    args: ["ctx", "anything", "anything", "anything"],
    ret: "integer",
    types: TC_SK,
    movesPacket: true,
  },
  {
    id: 68,
    name: "skb_load_bytes_relative",
    args: ["ctx", "anything", "mem_write", "size", "anything"],
    ret: "integer",
    types: ["tc", "socket_filter"],
  },
  {
    id: 69,
    name: "fib_lookup",
    args: ["ctx", "mem_write_init", "size", "anything"],
    ret: "integer",
    types: XDP_TC,
    gplOnly: true,
  },
  { id: 80, name: "get_current_cgroup_id", args: [], ret: "integer", types: ALL },
  {
    id: 84,
    name: "sk_lookup_tcp",
    args: LOOKUP_ARGS,
    ret: "sock_or_null",
    types: LOOKUP,
    packetMemory: true,
    acquires: true,
  },
  {
    id: 85,
    name: "sk_lookup_udp",
    args: LOOKUP_ARGS,
    ret: "sock_or_null",
    types: LOOKUP,
    packetMemory: true,
    acquires: true,
  },
  { id: 86, name: "sk_release", args: ["sock_release"], ret: "integer", types: LOOKUP },
  { id: 95, name: "sk_fullsock", args: ["sock_common"], ret: "sock_or_null", types: TC, castsSocket: true },
  { id: 96, name: "tcp_sock", args: ["sock_common"], ret: "tcp_sock_or_null", types: TC, castsSocket: true },
  { id: 97, name: "skb_ecn_set_ce", args: ["ctx"], ret: "integer", types: TC },
  { id: 98, name: "get_listener_sock", args: ["sock_common"], ret: "sock_or_null", types: TC },
  {
    id: 99,
    name: "skc_lookup_tcp",
    args: LOOKUP_ARGS,
    ret: "sock_common_or_null",
    types: LOOKUP,
    packetMemory: true,
    acquires: true,
  },
  {
    id: 105,
    name: "strtol",
    args: ["mem_rdonly", "size", "anything", "out_u64"],
    ret: "integer",
    types: ALL,
  },
  {
    id: 106,
    name: "strtoul",
    args: ["mem_rdonly", "size", "anything", "out_u64"],
    ret: "integer",
    types: ALL,
  },
  {
    id: 112,
    name: "probe_read_user",
    args: ["mem_write", "size_or_zero", "anything"],
    ret: "integer",
    types: ALL,
    gplOnly: true,
  },
  {
    id: 113,
    name: "probe_read_kernel",
    args: ["mem_write", "size_or_zero", "anything"],
    ret: "integer",
    types: ALL,
    gplOnly: true,
  },
  { id: 118, name: "jiffies64", args: [], ret: "integer", types: ALL },
  { id: 122, name: "get_netns_cookie", args: ["ctx"], ret: "integer", types: ["tc", "socket_filter"] },
  { id: 125, name: "ktime_get_boot_ns", args: [], ret: "integer", types: ALL },
  { id: 135, name: "csum_level", args: ["ctx", "anything"], ret: "integer", types: TC },
  { id: 155, name: "redirect_peer", args: ["anything", "anything"], ret: "integer", types: TC },
  { id: 160, name: "ktime_get_coarse_ns", args: [], ret: "integer", types: ALL },
  {
    id: 164,
    name: "for_each_map_elem",
    args: ["const_map_ptr", "callback", "stack_or_null", "anything"],
    ret: "integer",
    types: ALL,
  },
  { id: 188, name: "xdp_get_buff_len", args: ["ctx"], ret: "integer", types: XDP },
  {
    id: 195,
    name: "map_lookup_percpu_elem",
    args: ["const_map_ptr", "map_key", "anything"],
    ret: "map_value_or_null",
    types: ALL,
  },
  { id: 208, name: "ktime_get_tai_ns", args: [], ret: "integer", types: ALL },
];

/** Memory arguments of these may lie in the packet. */
const PACKET_MEMORY = new Set([
  "map_lookup_elem",
  "map_update_elem",
  "map_delete_elem",
  "csum_diff",
  "sk_redirect_hash",
]);
/** CPU numbers are small: the kernel knows how many there can be. */
const RANGES: ReadonlyMap<string, readonly [bigint, bigint]> = new Map([
  ["get_smp_processor_id", [0n, 8191n]],
]);

function complete(row: Row, runsHere: boolean): VerifierHelper {
  return {
    movesPacket: false,
    gplOnly: false,
    underLock: false,
    packetMemory: PACKET_MEMORY.has(row.name),
    acquires: false,
    castsSocket: false,
    range: RANGES.get(row.name) ?? null,
    runsHere,
    ...row,
  };
}

function fromMachine(row: HelperRow): VerifierHelper {
  const { id, name, args, ret, types } = row;
  return complete(
    {
      id,
      name,
      args,
      ret,
      types,
      // A tail-called program may have moved the packet before control ends there; Linux 6.13 on.
      movesPacket: (row.movesPacket ?? false) || name === "tail_call",
      gplOnly: row.gplOnly ?? false,
      underLock: row.underLock ?? false,
    },
    true,
  );
}

const ROWS: ReadonlyMap<number, VerifierHelper> = new Map([
  ...LINUX_ONLY.map((row): [number, VerifierHelper] => [row.id, complete(row, false)]),
  ...ELSEWHERE.map((row): [number, VerifierHelper] => [row.id, complete(row, false)]),
  ...HELPERS.map((row): [number, VerifierHelper] => [row.id, fromMachine(row)]),
]);

export function verifierHelper(id: number): VerifierHelper | undefined {
  return ROWS.get(id);
}

export function verifierHelpers(): Iterable<VerifierHelper> {
  return ROWS.values();
}
