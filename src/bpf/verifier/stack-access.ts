/**
 * Reads and writes of the stack: spills keep the whole register, fills get it back, everything else is
 * bytes. Offsets are relative to the frame's r10: -512..-1. Root may read stack it never wrote (Linux 6.3
 * on); the value is unknown. Variable offsets are treated as touching every byte they might.
 */
import { STACK_BYTES } from "../isa.ts";
import { markPrecise, markSlotPrecise } from "./precision.ts";
import { isConstant } from "./scalar.ts";
import { truncate } from "./scalar-alu.ts";
import {
  BYTE,
  type ByteType,
  byteType,
  holdsSpill,
  isZeroSpill,
  overwritten,
  partialSpill,
  SLOT_BYTES,
  type Slot,
  spillSize,
  spillSlot,
} from "./stack-slot.ts";
import { addSlot, type Frame, markSlotRead, stackStep } from "./state.ts";
import { formatTnum } from "./tnum.ts";
import { isNull, scalarValue, UNKNOWN_VALUE, type Value, ZERO_VALUE } from "./value.ts";
import type { Walk } from "./walk.ts";

/** Offsets further out than this are not offsets any more (Linux BPF_MAX_VAR_OFF). */
export const MAX_VARIABLE_OFFSET = 1n << 29n;

export type StackUse = "read" | "write";
const USE_WORDS: Readonly<Record<StackUse, string>> = {
  read: " read from",
  write: " write to",
};

/** Bytes min..max-1 of the frame's stack that an access may touch. */
export type StackSpan = {
  readonly frame: Frame;
  readonly min: number;
  readonly max: number;
  readonly fixed: boolean;
};

export function stackSpan(
  w: Walk,
  reg: number,
  v: Value,
  off: number,
  size: number,
  use: StackUse,
): StackSpan {
  const frame = w.state.frames[v.frame]!;
  const { scalar } = v;
  const base = v.off + off;
  const fixed = isConstant(scalar);
  const words = USE_WORDS[use];
  if (!fixed && (scalar.smax >= MAX_VARIABLE_OFFSET || scalar.smin <= -MAX_VARIABLE_OFFSET)) {
    w.reject("stack-bounds", `invalid unbounded variable-offset${words} stack R${reg}`);
  }
  const min = Number(scalar.smin) + base;
  const max = Number(scalar.smax) + base + size;
  // Nobody's reads end where the frame's writes have.
  const lowest = use === "read" && w.unprivileged ? -frame.stack.length * SLOT_BYTES : -STACK_BYTES;
  if (min < lowest || min > -1 || max > 0 || size < 0) {
    const isUnwritten = min >= -STACK_BYTES && min < 0 && max <= 0;
    w.reject(
      isUnwritten ? "uninitialised-stack" : "stack-bounds",
      fixed
        ? `invalid${words} stack R${reg} off=${min} size=${size}`
        : `invalid variable-offset${words} stack R${reg} var_off=${formatTnum(scalar.tnum)} off=${base} size=${size}`,
    );
  }
  if (-min > w.stackDepth[frame.subprogram]!) w.stackDepth[frame.subprogram] = -min;
  return { frame, min, max, fixed };
}

/** The log's line of this instruction tells what the slot holds then. */
export function showSlot(w: Walk, index: number): void {
  w.log?.touch(index);
}

export function slotOf(offset: number): number {
  return Math.floor((-offset - 1) / SLOT_BYTES);
}

/** Index of the byte within its slot, counted from the slot's lowest address. */
export function byteInSlot(offset: number): number {
  return offset + SLOT_BYTES * (slotOf(offset) + 1);
}

export function readStack(
  w: Walk,
  reg: number,
  v: Value,
  off: number,
  size: number,
  dst: number | null,
): Value {
  const span = stackSpan(w, reg, v, off, size, "read");
  if (!span.fixed) {
    if (w.unprivileged) {
      w.reject(
        "stack-bounds",
        `R${reg} variable stack access prohibited for !root, var_off=${formatTnum(v.scalar.tnum)}`,
      );
    }
    showSlot(w, slotOf(span.min));
    return readBytes(w, span, span.min, span.max - span.min, size);
  }
  const index = slotOf(span.min);
  const slot = span.frame.slot(index);
  showSlot(w, index);
  if (!holdsSpill(slot)) return readBytes(w, span, span.min, size, size);

  const { spilled } = slot;
  const width = spillSize(slot);
  const from = byteInSlot(span.min);
  markSlotRead(w.state, span.frame.index, index);
  if (size === SLOT_BYTES && width === SLOT_BYTES) {
    if (dst === null && w.leaks(spilled)) {
      w.reject("pointer-leak", `leaking pointer from stack off ${span.min}`);
    }
    w.noteStep(stackStep(w.insn, span.frame.index, index));
    return spilled;
  }
  if (spilled.kind !== "scalar") w.reject("bad-memory-access", "invalid size of register fill");
  if (from === 0 && size <= width) {
    w.noteStep(stackStep(w.insn, span.frame.index, index));
    const fits = spilled.scalar.umax < 1n << BigInt(size * 8);
    return fits ? spilled : scalarValue(truncate(spilled.scalar, size));
  }
  let spillBytes = 0;
  let zeroBytes = 0;
  for (let i = from; i < from + size; i++) {
    const type = byteType(slot, i);
    if (type === BYTE.spill) spillBytes++;
    else if (type === BYTE.zero) zeroBytes++;
    else if (type === BYTE.invalid && w.unprivileged) rejectUninitialised(w, span.min, i - from, size);
  }
  if (spillBytes === size && isZeroSpill(slot)) {
    // The slot's own zero is what the result stands on.
    w.noteStep(stackStep(w.insn, span.frame.index, index));
    return ZERO_VALUE;
  }
  return zeroBytes === size ? ZERO_VALUE : UNKNOWN_VALUE;
}

