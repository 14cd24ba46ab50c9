/**
 * Scalars of one id are the same number, or a known distance apart (`r2 = r1; r2 += 8`): what a comparison
 * teaches of one holds for the others. Who is linked, how many, and what a distance survives follows Linux,
 * or a program could pass here and be refused there.
 */
import type { AluOp, Instruction } from "../isa.ts";
import { constant, isConstant, isConstant32, type Scalar } from "./scalar.ts";
import { alu } from "./scalar-alu.ts";
import { holdsSpill } from "./stack-slot.ts";
import type { LinkedPlace, State } from "./state.ts";
import { scalarValue, type Value } from "./value.ts";
import type { Walk } from "./walk.ts";

/** Places one comparison can teach; what is more loses its id (Linux LINKED_REGS_MAX). */
const MAX_LINKED = 6;
const S32_MIN = -0x8000_0000n;
const S32_MAX = 0x7fff_ffffn;

/** The result of `target op operand` with the link it keeps to what `target` was. */
export function linkedSum(
  w: Walk,
  insn: Instruction & { kind: "alu" },
  op: Exclude<AluOp, "mov" | "neg">,
  target: Value,
  operand: Scalar,
  result: Scalar,
): Value {
  const { width } = insn;
  const known = width === 64 ? isConstant : isConstant32;
  if ((op !== "add" && op !== "sub") || target.id === 0 || target.linked || w.unprivileged || !known(operand))
    return scalarValue(result);
  // A 32-bit sum cuts what lies above: only a number that had nothing there has a distance to it.
  if (width === 32 && target.scalar.umax > 0xffff_ffffn) return scalarValue(result);
  const added = width === 64 ? operand.smin : BigInt(operand.s32min);
  const distance = op === "add" ? added : -added;
  if (added < S32_MIN || distance < S32_MIN || distance > S32_MAX) return scalarValue(result);
  return { ...scalarValue(result, target.id), linked: width, off: Number(distance) };
}

/** Everything with an id of the operands that may be read again: it learns (or must be precise) with them. */
export function collectLinked(w: Walk, ids: readonly number[]): LinkedPlace[] {
  const set: LinkedPlace[] = [];
  const { frames } = w.state;
  for (const id of ids) {
    if (id === 0) continue;
    for (let f = frames.length - 1; f >= 0; f--) {
      const frame = frames[f]!;
      const at = f === frames.length - 1 ? w.insn : frames[f + 1]!.callsite;
      const live = w.shape.liveBefore[at]!;
      frame.regs.forEach((v, reg) => {
        if (reg >= 10 || v.id !== id || v.kind !== "scalar" || ((live >>> reg) & 1) === 0) return;
        if (set.length < MAX_LINKED) set.push({ frame: f, reg, slot: -1 });
        else frame.regs[reg] = { ...v, id: 0, linked: 0, off: 0 };
      });
      frame.stack.forEach((slot, index) => {
        const v = slot.spilled;
        if (v.id !== id || v.kind !== "scalar" || !holdsSpill(slot)) return;
        if (set.length < MAX_LINKED) set.push({ frame: f, reg: -1, slot: index });
        else frame.stack[index] = { bytes: slot.bytes, spilled: { ...v, id: 0, linked: 0, off: 0 } };
      });
    }
  }
  return set.length > 1 ? set : [];
}

/** Gives every copy of `known` what was learned, moved by the distance between them. */
export function tellLinked(state: State, known: Value, self: number, set: readonly LinkedPlace[]): void {
  for (const { frame: f, reg, slot } of set) {
    const frame = state.frames[f]!;
    if (reg >= 0) {
      if (f === state.depth && reg === self) continue;
      frame.regs[reg] = moved(frame.regs[reg]!, known);
    } else {
      const before = frame.stack[slot]!;
      frame.stack[slot] = { bytes: before.bytes, spilled: moved(before.spilled, known) };
    }
  }
}

function moved(v: Value, known: Value): Value {
  if (v.id !== known.id || v.kind !== "scalar") return v;
  const distance = v.off - known.off;
  if (distance === 0) return { ...v, scalar: known.scalar, linked: known.linked, off: known.off };
  // Both are sums, one of 32 bits and one of 64: they may have wrapped apart.
  if (v.linked && known.linked && v.linked !== known.linked) return v;
  const width = v.linked === 32 || known.linked === 32 ? 32 : 64;
  return { ...v, scalar: alu("add", width, known.scalar, constant(BigInt(distance))) };
}
