/**
 * Helper functions as data: one row a helper, read by assembler, disassembler, verifier, JIT and
 * interpreter. Ids, names and prototypes: Linux UAPI <linux/bpf.h>; `types`: which program types the
 * kernel allows them in. Implementations live beside, keyed by the same names.
 */
import type { ProgramType } from "../program.ts";

/**
 * What an argument must be.
 * - `anything` any initialised value (verifier: no pointer leak rules for root)
 * - `ctx` the program's context pointer, unmodified
 * - `const_map_ptr` a map from a wide load
 * - `map_key` / `map_value` readable memory of the map's key / value size (map: the preceding const_map_ptr)
 * - `mem_rdonly` / `mem_write` pointer to memory whose size is the following `size` argument;
 *    mem_write may be uninitialised stack; `_or_null` forms allow NULL
 * - `size` / `size_or_zero` size of the preceding memory argument, > 0 / >= 0
 * - `spin_lock` pointer to the bpf_spin_lock inside a map value
 * - `callback` a wide load of kind func; `stack_or_null` a stack pointer or NULL for the callback's ctx
 */
export type ArgKind =
  | "anything"
  | "ctx"
  | "const_map_ptr"
  | "map_key"
  | "map_value"
  | "mem_rdonly"
  | "mem_rdonly_or_null"
  | "mem_write"
  | "size"
  | "size_or_zero"
  | "spin_lock"
  | "callback"
  | "stack_or_null";

export type ReturnKind = "integer" | "void" | "map_value_or_null";

/**
 * How a result crosses from a helper to a compiled program: `i32` is sign-extended (0 or -errno), `u32`
 * zero-extended (pointers, unsigned words), `i64` a bigint.
 */
export type ResultWire = "i32" | "u32" | "i64";

/** What the cost model charges beside the helper's copied bytes. */
export type CostClass =
  | "none"
  | "map"
  | "tail_call"
  | "clock"
  | "packet"
  | "copy"
  | "checksum"
  | "redirect"
  | "lock";

export type HelperRow = {
  readonly id: number;
  /** Without the `bpf_` prefix. */
  readonly name: string;
  readonly args: readonly ArgKind[];
  readonly ret: ReturnKind;
  readonly wire: ResultWire;
  readonly types: readonly ProgramType[];
  /** Packet pointers are invalid after the call. */
  readonly movesPacket?: true;
  /** May it be called while a bpf_spin_lock is held? */
  readonly underLock?: true;
  readonly gplOnly?: true;
  /** Further arguments passed as they are (r3.. of trace_printk): whole registers that nobody checks. */
  readonly extraArgs?: 3;
  readonly cost: CostClass;
};

const ALL = ["xdp", "tc", "sk_skb", "socket_filter"] as const;