function rejectUninitialised(w: Walk, off: number, at: number, size: number): never {
  w.reject("uninitialised-stack", `invalid read from stack off ${off}+${at} size ${size}`);
}

/** An iterator's bytes are its functions' own. */
function rejectIterator(w: Walk, where: string): never {
  w.reject("iterator", `invalid read from stack ${where}`);
}

/** Bytes that are no whole register: all zero reads as 0, anything else as unknown. */
function readBytes(w: Walk, span: StackSpan, min: number, length: number, size: number): Value {
  let zeros = 0;
  for (let at = min; at < min + length; at++) {
    const index = slotOf(at);
    const slot = span.frame.slot(index);
    const type = byteType(slot, byteInSlot(at));
    markSlotRead(w.state, span.frame.index, index);
    if (type === BYTE.zero) zeros++;
    else if (type === BYTE.iter) rejectIterator(w, `off ${min}+${at - min} size ${size}`);
    else if (type === BYTE.invalid && w.unprivileged) rejectUninitialised(w, min, at - min, size);
  }
  return zeros === length ? ZERO_VALUE : UNKNOWN_VALUE;
}

/**
 * @param source register stored, or null for an immediate or for unknown bytes
 * @param value what is stored; UNKNOWN_VALUE where nobody knows
 */
export function writeStack(
  w: Walk,
  reg: number,
  v: Value,
  off: number,
  size: number,
  source: number | null,
  value: Value,
): void {
  const span = stackSpan(w, reg, v, off, size, "write");
  if (!span.fixed) {
    if (w.unprivileged) {
      w.reject(
        "stack-bounds",
        `R${reg} variable stack access prohibited for !root, var_off=${formatTnum(v.scalar.tnum)}`,
      );
    }
    writeSomewhere(w, span, source, value);
    return;
  }
  const index = slotOf(span.min);
  const from = byteInSlot(span.min);
  const { frame } = span;
  const before = frame.slot(index);
  showSlot(w, index);
  if (w.unprivileged && holdsSpill(before) && before.spilled.kind !== "scalar" && size !== SLOT_BYTES) {
    w.reject("pointer-leak", "attempt to corrupt spilled pointer on stack");
  }
  if (size === SLOT_BYTES) addSlot(w.state.marks[frame.index]!.written, index);

  // Without privileges a number on the stack is only bytes.
  const isTracked = from === 0 && !w.unprivileged;
  if (isTracked && value.kind === "scalar" && !(source === null && value === UNKNOWN_VALUE)) {
    const fits = value.scalar.umax < 1n << BigInt(size * 8);
    let kept = value;
    if (fits && source !== null) kept = withIdentity(w, source, value);
    else if (kept.id !== 0) kept = scalarValue(value.scalar);
    frame.setSlot(index, size === SLOT_BYTES ? spillSlot(kept) : partialSpill(before, kept, size));
    w.noteStep(stackStep(w.insn, frame.index, index));
    return;
  }
  if (value.kind !== "scalar") {
    if (size !== SLOT_BYTES) w.reject("bad-memory-access", "invalid size of register spill");
    if (frame !== w.frame && value.kind === "stack") {
      w.reject("bad-memory-access", "cannot spill pointers to stack into stack frame of the caller");
    }
    frame.setSlot(index, spillSlot(value));
    w.noteStep(stackStep(w.insn, frame.index, index));
    return;
  }
  let type: ByteType = BYTE.misc;
  if (isNull(value)) {
    if (source !== null) markPrecise(w, source);
    type = BYTE.zero;
  }
  frame.setSlot(index, overwritten(before, from, size, type));
}

