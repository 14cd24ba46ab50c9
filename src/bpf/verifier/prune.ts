/**
 * Is a state no less safe than one walked before? Then its path need not be walked again. Compared is only
 * what the rest of the program can notice: live registers, slots that were read, scalars marked precise.
 */

import { scalarEquals, scalarIncludes } from "./scalar.ts";
import {
  BYTE,
  byteType,
  isFullSpill,
  isMiscOnly,
  SLOT_BYTES,
  SLOT_INVALID,
  type Slot,
} from "./stack-slot.ts";
import { type Frame, hasSlot, type State } from "./state.ts";
import { isPacketKind, sameExceptIds, UNKNOWN_VALUE, type Value } from "./value.ts";
import type { Walk } from "./walk.ts";

/**
 * - `proved`: the old state was walked to its end; its marks say what matters
 * - `within`: it was not, or its marks may lack a loop's; every scalar must lie within the old one
 * - `exact`: the very same state: an infinite loop
 */
export type Comparison = "proved" | "within" | "exact";

/** Identity numbers of the old state and the ones they stand for now. */
export class Identities {
  readonly old: number[] = [];
  readonly now: number[] = [];
  #fresh = 0x4000_0000;

  match(old: number, now: number): boolean {
    if ((old === 0) !== (now === 0)) return false;
    if (old === 0) return true;
    for (let i = 0; i < this.old.length; i++) {
      if (this.old[i] === old) return this.now[i] === now;
      if (this.now[i] === now) return false;
    }
    this.old.push(old);
    this.now.push(now);
    return true;
  }

