/**
 * Loads, stores and atomics through each kind of pointer: what may be touched, what a load yields. Rules
 * and wording follow Linux 6.18 (Documentation/bpf/verifier.rst and observed logs).
 */
import { type ContextField, contextFields } from "../context.ts";
import type { Bytes, Instruction } from "../isa.ts";
import { MAP_FLAG } from "../maps/shapes.ts";
import type { KernelField, MapDef, MapTypeName } from "../program.ts";
import { forgetCallerSaved } from "./forget.ts";
import { constant, isConstant, type Scalar, scalar, UNKNOWN } from "./scalar.ts";
import { signExtend, truncate, zeroExtend32 } from "./scalar-alu.ts";
import { isSocketField } from "./socket-fields.ts";
import { MAX_VARIABLE_OFFSET, readStack, writeStack } from "./stack-access.ts";
import { formatTnum, tnumAdd, tnumConst, tnumIsAligned } from "./tnum.ts";
import {
  constantScalar,
  isPointer,
  isSocketKind,
  type Kind,
  pointer,
  scalarValue,
  typeName,
  UNKNOWN_VALUE,
  type Value,
} from "./value.ts";
import type { Walk } from "./walk.ts";

const SPIN_LOCK_BYTES = 4;
/** Farthest byte of a packet a pointer may name (Linux MAX_PACKET_OFF). */
export const MAX_PACKET_OFFSET = 0xffffn;

export type Access = {
  readonly reg: number;
  readonly value: Value;
  readonly off: number;
  readonly size: number;
  readonly write: boolean;
  /** Alignment matters although the CPU would not mind. */
  readonly strict?: boolean;
  /** The load extends the sign: no way to get a pointer. */
  readonly signed?: boolean;
};

export function stepLoad(w: Walk, insn: Instruction & { kind: "load" }): void {
  const base = w.read(insn.src);
  w.checkWritable(insn.dst);
  const access: Access = {
    reg: insn.src,
    value: base,
    off: insn.off,
    size: insn.bytes,
    write: false,
    signed: insn.signed,
  };
  const loaded = load(w, access, insn.dst);
  noteAccess(w, base);
  w.write(insn.dst, insn.signed ? extended(loaded, insn.bytes) : loaded);
}

function extended(v: Value, bytes: Bytes): Value {
  if (v.kind !== "scalar" || bytes === 8) return v;
  return scalarValue(signExtend(v.scalar, (bytes * 8) as 8 | 16 | 32, 64));
}

export function stepStore(w: Walk, insn: Instruction & { kind: "store" }): void {
  const stored = insn.src === null ? constantScalar(BigInt(insn.imm)) : w.read(insn.src);
  const base = w.read(insn.dst);
  store(w, { reg: insn.dst, value: base, off: insn.off, size: insn.bytes, write: true }, insn.src, stored);
  noteAccess(w, base);
}

/**
 * What the kernel shows of a context or a socket is not what lies there: the access is rewritten when the program
 * is loaded, so one instruction cannot go through such a pointer on one path and through another kind on another.
 */
function noteAccess(w: Walk, { kind }: Value): void {
  const before = w.accessedThrough[w.insn] ?? kind;
  w.accessedThrough[w.insn] = before;
  if (before !== kind && (isRewritten(before) || isRewritten(kind)))
    w.reject("bad-memory-access", "same insn cannot be used with different pointers");
}

function isRewritten(kind: Kind): boolean {
  return kind === "ctx" || isSocketKind(kind);
}

export function stepAtomic(w: Walk, insn: Instruction & { kind: "atomic" }): void {
  const operand = w.read(insn.src);
  const base = w.read(insn.dst);
  if (insn.op === "cmpxchg" && w.leaks(w.read(0))) w.reject("pointer-leak", "R0 leaks addr into mem");
  if (w.leaks(operand)) w.reject("pointer-leak", `R${insn.src} leaks addr into mem`);
  if (
    base.kind === "ctx" ||
    base.kind === "packet" ||
    base.kind === "packet_meta" ||
    isSocketKind(base.kind)
  ) {
    w.reject("atomic-target", `BPF_ATOMIC stores into R${insn.dst} ${typeName(base)} is not allowed`);
  }
  const into = insn.fetch ? (insn.op === "cmpxchg" ? 0 : insn.src) : null;
  if (into !== null) w.checkWritable(into);
  const access: Access = {
    reg: insn.dst,
    value: base,
    off: insn.off,
    size: insn.bytes,
    write: false,
    strict: true,
  };
  // Whoever may not see a pointer may not change it either, whether the old one goes into a register or not.
  const before = load(w, access, null);
  store(w, { ...access, write: true }, null, UNKNOWN_VALUE);
  if (into !== null) w.write(into, before);
}