/** A scalar that will live in two places gets an id, so that what is learned of one holds for the other. */
export function withIdentity(w: Walk, reg: number, value: Value): Value {
  if (value.kind !== "scalar") return value;
  const fixed = isConstant(value.scalar);
  if (!value.linked && (fixed || value.id !== 0)) return value;
  // A sum at a distance cannot be the base of another: it starts an id of its own.
  const named: Value = { ...value, id: fixed ? 0 : w.newId(), off: 0, linked: 0 };
  w.frame.regs[reg] = named;
  return named;
}

function writeSomewhere(w: Walk, span: StackSpan, source: number | null, value: Value): void {
  const zero = isNull(value);
  let usedZero = false;
  for (let at = span.min; at < span.max; at++) {
    const index = slotOf(at);
    const slot = span.frame.slot(index);
    const byte = byteInSlot(at);
    const type = byteType(slot, byte);
    if (type === BYTE.invalid && w.unprivileged) {
      w.reject(
        "uninitialised-stack",
        `uninit stack in range of var-offset write prohibited for !root; off: ${at}`,
      );
    }
    showSlot(w, index);
    const isZero = type === BYTE.zero || (type === BYTE.spill && isZeroSpill(slot));
    if (zero && isZero) {
      // 0 over 0 leaves the byte what it is, wherever it goes.
      usedZero = true;
      continue;
    }
    span.frame.setSlot(index, overwritten(slot, byte, 1, BYTE.misc));
  }
  if (usedZero && source !== null) markPrecise(w, source);
}

/**
 * A u32 on the stack whose value is known: a map key. Known zeros, or a number spilled in just these four
 * bytes, which then must stay exact.
 */
export function constantU32OnStack(w: Walk, v: Value): number | null {
  if (v.kind !== "stack" || !isConstant(v.scalar)) return null;
  const off = v.off + Number(v.scalar.smin);
  const index = slotOf(off);
  const frame = w.state.frames[v.frame]!;
  const slot = frame.slot(index);
  const from = byteInSlot(off);
  if (from > 4) return null;
  let zeros = 0;
  for (let i = from; i < from + 4; i++) if (byteType(slot, i) === BYTE.zero) zeros++;
  if (zeros === 4) return 0;
  if (!holdsSpill(slot)) return null;
  // A 32-bit spill is the key itself; of a 64-bit one the key is the upper half, which Linux takes for the
  // whole number: that tells the same unless the number is small, and then the upper half is 0.
  const isKey = spillSize(slot) === (from === 0 ? 4 : 8);
  if (!isKey || (from !== 0 && from !== 4)) return null;
  const { spilled } = slot;
  if (spilled.kind !== "scalar" || !isConstant(spilled.scalar)) return null;
  markSlotPrecise(w, frame.index, index);
  const number = spilled.scalar.tnum.value;
  return from === 0 ? Number(number & 0xffff_ffffn) : Number(number);
}

/** A helper reads (and, with `clobber`, may change) stack bytes; `raw`: it only fills them. */
export function helperStackAccess(
  w: Walk,
  reg: number,
  v: Value,
  size: number,
  mode: { readonly clobber: boolean; readonly raw: boolean },
): void {
  const span = stackSpan(w, reg, v, 0, size, mode.clobber ? "write" : "read");
  if (!span.fixed && w.unprivileged) {
    w.reject(
      "stack-bounds",
      `R${reg} variable offset stack access prohibited for !root, var_off=${formatTnum(v.scalar.tnum)}`,
    );
  }
  const raw = mode.raw && span.fixed;
  for (let at = span.min; at < span.max; at++) {
    const index = slotOf(at);
    const slot: Slot = span.frame.slot(index);
    const byte = byteInSlot(at);
    const type = byteType(slot, byte);
    if (!raw) {
      markSlotRead(w.state, span.frame.index, index);
      const isSecret =
        w.unprivileged && (type === BYTE.invalid || (type === BYTE.spill && slot.spilled.kind !== "scalar"));
      if (isSecret || type === BYTE.iter) {
        const where = span.fixed
          ? `off ${span.min}+${at - span.min} size ${size}`
          : `var_off ${formatTnum(v.scalar.tnum)}+${at - span.min} size ${size}`;
        if (!isSecret) rejectIterator(w, `R${reg} ${where}`);
        w.reject("uninitialised-stack", `invalid read from stack R${reg} ${where}`);
      }
    }
    if (!mode.clobber) continue;
    if (span.fixed && at === slotStart(index) && at + SLOT_BYTES <= span.max) {
      addSlot(w.state.marks[span.frame.index]!.written, index);
    }
    span.frame.setSlot(index, overwritten(slot, byte, 1, BYTE.misc));
    if (raw) showSlot(w, index);
  }
}

function slotStart(index: number): number {
  return -SLOT_BYTES * (index + 1);
}
