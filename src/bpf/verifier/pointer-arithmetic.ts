/**
 * Arithmetic: scalars go to scalar-alu.ts, pointers by the rules of their kind. A pointer plus a known
 * number moves its fixed offset; plus an unknown one, its variable offset, and a packet pointer then needs
 * a new comparison with data_end.
 */
import { ALU_OPS, type AluOp, type Instruction } from "../isa.ts";
import { linkedSum } from "./linked-scalars.ts";
import { markPrecise } from "./precision.ts";
import { checkMoved, maskAfter, maskBefore, noMask } from "./sanitation.ts";
import { isConstant, S32_MAX, S32_MIN, S64_MIN, type Scalar, U32_MAX, withLow32 } from "./scalar.ts";
import { alu, negate, signExtend, swapBytes, zeroExtend32 } from "./scalar-alu.ts";
import { MAX_VARIABLE_OFFSET, withIdentity } from "./stack-access.ts";
import {
  constantScalar,
  isPacketKind,
  isPointer,
  isSocketKind,
  KIND_NAMES,
  scalarValue,
  typeName,
  UNKNOWN_VALUE,
  type Value,
} from "./value.ts";
import type { Walk } from "./walk.ts";

type AluInsn = Instruction & { kind: "alu" };
type BinaryOp = Exclude<AluOp, "mov" | "neg">;

const SHIFTS = new Set<string>(["lsh", "rsh", "arsh"]);
const DIVISIONS = new Set<string>(["div", "sdiv", "mod", "smod"]);
const BITWISE = new Set<string>(["and", "or", "xor"]);

export function stepAlu(w: Walk, insn: AluInsn): void {
  if (insn.op === "mov") {
    move(w, insn);
    return;
  }
  const source = insn.src === null ? null : w.read(insn.src);
  let target = w.read(insn.dst);
  w.checkWritable(insn.dst);
  if (source === null) {
    if (DIVISIONS.has(insn.op) && insn.imm === 0) w.reject("scalar-operation", "div by zero");
    if (SHIFTS.has(insn.op) && (insn.imm < 0 || insn.imm >= insn.width)) {
      w.reject("scalar-operation", `invalid shift ${insn.imm}`);
    }
  }
  if (insn.op === "and" || insn.op === "or") target = splitSign(w, insn, target, source);
  w.write(insn.dst, combine(w, insn, insn.op, target, source));
}

/**
 * A number that is 0 or -1 (`r1 s>>= 63`) and is masked next is how compilers write a choice: as in Linux,
 * both are walked, 0 later. @returns the number to go on with
 */
function splitSign(w: Walk, insn: AluInsn, target: Value, source: Value | null): Value {
  if (target.kind !== "scalar" || (source && (source.kind !== "scalar" || !isConstant(source.scalar))))
    return target;
  const { scalar: s } = target;
  const isSign = s.smin === -1n && s.smax === 0n;
  if (!isSign && !(s.s32min === -1 && s.s32max === 0)) return target;
  const as = (x: 0 | -1): Value =>
    isSign ? constantScalar(BigInt(x)) : { ...target, scalar: withLow32(s, x) };
  const other = w.state.fork();
  other.insn = w.insn;
  other.previous = w.insn;
  other.frame.regs[insn.dst] = as(0);
  w.enqueue(other);
  return as(-1);
}

export function stepUnary(w: Walk, insn: Instruction & { kind: "neg" | "swap" }): void {
  const target = w.read(insn.dst);
  w.checkWritable(insn.dst);
  if (w.leaks(target)) w.reject("pointer-arithmetic", `R${insn.dst} pointer arithmetic prohibited`);
  if (target.kind !== "scalar") {
    w.write(insn.dst, UNKNOWN_VALUE);
    return;
  }
  if (insn.kind === "swap") {
    if (insn.order === "le" && insn.bits === 64) return;
    w.write(insn.dst, scalarValue(swapBytes(target.scalar, insn.order, insn.bits)));
    return;
  }
  w.write(insn.dst, scalarValue(negate(target.scalar, insn.width)));
}

