/**
 * Conditional jumps: decide them where the operands allow it, else walk both sides with what each side
 * teaches: ranges of scalars, bytes of packet, pointers that are (not) NULL.
 */
import type { Instruction, Width } from "../isa.ts";
import type { MapTypeName } from "../program.ts";
import { collectLinked, tellLinked } from "./linked-scalars.ts";
import { MAX_PACKET_OFFSET } from "./memory-access.ts";
import { markPrecise } from "./precision.ts";
import { isConstant, meet, type Scalar } from "./scalar.ts";
import { decide, FLIPPED, NEGATED, type Refined, type Relation, refine } from "./scalar-branch.ts";
import type { LinkedPlace, State } from "./state.ts";
import {
  AT_PACKET_END,
  BEYOND_PACKET_END,
  constantScalar,
  isOfPacket,
  isPacketKind,
  isPointer,
  type Kind,
  type Value,
  withScalar,
  ZERO_VALUE,
} from "./value.ts";
import type { Walk } from "./walk.ts";

type BranchInsn = Instruction & { kind: "branch" };

/** @returns the next instruction; the other side, if open, is put up for later */
export function stepBranch(w: Walk, insn: BranchInsn): number {
  const a = w.read(insn.dst);
  const b = insn.src === null ? constantScalar(BigInt(insn.imm)) : w.read(insn.src);
  if (w.unprivileged && isPointer(b) && !(isOfPacket(a.kind) && isOfPacket(b.kind))) {
    w.reject("pointer-leak", `R${insn.src} pointer comparison prohibited`);
  }
  const target = w.insn + 1 + insn.off;
  const taken = decideBranch(insn, a, b);
  if (taken !== null) {
    if (a.kind === "scalar") markPrecise(w, insn.dst);
    if (insn.src !== null && b.kind === "scalar") markPrecise(w, insn.src);
    return taken ? target : w.insn + 1;
  }
  if (a.kind === "scalar" && b.kind === "scalar") return splitScalars(w, insn, a, b, target);
  if (w.unprivileged) checkLeak(w, insn, a, b);
  const other = fork(w, target);
  splitPointers(w, insn, a, b, other);
  w.enqueue(other);
  return w.insn + 1;
}

/** A copy of the state as it goes on at `target`. */
function fork(w: Walk, target: number): State {
  const other = w.state.fork();
  other.insn = target;
  other.previous = w.insn;
  return other;
}

/** What is told of a pointer when neither side is certain. */
function checkLeak(w: Walk, insn: BranchInsn, a: Value, b: Value): void {
  const nullCheck =
    insn.src === null && insn.imm === 0 && insn.width === 64 && (insn.op === "eq" || insn.op === "ne");
  if (isPointer(a) && a.orNull && nullCheck) return;
  if (insn.src !== null && packetRelation(insn, a, b) !== null) return;
  if (isPointer(a)) w.reject("pointer-leak", `R${insn.dst} pointer comparison prohibited`);
}

const NEVER_NULL = new Set<Kind>([
  "map_value",
  "map_key",
  "mem",
  "ringbuf_mem",
  "sock",
  "sock_common",
  "tcp_sock",
  "map_ptr",
]);

function decideBranch(insn: BranchInsn, a: Value, b: Value): boolean | null {
  if (a.kind === "scalar" && b.kind === "scalar") {
    return decide(insn.op, insn.width, a.scalar, b.scalar);
  }
  if (insn.width === 32) return null;
  if (isPointer(a) && isPointer(b)) return insn.src === null ? null : decidePacket(insn, a, b);
  const [ptr, other] = isPointer(a) ? [a, b] : [b, a];
  if (ptr.orNull || !NEVER_NULL.has(ptr.kind)) return null;
  if (!isConstant(other.scalar) || other.scalar.tnum.value !== 0n) return null;
  return insn.op === "eq" ? false : insn.op === "ne" ? true : null;
}