  /** A scalar without an id is linked to nobody: it has one of its own. */
  matchScalar(old: number, now: number): boolean {
    return this.match(old === 0 ? ++this.#fresh : old, now === 0 ? ++this.#fresh : now);
  }
}

export function statesEqual(w: Walk, old: State, now: State, comparison: Comparison): boolean {
  if (old.frames.length !== now.frames.length) return false;
  if (old.refs.length !== now.refs.length) return false;
  const ids = new Identities();
  if ((old.lock === null) !== (now.lock === null)) return false;
  if (old.lock && now.lock && (old.lock.map !== now.lock.map || !ids.match(old.lock.id, now.lock.id)))
    return false;
  for (let f = 0; f < old.frames.length; f++) {
    if (old.frames[f]!.callsite !== now.frames[f]!.callsite) return false;
    if (old.frames[f]!.callback !== now.frames[f]!.callback) return false;
    // From fewer rounds of a bpf_loop that ends at a known count, more of them are still to come.
    if (old.frames[f]!.callbackDepth > now.frames[f]!.callbackDepth) return false;
  }
  for (let i = 0; i < old.refs.length; i++) {
    if (!ids.match(old.refs[i]!.id, now.refs[i]!.id)) return false;
  }
  // A quick look at registers first: most states differ there.
  for (let f = old.frames.length - 1; f >= 0; f--) {
    const at = f === old.frames.length - 1 ? now.insn : old.frames[f + 1]!.callsite;
    const live = w.shape.liveBefore[at]!;
    const precise = w.unprivileged ? -1 : old.marks[f]!.preciseRegs;

    const before = old.frames[f]!.regs;
    const after = now.frames[f]!.regs;
    for (let reg = 0; reg < 10; reg++) {
      if (((live >>> reg) & 1) === 0) continue;
      const need = needOf(w, ((precise >>> reg) & 1) === 1);
      if (!valueSafe(before[reg]!, after[reg]!, need, comparison, ids)) return false;
    }
  }
  for (let f = 0; f < old.frames.length; f++) {
    if (!stackSafe(w, old, f, old.frames[f]!, now.frames[f]!, comparison, ids)) return false;
  }
  return true;
}

/** How near a number must come to the old one: not at all, lie within it, be the same. */
type Need = "any" | "within" | "same";

function needOf(w: Walk, isPrecise: boolean): Need {
  if (w.comparesNumbersExactly) return "same";
  return isPrecise ? "within" : "any";
}

function valueSafe(old: Value, now: Value, need: Need, comparison: Comparison, ids: Identities): boolean {
  if (old === now && old.id === 0 && old.ref === 0) return true;
  if (comparison === "exact") {
    // A drained iterator yields nothing more, whatever it has yielded.
    if (old.kind === "iter_drained") return now.kind === old.kind && ids.match(old.ref, now.ref);
    return sameExceptIds(old, now) && ids.match(old.id, now.id) && ids.match(old.ref, now.ref);
  }
  if (old.kind === "uninit") return true;
  if (old.kind !== now.kind || old.orNull !== now.orNull || old.readOnly !== now.readOnly) return false;
  switch (old.kind) {
    case "scalar":
      if (need === "any" && comparison === "proved") return true;
      if (need === "same" && !scalarEquals(old.scalar, now.scalar)) return false;
      if (old.linked !== now.linked || (old.linked && old.off !== now.off)) return false;
      return scalarIncludes(old.scalar, now.scalar) && ids.matchScalar(old.id, now.id);
    case "map_value":
    case "map_key":
    case "mem":
    case "ringbuf_mem":
      return (
        old.map === now.map &&
        old.off === now.off &&
        old.size === now.size &&
        scalarIncludes(old.scalar, now.scalar) &&
        ids.match(old.id, now.id) &&
        ids.match(old.ref, now.ref)
      );
    case "packet":
    case "packet_meta":
      if (!isPacketKind(now.kind) || old.off !== now.off) return false;
      if (old.range < 0 || now.range < 0 ? old.range !== now.range : old.range > now.range) return false;
      return scalarIncludes(old.scalar, now.scalar) && (old.id === 0 || ids.match(old.id, now.id));
    case "iter_active":
    case "iter_drained":
      // How many rounds led here is of no matter.
      return ids.match(old.ref, now.ref);
    case "stack":
      return old.off === now.off && old.frame === now.frame && scalarEquals(old.scalar, now.scalar);
    default:
      return sameExceptIds(old, now) && ids.match(old.id, now.id) && ids.match(old.ref, now.ref);
  }
}

function stackSafe(
  w: Walk,
  state: State,
  index: number,
  old: Frame,
  now: Frame,
  comparison: Comparison,
  ids: Identities,
): boolean {
  const { read, preciseSlots } = state.marks[index]!;
  if (comparison === "exact" && old.stack.length > now.stack.length) return false;
  for (let s = 0; s < old.stack.length; s++) {
    if (comparison === "proved" && !hasSlot(read, s)) continue;
    const before = old.stack[s]!;
    const after = now.stack[s] ?? SLOT_INVALID;
    if (before === after && before.spilled.id === 0 && before.spilled.ref === 0) continue;
    const need = needOf(w, w.unprivileged || hasSlot(preciseSlots, s));
    if (!slotSafe(w, before, after, need, comparison, ids)) return false;
  }
  return true;
}

function slotSafe(
  w: Walk,
  old: Slot,
  now: Slot,
  need: Need,
  comparison: Comparison,
  ids: Identities,
): boolean {
  if (comparison === "exact") {
    return old.bytes === now.bytes && valueSafe(old.spilled, now.spilled, need, comparison, ids);
  }
  const before = asScalar(w, old);
  const after = asScalar(w, now);
  if (before && after) return valueSafe(before, after, need, comparison, ids);
  for (let i = 0; i < SLOT_BYTES; i++) {
    const type = byteType(old, i);
    if (type === BYTE.invalid || (type === BYTE.misc && !w.unprivileged)) continue;
    const current = byteType(now, i);
    if (type === BYTE.misc && current === BYTE.zero) continue;
    if (type !== current) return false;
  }
  const first = byteType(old, 0);
  if (first !== BYTE.spill && first !== BYTE.iter) return true;
  return valueSafe(old.spilled, now.spilled, need, comparison, ids);
}

/** A slot read as one 64-bit number: a spilled scalar, or bytes nobody knows. */
function asScalar(w: Walk, slot: Slot): Value | null {
  if (isFullSpill(slot)) return slot.spilled.kind === "scalar" ? slot.spilled : null;
  return !w.unprivileged && slot !== SLOT_INVALID && isMiscOnly(slot) ? UNKNOWN_VALUE : null;
}