/** @param dst register filled, null when only the right to read is asked for */
export function load(w: Walk, access: Access, dst: number | null): Value {
  const { reg, value: v, off, size } = access;
  checkAlignment(w, access);
  if (v.kind === "stack" && !v.orNull) {
    const value = readStack(w, reg, v, off, size, dst);
    return value === UNKNOWN_VALUE ? unknownOfSize(size) : value;
  }
  if (v.kind === "ctx") return loadContext(w, access);
  checkRegion(w, access);
  if (v.kind === "map_value" && v.map) {
    const known = readOnlyValue(v, off, size);
    if (known) return known;
  }
  return unknownOfSize(size);
}

function unknownOfSize(size: number): Value {
  return size === 8 ? UNKNOWN_VALUE : UNKNOWN_BY_SIZE[size]!;
}

const UNKNOWN_BY_SIZE: Readonly<Record<number, Value>> = {
  1: scalarValue(truncate(UNKNOWN, 1)),
  2: scalarValue(truncate(UNKNOWN, 2)),
  4: scalarValue(zeroExtend32(UNKNOWN)),
};

export function store(w: Walk, access: Access, source: number | null, stored: Value): void {
  const { reg, value: v, off, size } = access;
  checkAlignment(w, access);
  switch (v.kind) {
    case "stack":
      writeStack(w, reg, v, off, size, source, stored);
      return;
    case "ctx":
      if (w.leaks(stored)) w.reject("pointer-leak", `R${source} leaks addr into ctx`);
      checkContext(w, access);
      return;
    case "map_value":
      if (w.leaks(stored)) w.reject("pointer-leak", `R${source} leaks addr into map`);
      break;
    case "packet":
    case "packet_meta":
      if (w.leaks(stored)) w.reject("pointer-leak", `R${source} leaks addr into packet`);
      break;
    case "mem":
    case "ringbuf_mem":
      if (w.leaks(stored)) w.reject("pointer-leak", `R${source} leaks addr into mem`);
      break;
    default:
      break;
  }
  checkRegion(w, access);
}

/** Bounds and rights of an access to memory that is neither stack nor context. */
export function checkRegion(w: Walk, access: Access): void {
  const { reg, value: v, off, size, write } = access;
  if (v.orNull || !isPointer(v)) rejectAccess(w, reg, v);
  switch (v.kind) {
    case "map_value":
      checkMapValue(w, reg, v, off, size, write);
      return;
    case "packet":
    case "packet_meta":
      checkPacket(w, reg, v, off, size);
      return;
    case "mem":
    case "ringbuf_mem":
      if (write && v.readOnly) w.reject("map-access", `R${reg} cannot write into ${typeName(v)}`);
      checkSpan(w, reg, v, off, size, v.size);
      return;
    case "map_key":
      if (write) w.reject("map-access", `write to change key R${reg} not allowed`);
      checkSpan(w, reg, v, off, size, v.map?.keyBytes ?? 0);
      return;
    case "sock":
    case "sock_common":
    case "tcp_sock":
    case "xdp_sock":
      if (write) w.reject("bad-memory-access", `R${reg} cannot write into ${typeName(v)}`);
      if (!isConstant(v.scalar) || !isSocketField(v.kind, off + v.off, size)) {
        w.reject(
          "bad-memory-access",
          `R${reg} invalid ${typeName(v)} access off=${off + v.off} size=${size}`,
        );
      }
      return;
    case "map_ptr":
      rejectMapPointer(w, access);
      return;
    default:
      rejectAccess(w, reg, v);
  }
}

