/**
 * Pointer arithmetic without CAP_PERFMON. The kernel masks a number in a register that is added to a pointer, so
 * that a CPU that speculates cannot be led outside an object (Spectre v1), and an instruction has one mask. So
 * the number must have one sign, the pointer must be of a kind whose ends are known and stay between them, and all paths must
 * ask for the same mask. The paths that a CPU may only speculate are not walked here.
 */

import { STACK_BYTES } from "../isa.ts";
import { checkRegion } from "./memory-access.ts";
import { isConstant, type Scalar } from "./scalar.ts";
import { formatTnum } from "./tnum.ts";
import type { Value } from "./value.ts";
import type { Walk } from "./walk.ts";

const PROHIBITED = "pointer arithmetic with it prohibited for !root";

/** What one instruction masks, on every path the same. */
export type AluMask = {
  /** Sign and constness of the number, and which operand it is. */
  readonly state: string;
  /** Bytes. */
  readonly limit: number;
};

/** `dst op= src` before it happens: a pointer and a number in registers. */
export type Movement = {
  readonly dst: number;
  readonly src: number;
  readonly op: "add" | "sub";
  readonly ptr: Value;
  readonly by: Scalar;
  /** Is the number in `dst`? */
  readonly flipped: boolean;
};

/** How far the pointer may move by what is known before. @throws Rejection */
export function maskBefore(w: Walk, movement: Movement): AluMask {
  const { dst, src, op, by, ptr, flipped } = movement;
  const isKnown = isConstant(by);
  const isNegative = by.smin < 0n;
  if (!isKnown && isNegative !== by.smax < 0n) {
    const reg = flipped ? dst : src;
    w.reject("pointer-arithmetic", `R${reg} has unknown scalar with mixed signed bounds, ${PROHIBITED}`);
  }
  const limit = room(w, movement, ptr, toLeft(op, isNegative));
  // Paths that differ in a number may differ in its mask: states are compared exactly from now on.
  if (!isKnown) w.comparesNumbersExactly = true;
  return { state: `${isNegative}, ${isKnown}, ${flipped}`, limit };
}

/** The same mask as on every path before, narrowed to what the pointer moved by. @throws Rejection */
export function maskAfter(w: Walk, movement: Movement, before: AluMask, moved: Value): void {
  const { dst, op, by } = movement;
  const limit = Math.abs(before.limit - room(w, movement, moved, toLeft(op, by.smin < 0n)));
  agree(w, dst, op, { state: before.state, limit });
}

/** Two numbers in registers need no mask, and so there must be none on any path. @throws Rejection */
export function noMask(w: Walk, dst: number, op: "add" | "sub"): void {
  agree(w, dst, op, { state: "no pointer", limit: 0 });
}

function agree(w: Walk, dst: number, op: "add" | "sub", mask: AluMask): void {
  const earlier = w.aluMasks.get(w.insn);
  if (earlier && (earlier.state !== mask.state || earlier.limit !== mask.limit)) {
    w.reject(
      "pointer-arithmetic",
      `R${dst} tried to ${op} from different maps, paths or scalars, ${PROHIBITED}`,
    );
  }
  w.aluMasks.set(w.insn, mask);
}

function toLeft(op: "add" | "sub", isNegative: boolean): boolean {
  return (op === "add") === isNegative;
}

/** Bytes between the pointer and the end of its object that it moves away from. */
function room(w: Walk, { dst, src, op, flipped }: Movement, ptr: Value, isToLeft: boolean): number {
  const variable = Number(isToLeft ? ptr.scalar.smin : ptr.scalar.umax);
  let max: number;
  let limit: number;
  if (ptr.kind === "stack") {
    max = STACK_BYTES + (isToLeft ? 1 : 0);
    limit = -fixedOffset(ptr);
  } else if (ptr.kind === "map_value") {
    max = ptr.map?.valueBytes ?? 0;
    limit = variable + ptr.off;
  } else {
    const reg = flipped ? src : dst;
    return w.reject(
      "pointer-arithmetic",
      `R${reg} has pointer with unsupported alu operation, ${PROHIBITED}`,
    );
  }
  if (limit >= max)
    w.reject("pointer-arithmetic", `R${dst} tried to ${op} beyond pointer bounds, ${PROHIBITED}`);
  return limit;
}

/** Where a pointer points to, its unknown bits taken as 0. */
function fixedOffset({ off, scalar }: Value): number {
  return off + Number(BigInt.asIntN(64, scalar.tnum.value));
}

/** A pointer that has moved must still point into its object. @throws Rejection */
export function checkMoved(w: Walk, reg: number, v: Value): void {
  if (v.kind === "map_value") {
    w.refusing(`R${reg} pointer arithmetic of map value goes out of range, prohibited for !root`, () =>
      checkRegion(w, { reg, value: v, off: 0, size: 1, write: false }),
    );
  }
  if (v.kind !== "stack") return;
  const off = fixedOffset(v);
  if (!isConstant(v.scalar)) {
    w.reject(
      "pointer-arithmetic",
      `R${reg} variable stack access prohibited for !root, var_off=${formatTnum(v.scalar.tnum)} off=${off}`,
    );
  }
  if (off < -STACK_BYTES || off >= 0) {
    w.reject(
      "stack-bounds",
      `R${reg} stack pointer arithmetic goes out of range, prohibited for !root; off=${off}`,
    );
  }
}