function splitScalars(w: Walk, insn: BranchInsn, a: Value, b: Value, target: number): number {
  const same = insn.src !== null && insn.src === insn.dst;
  const sides = same ? refineItself : refine;
  const yes = sides(insn.op, insn.width, a.scalar, b.scalar);
  const no = sides(NEGATED[insn.op as Relation], insn.width, a.scalar, b.scalar);
  // A side whose facts contradict each other cannot be reached.
  const only = yes === null ? no : no === null ? yes : null;
  if (only) {
    markPrecise(w, insn.dst);
    if (insn.src !== null) markPrecise(w, insn.src);
  }
  const linked = collectLinked(w, insn.src === null || b.id === a.id ? [a.id] : [b.id, a.id]);
  if (linked.length > 0) w.noteLinked(linked);
  if (only) {
    // One side is impossible, so what the other teaches holds for certain.
    learn(w.state, insn, only, linked);
    return only === yes ? target : w.insn + 1;
  }
  if (yes === null || no === null) return w.insn + 1;
  const other = fork(w, target);
  learn(w.state, insn, no, linked);
  learn(other, insn, yes, linked);
  w.enqueue(other);
  return w.insn + 1;
}

/**
 * A register compared with itself: Linux walks both sides, the impossible one too, with what the comparison
 * says of either operand; where that is a contradiction it knows nothing.
 */
function refineItself(relation: Relation, width: Width, a: Scalar): Refined {
  const sides = refine(relation, width, a, a);
  const both = sides && meet(sides.a, sides.b);
  return { a: both ?? a, b: both ?? a };
}

function learn(
  state: State,
  insn: BranchInsn,
  known: NonNullable<Refined>,
  linked: readonly LinkedPlace[],
): void {
  const { regs } = state.frame;
  regs[insn.dst] = withScalar(regs[insn.dst]!, known.a);
  if (insn.src !== null) {
    const b = withScalar(regs[insn.src]!, known.b);
    regs[insn.src] = b;
    if (b.id !== 0) tellLinked(state, b, insn.src, linked);
  }
  const a = regs[insn.dst]!;
  if (a.id !== 0) tellLinked(state, a, insn.dst, linked);
}

function splitPointers(w: Walk, insn: BranchInsn, a: Value, b: Value, taken: State): void {
  if (insn.width === 32) return;
  const { op } = insn;
  const through = w.state;
  if (op === "eq" || op === "ne") {
    const equal = op === "eq" ? taken : through;
    const differ = op === "eq" ? through : taken;
    if (insn.src === null && insn.imm === 0 && a.orNull) {
      settleNull(equal, a, true);
      settleNull(differ, a, false);
      return;
    }
    // Equal to a pointer that is none: not NULL either. Linux says so of this register only, not of its copies.
    if (insn.src !== null && isPointer(a) && isPointer(b) && a.orNull !== b.orNull) {
      const ptr = a.orNull ? a : b;
      equal.frame.regs[a.orNull ? insn.dst : insn.src] = { ...found(ptr), id: ptr.id };
    }
    return;
  }
  const relation = insn.src === null ? null : packetRelation(insn, a, b);
  if (!relation) return;
  provePacket(relation.op === "le" || relation.op === "lt" ? taken : through, relation);
  markPacketEnd(relation.op === "le" || relation.op === "lt" ? through : taken, relation);
}

/** Every copy of a nullable pointer becomes NULL, or the pointer. A reference that is NULL needs no release. */
function settleNull(state: State, ptr: Value, isNull: boolean): void {
  const { id, ref } = ptr;
  // A view of another socket (sk_fullsock) may be NULL while that one is held.
  if (isNull && ref !== 0 && ref === id) state.refs = state.refs.filter((r) => r.id !== ref);
  const settle = (v: Value): Value => {
    if (!v.orNull || v.id !== id) return v;
    if (isNull) return ZERO_VALUE;
    return found(v);
  };
  for (const frame of state.frames) {
    for (let i = 0; i < 10; i++) frame.regs[i] = settle(frame.regs[i]!);
    for (let i = 0; i < frame.stack.length; i++) {
      const slot = frame.stack[i]!;
      const next = settle(slot.spilled);
      if (next !== slot.spilled) frame.stack[i] = { bytes: slot.bytes, spilled: next };
    }
  }
}