/**
 * Linux lets root read the fields of its struct bpf_map, which this machine has not: everything is refused,
 * but what Linux refuses too with its words.
 */
function rejectMapPointer(w: Walk, { reg, value: v, off, write, strict }: Access): never {
  const struct = MAP_STRUCTS[v.map?.type ?? "array"] ?? "bpf_map";
  if (w.unprivileged && !strict) {
    w.reject("pointer-leak", `'struct ${struct}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN`);
  }
  if (off < 0 && !strict) {
    w.reject("map-access", `R${reg} is ${struct} invalid negative access: off=${off}`);
  }
  if (write || strict) w.reject("map-access", `only read from ${struct} is supported`);
  rejectAccess(w, reg, v);
}

const MAP_STRUCTS: Readonly<Partial<Record<MapTypeName, string>>> = {
  hash: "bpf_htab",
  percpu_hash: "bpf_htab",
  lru_hash: "bpf_htab",
  array: "bpf_array",
  percpu_array: "bpf_array",
  prog_array: "bpf_array",
  perf_event_array: "bpf_array",
  cgroup_array: "bpf_array",
  lru_percpu_hash: "bpf_htab",
  lpm_trie: "lpm_trie",
  array_of_maps: "bpf_array",
  hash_of_maps: "bpf_htab",
  devmap: "bpf_dtab",
  devmap_hash: "bpf_dtab",
  cpumap: "bpf_cpu_map",
  xskmap: "xsk_map",
  queue: "bpf_queue_stack",
  stack: "bpf_queue_stack",
  ringbuf: "bpf_ringbuf_map",
  stack_trace: "bpf_stack_map",
  bloom_filter: "bpf_bloom_filter",
  sockmap: "bpf_stab",
  sockhash: "bpf_shtab",
};

function rejectAccess(w: Walk, reg: number, v: Value): never {
  w.reject(v.orNull ? "null-pointer" : "bad-memory-access", `R${reg} invalid mem access '${typeName(v)}'`);
}

/** off + size against the end of a map value or other memory, at both ends of the variable offset. */
function checkSpan(w: Walk, reg: number, v: Value, off: number, size: number, end: number): void {
  const { scalar: variable } = v;
  const fixed = v.off + off;
  const rule = v.kind === "map_value" ? "map-value-bounds" : "memory-bounds";
  if (variable.smin < 0n && (variable.smin <= -0x8000_0000n || Number(variable.smin) + fixed < 0)) {
    w.reject(rule, `R${reg} min value is negative, either use unsigned index or do a if (index >=0) check.`);
  }
  const least = Number(variable.smin) + fixed;
  if (least < 0 || least + size > end) {
    rejectSpan(w, reg, v, least, size, end, isConstant(variable) ? null : "min");
  }
  if (variable.umax >= MAX_VARIABLE_OFFSET) {
    w.reject(rule, `R${reg} unbounded memory access, make sure to bounds check any such access`);
  }
  const most = Number(variable.umax) + fixed;
  if (most + size > end) rejectSpan(w, reg, v, most, size, end, "max");
}

function rejectSpan(
  w: Walk,
  reg: number,
  v: Value,
  off: number,
  size: number,
  end: number,
  which: "min" | "max" | null,
): never {
  const what =
    v.kind === "map_value"
      ? `invalid access to map value, value_size=${end} off=${off} size=${size}`
      : v.kind === "map_key"
        ? `invalid access to map key, key_size=${end} off=${off} size=${size}`
        : `invalid access to memory, mem_size=${end} off=${off} size=${size}`;
  w.reject(
    v.kind === "map_value" ? "map-value-bounds" : "memory-bounds",
    `${what}\nR${reg} ${which ?? "min"} value is outside of the allowed memory range`,
  );
}

/** Values are the kernel's own: a program may read them. */
const KERNEL_WRITTEN = new Set<MapTypeName>(["devmap", "devmap_hash"]);