export const HELPERS = [
  {
    id: 1,
    name: "map_lookup_elem",
    args: ["const_map_ptr", "map_key"],
    ret: "map_value_or_null",
    wire: "u32",
    types: ALL,
    cost: "map",
  },
  {
    id: 2,
    name: "map_update_elem",
    args: ["const_map_ptr", "map_key", "map_value", "anything"],
    ret: "integer",
    wire: "i32",
    types: ALL,
    cost: "map",
  },
  {
    id: 3,
    name: "map_delete_elem",
    args: ["const_map_ptr", "map_key"],
    ret: "integer",
    wire: "i32",
    types: ALL,
    cost: "map",
  },
  { id: 5, name: "ktime_get_ns", args: [], ret: "integer", wire: "i64", types: ALL, cost: "clock" },
  {
    id: 6,
    name: "trace_printk",
    args: ["mem_rdonly", "size"],
    ret: "integer",
    wire: "i32",
    types: ALL,
    gplOnly: true,
    extraArgs: 3,
    cost: "none",
  },
  { id: 7, name: "get_prandom_u32", args: [], ret: "integer", wire: "u32", types: ALL, cost: "none" },
  { id: 8, name: "get_smp_processor_id", args: [], ret: "integer", wire: "u32", types: ALL, cost: "none" },
  {
    id: 9,
    name: "skb_store_bytes",
    args: ["ctx", "anything", "mem_rdonly", "size", "anything"],
    ret: "integer",
    wire: "i32",
    types: ["tc", "sk_skb"],
    movesPacket: true,
    cost: "copy",
  },
  {
    id: 10,
    name: "l3_csum_replace",
    args: ["ctx", "anything", "anything", "anything", "anything"],
    ret: "integer",
    wire: "i32",
    types: ["tc"],
    movesPacket: true,
    cost: "checksum",
  },
  {
    id: 11,
    name: "l4_csum_replace",
    args: ["ctx", "anything", "anything", "anything", "anything"],
    ret: "integer",
    wire: "i32",
    types: ["tc"],
    movesPacket: true,
    cost: "checksum",
  },
  {
    id: 12,
    name: "tail_call",
    args: ["ctx", "const_map_ptr", "anything"],
    ret: "void",
    wire: "i32",
    types: ALL,
    cost: "tail_call",
  },
  {
    id: 23,
    name: "redirect",
    args: ["anything", "anything"],
    ret: "integer",
    wire: "i32",
    types: ["xdp", "tc"],
    cost: "redirect",
  },
  {
    id: 26,
    name: "skb_load_bytes",
    args: ["ctx", "anything", "mem_write", "size"],
    ret: "integer",
    wire: "i32",
    types: ["tc", "sk_skb", "socket_filter"],
    cost: "copy",
  },
  {
    id: 28,
    name: "csum_diff",
    args: ["mem_rdonly_or_null", "size_or_zero", "mem_rdonly_or_null", "size_or_zero", "anything"],
    ret: "integer",
    wire: "i64",
    types: ["xdp", "tc"],
    cost: "checksum",
  },
  {
    id: 38,
    name: "skb_change_tail",
    args: ["ctx", "anything", "anything"],
    ret: "integer",
    wire: "i32",
    types: ["tc", "sk_skb"],
    movesPacket: true,
    cost: "packet",
  },
  {
    id: 39,
    name: "skb_pull_data",
    args: ["ctx", "anything"],
    ret: "integer",
    wire: "i32",
    types: ["tc", "sk_skb"],
    movesPacket: true,
    cost: "packet",
  },
  {
    id: 43,
    name: "skb_change_head",
    args: ["ctx", "anything", "anything"],
    ret: "integer",
    wire: "i32",
    types: ["tc", "sk_skb"],
    movesPacket: true,
    cost: "packet",
  },
  {
    id: 44,
    name: "xdp_adjust_head",
    args: ["ctx", "anything"],
    ret: "integer",
    wire: "i32",
    types: ["xdp"],
    movesPacket: true,
    cost: "packet",
  },
  {
    id: 52,
    name: "sk_redirect_map",
    args: ["ctx", "const_map_ptr", "anything", "anything"],
    ret: "integer",
    wire: "i32",
    types: ["sk_skb"],
    cost: "redirect",
  },
  {
    id: 54,
    name: "xdp_adjust_meta",
    args: ["ctx", "anything"],
    ret: "integer",
    wire: "i32",
    types: ["xdp"],
    movesPacket: true,
    cost: "packet",
  },
  {
    id: 65,
    name: "xdp_adjust_tail",
    args: ["ctx", "anything"],
    ret: "integer",
    wire: "i32",
    types: ["xdp"],
    movesPacket: true,
    cost: "packet",
  },
  {
    id: 72,
    name: "sk_redirect_hash",
    args: ["ctx", "const_map_ptr", "map_key", "anything"],
    ret: "integer",
    wire: "i32",
    types: ["sk_skb"],
    cost: "redirect",
  },
  { id: 93, name: "spin_lock", args: ["spin_lock"], ret: "void", wire: "i32", types: ALL, cost: "lock" },
  {
    id: 94,
    name: "spin_unlock",
    args: ["spin_lock"],
    ret: "void",
    wire: "i32",
    types: ALL,
    underLock: true,
    cost: "lock",
  },
  {
    id: 181,
    name: "loop",
    args: ["anything", "callback", "stack_or_null", "anything"],
    ret: "integer",
    wire: "i32",
    types: ALL,
    cost: "none",
  },
  {
    id: 189,
    name: "xdp_load_bytes",
    args: ["ctx", "anything", "mem_write", "size"],
    ret: "integer",
    wire: "i32",
    types: ["xdp"],
    cost: "copy",
  },
  {
    id: 190,
    name: "xdp_store_bytes",
    args: ["ctx", "anything", "mem_rdonly", "size"],
    ret: "integer",
    wire: "i32",
    types: ["xdp"],
    cost: "copy",
  },
] as const satisfies readonly HelperRow[];

export type HelperName = (typeof HELPERS)[number]["name"];
export type HelperId = (typeof HELPERS)[number]["id"];

const BY_ID: ReadonlyMap<number, HelperRow & { name: HelperName }> = new Map(
  HELPERS.map((row) => [row.id, row]),
);
const BY_NAME: ReadonlyMap<string, HelperRow & { name: HelperName }> = new Map(
  HELPERS.map((row) => [row.name, row]),
);

export function helperById(id: number): (HelperRow & { name: HelperName }) | undefined {
  return BY_ID.get(id);
}

/** @param name with or without the `bpf_` prefix */
export function helperByName(name: string): (HelperRow & { name: HelperName }) | undefined {
  return BY_NAME.get(name.startsWith("bpf_") ? name.slice(4) : name);
}

/**
 * How a value crosses between a compiled program and a helper: pointers, sizes and most scalars fit the
 * 32-bit address space as an i32; only `anything` needs all 64 bits.
 */
export function wireTypeOf(kind: ArgKind): "i32" | "i64" {
  return kind === "anything" ? "i64" : "i32";
}

/** The wire types of all parameters of a helper, its extra ones included. */
export function parameterWires(row: HelperRow): ("i32" | "i64")[] {
  return [...row.args.map(wireTypeOf), ...new Array<"i64">(row.extraArgs ?? 0).fill("i64")];
}