/** What a look-up in these maps finds, once it is known not to be NULL; in all others, the value. */
const ELEMENT_KINDS: Readonly<Partial<Record<MapTypeName, Kind>>> = {
  array_of_maps: "map_ptr",
  hash_of_maps: "map_ptr",
  xskmap: "xdp_sock",
  sockmap: "sock",
  sockhash: "sock",
};

function found(v: Value): Value {
  const kind = v.kind === "map_value" && v.map ? ELEMENT_KINDS[v.map.type] : undefined;
  if (kind) return { ...v, kind, orNull: false, id: 0, map: v.map?.inner ?? null };
  // Which element it is matters no more, but to a lock in it.
  return { ...v, orNull: false, id: v.map?.spinLockOffset === undefined ? 0 : v.id };
}

/** `packet OP end`, whichever side the packet pointer was on. */
type PacketRelation = {
  readonly op: "lt" | "le" | "gt" | "ge";
  readonly packet: Value;
  readonly reg: number;
};

function packetRelation(insn: BranchInsn, a: Value, b: Value): PacketRelation | null {
  const { op } = insn;
  if (op !== "lt" && op !== "le" && op !== "gt" && op !== "ge") return null;
  if (insn.src === null) return null;
  if (isBoundary(a, b)) return { op, packet: a, reg: insn.dst };
  if (isBoundary(b, a)) return { op: FLIPPED[op] as "lt", packet: b, reg: insn.src };
  return null;
}

/** Is `end` where `packet` must stop? Metadata stops where the packet starts. */
function isBoundary(packet: Value, end: Value): boolean {
  if (packet.kind === "packet") return end.kind === "packet_end";
  if (packet.kind !== "packet_meta") return false;
  return end.kind === "packet" && end.off === 0 && end.id === 0 && isConstant(end.scalar);
}

/** On the side where packet <= end (or < end), the bytes before it are there. */
function provePacket(state: State, { op, packet }: PacketRelation): void {
  // lt and ge decide packet < end: one byte more than packet <= end.
  const strict = op === "lt" || op === "ge";
  const { off } = packet;
  if (off < 0 || (off === 0 && strict)) return;
  if (packet.scalar.umax > MAX_PACKET_OFFSET || packet.scalar.umax + BigInt(off) > MAX_PACKET_OFFSET) return;
  const range = off + (strict ? 1 : 0);
  updatePackets(state, packet, (v) => (v.range >= range ? v : { ...v, range }));
}

/** On the other side it is known to lie at or beyond the end, so that the same test again is decided. */
function markPacketEnd(state: State, { op, packet, reg }: PacketRelation): void {
  if (packet.kind !== "packet") return;
  const { regs } = state.frame;
  const v = regs[reg]!;
  if (v.kind === "packet") {
    regs[reg] = { ...v, range: op === "gt" || op === "le" ? BEYOND_PACKET_END : AT_PACKET_END };
  }
}

function updatePackets(state: State, like: Value, change: (v: Value) => Value): void {
  const apply = (v: Value): Value => (v.kind === like.kind && v.id === like.id ? change(v) : v);
  for (const frame of state.frames) {
    for (let i = 0; i < 10; i++) frame.regs[i] = apply(frame.regs[i]!);
    for (let i = 0; i < frame.stack.length; i++) {
      const slot = frame.stack[i]!;
      const next = apply(slot.spilled);
      if (next !== slot.spilled) frame.stack[i] = { bytes: slot.bytes, spilled: next };
    }
  }
}

/** A packet pointer already known to lie beyond the end answers the same test again. */
function decidePacket(insn: BranchInsn, a: Value, b: Value): boolean | null {
  const relation = packetRelation(insn, a, b);
  if (!relation || !isPacketKind(relation.packet.kind) || relation.packet.range >= 0) return null;
  const beyond = relation.packet.range === BEYOND_PACKET_END;
  switch (relation.op) {
    case "gt":
      return beyond ? true : null;
    case "le":
      return beyond ? false : null;
    case "ge":
      return true;
    case "lt":
      return false;
  }
}