function checkMapValue(w: Walk, reg: number, v: Value, off: number, size: number, write: boolean): void {
  const map = v.map as MapDef;
  const isForbidden = write
    ? map.readOnlyForPrograms || KERNEL_WRITTEN.has(map.type)
    : (map.flags & MAP_FLAG.wronlyProg) !== 0;
  if (isForbidden) {
    w.reject(
      "map-access",
      `${write ? "write into" : "read from"} map forbidden, value_size=${map.valueBytes} off=${v.off + off} size=${size}`,
    );
  }
  checkSpan(w, reg, v, off, size, map.valueBytes);
  if (map.spinLockOffset !== undefined || map.kernelFields) checkKept(w, map, v, off, size);
}

/** Linux lets a program load and exchange its own pointers to kernel objects; this machine has none of them. */
function checkKept(w: Walk, map: MapDef, v: Value, off: number, size: number): void {
  const { spinLockOffset: lock, kernelFields = [] } = map;
  const kept: readonly KernelField[] =
    lock === undefined
      ? kernelFields
      : [{ name: "bpf_spin_lock", offset: lock, bytes: SPIN_LOCK_BYTES }, ...kernelFields];
  const from = Number(v.scalar.smin) + v.off + off;
  const to = Number(v.scalar.umax) + v.off + off + size;
  const hit = kept.find(({ offset, bytes }) => from < offset + bytes && offset < to);
  if (!hit) return;
  const why = hit.name.endsWith("ptr")
    ? "access is not known to this verifier, which has no kernel objects"
    : "cannot be accessed directly by load/store";
  w.reject("map-access", `${hit.name} ${why}`);
}

function checkPacket(w: Walk, reg: number, v: Value, off: number, size: number): void {
  const fixed = v.off + off;
  if (v.scalar.smin < 0n) {
    w.reject(
      "packet-bounds",
      `R${reg} min value is negative, either use unsigned index or do a if (index >=0) check.`,
    );
  }
  if (v.range < 0 || fixed < 0 || size < 0 || fixed + size > v.range) {
    if (v.range < 0) w.reject("packet-bounds", `R${reg} offset is outside of the packet`);
    const r = v.range;
    w.reject(
      "packet-bounds",
      `invalid access to packet, off=${fixed} size=${size}, R${reg}(id=${v.id},off=${fixed},r=${r})\nR${reg} offset is outside of the packet`,
    );
  }
}

/** Constants of a read-only global (.rodata) are known before the program runs. */
function readOnlyValue(v: Value, off: number, size: number): Value | null {
  const map = v.map;
  if (!map?.readOnlyForPrograms || map.type !== "array" || !map.initialValue || !isConstant(v.scalar))
    return null;
  const at = Number(v.scalar.smin) + v.off + off;
  if (map.maxEntries !== 1 || size > 8) return null;
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(map.initialValue[at + i] ?? 0);
  return constantScalar(value);
}

function checkAlignment(w: Walk, access: Access): void {
  const { value: v, off, size } = access;
  const isStack = v.kind === "stack";
  if (!isStack && !access.strict) return;
  if (size === 1) return;
  if (!access.strict && (v.orNull || !isPointer(v))) return; // refused for what it is, later
  const tnum = tnumAdd(v.scalar.tnum, tnumConst(BigInt.asUintN(64, BigInt(v.off + off))));
  if (tnumIsAligned(tnum, size)) return;
  const what = isStack ? "stack " : v.kind === "map_value" && !v.orNull ? "value " : "";
  w.reject(
    "misaligned-access",
    `misaligned ${what}access off ${isConstant(v.scalar) ? v.scalar.smin : formatTnum(v.scalar.tnum)}+${v.off}+${off} size ${size}`,
  );
}

function loadContext(w: Walk, access: Access): Value {
  const field = checkContext(w, access);
  const { size } = access;
  switch (field?.type) {
    case "packet":
      return pointer("packet");
    case "packet_meta":
      return pointer("packet_meta");
    case "packet_end":
      return pointer("packet_end");
    case "sock":
      return pointer("sock_common", { orNull: true, id: w.newId() });
    default:
      return unknownOfSize(size);
  }
}

/** Addresses of the socket come whole or not at all. */
function isIpAddress({ name }: ContextField): boolean {
  return /^(remote|local)_ip/.test(name);
}