export function stepMovsx(w: Walk, insn: Instruction & { kind: "movsx" }): void {
  const source = w.read(insn.src);
  w.checkWritable(insn.dst);
  if (isPointer(source)) {
    if (w.unprivileged) {
      const part = insn.width === 64 ? "sign-extension part" : "partial copy";
      w.reject("pointer-leak", `R${insn.src} ${part} of pointer`);
    }
    w.write(insn.dst, insn.width === 64 ? UNKNOWN_VALUE : lowHalf(UNKNOWN_VALUE));
    return;
  }
  const half = 1n << BigInt(insn.bits - 1);
  const unchanged = source.scalar.umax < half;
  const value = unchanged ? withIdentity(w, insn.src, source) : source;
  const extended = signExtend(value.scalar, insn.bits, insn.width);
  w.write(insn.dst, scalarValue(extended, unchanged ? value.id : 0));
}

function move(w: Walk, insn: AluInsn): void {
  if (insn.src === null) {
    w.write(insn.dst, constantScalar(insn.width === 64 ? BigInt(insn.imm) : BigInt(insn.imm >>> 0)));
    return;
  }
  const source = w.read(insn.src);
  w.checkWritable(insn.dst);
  if (insn.width === 64) {
    w.write(insn.dst, withIdentity(w, insn.src, source));
    return;
  }
  if (isPointer(source)) {
    if (w.unprivileged) w.reject("pointer-leak", `R${insn.src} partial copy of pointer`);
    w.write(insn.dst, lowHalf(UNKNOWN_VALUE));
    return;
  }
  const fits = source.scalar.umax <= 0xffff_ffffn;
  w.write(insn.dst, fits ? withIdentity(w, insn.src, source) : lowHalf(source));
}

function lowHalf(v: Value): Value {
  return scalarValue(zeroExtend32(v.scalar));
}

function combine(w: Walk, insn: AluInsn, op: BinaryOp, target: Value, source: Value | null): Value {
  const operand = source ?? constantScalar(BigInt(insn.imm));
  const targetIsPointer = isPointer(target);
  if (!targetIsPointer && !isPointer(operand)) {
    if (w.unprivileged && source && (op === "add" || op === "sub")) noMask(w, insn.dst, op);
    const result = alu(op, insn.width, target.scalar, operand.scalar);
    return linkedSum(w, insn, op, target, operand.scalar, result);
  }
  if (targetIsPointer && isPointer(operand)) {
    // The distance of two pointers tells an address: root may have it, as a number.
    if (op === "sub" && !w.unprivileged) return UNKNOWN_VALUE;
    w.reject("pointer-arithmetic", `R${insn.dst} pointer ${signOf(op)} pointer prohibited`);
  }
  if (targetIsPointer) {
    if (insn.src !== null) markPrecise(w, insn.src);
    return movePointer(w, insn, op, target, operand.scalar, false);
  }
  markPrecise(w, insn.dst);
  return movePointer(w, insn, op, operand, target.scalar, true);
}

function signOf(op: BinaryOp): string {
  return ALU_OPS.find((row) => row.name === op)?.sign ?? op;
}

