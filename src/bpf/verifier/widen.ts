/**
 * Loops of any number of rounds (iterators, callbacks): a scalar that a round changed, and that nobody has
 * needed exactly so far, may be anything in the next one. So the state of a later round comes to lie within
 * that of an earlier one, and the walk ends.
 */
import { Identities } from "./prune.ts";
import { scalarEquals } from "./scalar.ts";
import { holdsSpill } from "./stack-slot.ts";
import { hasSlot, type State } from "./state.ts";
import { UNKNOWN_VALUE, type Value } from "./value.ts";

/** The nearest checkpoint from `from` back at which this loop was entered or came round. */
export function previousRound(from: State | null, state: State, at: number): State | null {
  for (let s = from; s !== null; s = s.parent) {
    if (s.insn !== at || s.frames.length !== state.frames.length) continue;
    if (s.frames.every((f, i) => f.callsite === state.frames[i]!.callsite)) return s;
  }
  return null;
}

export function widen(state: State, earlier: State): void {
  const ids = new Identities();
  for (let f = state.frames.length - 1; f >= 0; f--) {
    const before = earlier.frames[f]!;
    const after = state.frames[f]!;
    const marks = earlier.marks[f]!;
    for (let reg = 0; reg < 10; reg++) {
      if (((marks.preciseRegs >>> reg) & 1) === 1) continue;
      if (differ(before.regs[reg]!, after.regs[reg]!, ids)) after.regs[reg] = UNKNOWN_VALUE;
    }
    const slots = Math.min(before.stack.length, after.stack.length);
    for (let s = 0; s < slots; s++) {
      const old = before.stack[s]!;
      const slot = after.stack[s]!;
      if (!holdsSpill(old) || !holdsSpill(slot) || hasSlot(marks.preciseSlots, s)) continue;
      if (differ(old.spilled, slot.spilled, ids)) {
        after.stack[s] = { bytes: slot.bytes, spilled: UNKNOWN_VALUE };
      }
    }
  }
}

function differ(before: Value, after: Value, ids: Identities): boolean {
  if (before.kind !== "scalar" || after.kind !== "scalar") return false;
  return (
    before.linked !== after.linked ||
    before.off !== after.off ||
    !scalarEquals(before.scalar, after.scalar) ||
    !ids.match(before.id, after.id)
  );
}