type Field = { readonly type: ContextField["type"] | "sock" };

/** Fields Linux has that this machine leaves at zero. */
const EXTRA_FIELDS: readonly ContextFieldLike[] = [
  { offset: 168, bytes: 8, type: "sock", types: ["tc", "socket_filter", "sk_skb"], narrow: false },
  { offset: 180, bytes: 1, type: "scalar", types: ["tc"], narrow: false },
  { offset: 184, bytes: 8, type: "scalar", types: ["tc"], narrow: false },
];
type ContextFieldLike = {
  readonly offset: number;
  readonly bytes: number;
  readonly type: "scalar" | "sock";
  readonly types: readonly string[];
  readonly narrow: boolean;
};

const SKB_CB_START = 48;
const SKB_CB_END = 68;

function checkContext(w: Walk, access: Access): Field | null {
  const { reg, value: v, off, size, write } = access;
  if (v.orNull) rejectAccess(w, reg, v);
  checkUnmodifiedContext(w, reg, v);
  const bad = (): never => w.reject("context-access", `invalid bpf_context access off=${off} size=${size}`);
  const { type } = w.program;
  if (off < 0 || off % size !== 0) bad();
  if (type !== "xdp" && off >= SKB_CB_START && off < SKB_CB_END) {
    // The control block is the program's own scratch: any aligned piece of it.
    const cb = contextFields(type).find((f) => f.offset === SKB_CB_START);
    if (off + size > SKB_CB_END || (write && !cb?.write.includes(type))) bad();
    return cb ?? null;
  }
  const extra = write
    ? undefined
    : EXTRA_FIELDS.find((f) => f.types.includes(type) && f.offset === off && f.bytes === size);
  if (extra) return extra;
  const field = contextFields(type).find((f) => off >= f.offset && off + size <= f.offset + f.bytes);
  if (!field || !(write ? field.write : field.read).includes(type)) return bad();
  if (access.signed && field.type !== "scalar") bad();
  const whole = size === field.bytes && off === field.offset;
  // XDP fields and pointers are whole words; numbers of an skb may be read in aligned parts.
  if (
    !whole &&
    (write || type === "xdp" || field.type !== "scalar" || field.bytes !== 4 || isIpAddress(field))
  )
    bad();
  return field;
}

export function checkUnmodifiedContext(w: Walk, reg: number, v: Value): void {
  if (!isConstant(v.scalar)) {
    w.reject(
      "context-access",
      `variable ${typeName(v)} access var_off=${formatTnum(v.scalar.tnum)} disallowed`,
    );
  }
  const off = v.off;
  if (off < 0) w.reject("context-access", `negative offset ${typeName(v)} ptr R${reg} off=${off} disallowed`);
  if (off !== 0)
    w.reject("context-access", `dereference of modified ${typeName(v)} ptr R${reg} off=${off} disallowed`);
}

/** Legacy packet loads: skb in r6, result in r0, as after a helper call. */
export function stepPacketLoad(w: Walk, insn: Instruction & { kind: "packet" }): void {
  const { type } = w.program;
  if (type !== "socket_filter" && type !== "tc") {
    w.reject("bad-instruction", "BPF_LD_[ABS|IND] instructions not allowed for this program type");
  }
  if (w.state.lock) {
    w.reject("spin-lock", "BPF_LD_[ABS|IND] cannot be used inside bpf_spin_lock-ed region");
  }
  if (w.state.refs.length > 0) {
    w.reject("reference-leak", "BPF_LD_[ABS|IND] would lead to reference leak");
  }
  const context = w.read(6);
  if (insn.src !== null) w.read(insn.src);
  if (context.kind !== "ctx")
    w.reject("context-access", "at the time of BPF_LD_ABS|IND R6 != pointer to skb");
  checkUnmodifiedContext(w, 6, context);
  forgetCallerSaved(w);
  w.frame.regs[0] = UNKNOWN_VALUE;
}

/** A scalar between two numbers, for results known to lie there. */
export function rangeValue(min: bigint, max: bigint): Value {
  const known: Scalar = min === max ? constant(min) : scalar({ smin: min, smax: max });
  return scalarValue(known);
}