function movePointer(w: Walk, insn: AluInsn, op: BinaryOp, ptr: Value, by: Scalar, flipped: boolean): Value {
  const reg = insn.dst;
  if (insn.width !== 64) {
    if (op === "sub" && !w.unprivileged) return lowHalf(UNKNOWN_VALUE);
    w.reject("pointer-arithmetic", `R${reg} 32-bit pointer arithmetic prohibited`);
  }
  if (ptr.orNull) {
    w.reject(
      "null-pointer",
      `R${reg} pointer arithmetic on ${typeName(ptr)} prohibited, null-check it first`,
    );
  }
  const known = isConstant(by);
  const isNoMove = ptr.kind === "map_ptr" && known && by.smin === 0n && op === "add";
  if (isNoMove && !w.unprivileged) return ptr;
  if (
    (ptr.kind === "map_ptr" && !isNoMove) ||
    ptr.kind === "packet_end" ||
    isSocketKind(ptr.kind) ||
    ptr.kind === "func"
  ) {
    w.reject("pointer-arithmetic", `R${reg} pointer arithmetic on ${typeName(ptr)} prohibited`);
  }
  checkDistance(w, ptr, by);
  if (op !== "add" && op !== "sub") {
    const what = BITWISE.has(op)
      ? `R${reg} bitwise operator ${signOf(op)} on pointer prohibited`
      : `R${reg} pointer arithmetic with ${signOf(op).replace("s/", "/").replace("s%", "%")} operator prohibited`;
    w.reject("pointer-arithmetic", what);
  }
  const movement =
    w.unprivileged && insn.src !== null ? { dst: reg, src: insn.src, op, ptr, by, flipped } : null;
  const mask = movement && maskBefore(w, movement);
  if (op === "sub") {
    if (flipped) w.reject("pointer-arithmetic", `R${reg} tried to subtract pointer from scalar`);
    if (ptr.kind === "stack")
      w.reject("pointer-arithmetic", `R${reg} subtraction from stack pointer prohibited`);
  }
  let moved: Value;
  if (known) {
    const off = ptr.off + Number(op === "add" ? by.smin : -by.smin);
    moved = { ...ptr, off };
  } else {
    const variable = alu(op, 64, ptr.scalar, withoutLow32(by));
    moved = { ...ptr, scalar: variable };
    if (isPacketKind(ptr.kind)) {
      // What was proved of the old base says nothing of the new one.
      moved = { ...moved, id: w.newId(), range: 0 };
    }
  }
  checkReach(w, moved);
  if (w.unprivileged) checkMoved(w, reg, moved);
  if (movement && mask) maskAfter(w, movement, mask, moved);
  return moved;
}

/** As in Linux a pointer carries no ranges of 32 bits but those its whole offset tells. */
function withoutLow32(s: Scalar): Scalar {
  return { ...s, u32min: 0, u32max: U32_MAX, s32min: S32_MIN, s32max: S32_MAX };
}

/** The number added may not be so large that the sum could wrap. */
function checkDistance(w: Walk, ptr: Value, by: Scalar): void {
  const name = KIND_NAMES[ptr.kind];
  if (isConstant(by)) {
    if (by.smin >= MAX_VARIABLE_OFFSET || by.smin <= -MAX_VARIABLE_OFFSET) {
      w.reject("pointer-offset", `math between ${name} pointer and ${by.smin} is not allowed`);
    }
    return;
  }
  if (by.smin === S64_MIN) {
    w.reject(
      "pointer-offset",
      `math between ${name} pointer and register with unbounded min value is not allowed`,
    );
  }
  if (by.smin >= MAX_VARIABLE_OFFSET || by.smin <= -MAX_VARIABLE_OFFSET) {
    w.reject("pointer-offset", `value ${by.smin} makes ${name} pointer be out of bounds`);
  }
}

function checkReach(w: Walk, v: Value): void {
  const name = KIND_NAMES[v.kind];
  const { scalar: variable } = v;
  const limit = Number(MAX_VARIABLE_OFFSET);
  if (
    isConstant(variable) &&
    (variable.smin >= MAX_VARIABLE_OFFSET || variable.smin <= -MAX_VARIABLE_OFFSET)
  ) {
    w.reject("pointer-offset", `math between ${name} pointer and ${variable.smin} is not allowed`);
  }
  if (v.off >= limit || v.off <= -limit) {
    w.reject("pointer-offset", `${name} pointer offset ${v.off} is not allowed`);
  }
  if (variable.smin === S64_MIN) {
    w.reject(
      "pointer-offset",
      `math between ${name} pointer and register with unbounded min value is not allowed`,
    );
  }
  if (variable.smin >= MAX_VARIABLE_OFFSET || variable.smin <= -MAX_VARIABLE_OFFSET) {
    w.reject("pointer-offset", `value ${variable.smin} makes ${name} pointer be out of bounds`);
  }
}
