/**
 * Which registers surely hold a map or a function address where: forward constant propagation over the CFG.
 * Lets the emitter inline look-ups in a known array, bind a helper to its map and call a callback directly.
 * Null is "not known"; a value is only reported where every path agrees.
 */
import type { Slots } from "../codec.ts";
import { type Instruction, REGISTER_COUNT } from "../isa.ts";
import type { Cfg } from "./cfg.ts";

export type Known =
  | { readonly kind: "map"; readonly index: number }
  | { readonly kind: "func"; readonly entry: number };
export type Registers = (Known | null)[];

/** Registers a call may change. */
const CLOBBERED = [0, 1, 2, 3, 4, 5];

/** @returns what is known at the start of each block, by block id */
export function knownRegisters(slots: Slots, cfg: Cfg): readonly Registers[] {
  const entry: (Registers | undefined)[] = new Array(cfg.blocks.length);
  entry[0] = new Array<Known | null>(REGISTER_COUNT).fill(null);
  for (let changed = true; changed; ) {
    changed = false;
    for (const block of cfg.blocks) {
      const state = [...entry[block.id]!];
      for (let at = block.start; at < block.end; at++) {
        const insn = slots[at];
        if (insn) step(state, insn, at);
      }
      for (const successor of block.successors) {
        const known = entry[successor];
        if (!known) entry[successor] = [...state];
        else if (!meet(known, state)) continue;
        changed = true;
      }
    }
  }
  return entry as Registers[];
}

/** What one instruction does to what is known. */
export function step(state: Registers, insn: Instruction, slot: number): void {
  switch (insn.kind) {
    case "wide":
      state[insn.dst] =
        insn.pseudo === "map"
          ? { kind: "map", index: insn.imm }
          : insn.pseudo === "func"
            ? { kind: "func", entry: slot + 1 + insn.imm }
            : null;
      return;
    case "alu":
      state[insn.dst] = insn.op === "mov" && insn.width === 64 && insn.src !== null ? state[insn.src]! : null;
      return;
    case "neg":
    case "movsx":
    case "swap":
    case "load":
      state[insn.dst] = null;
      return;
    case "atomic":
      if (insn.fetch) state[insn.op === "cmpxchg" ? 0 : insn.src] = null;
      return;
    case "call":
    case "packet":
      for (const register of CLOBBERED) state[register] = null;
      return;
    default:
      return;
  }
}

/** Forgets in `into` what `other` does not share. @returns whether anything was forgotten */
function meet(into: Registers, other: Registers): boolean {
  let changed = false;
  for (let i = 0; i < into.length; i++) {
    if (into[i] === null || same(into[i]!, other[i]!)) continue;
    into[i] = null;
    changed = true;
  }
  return changed;
}

function same(a: Known, b: Known | null): boolean {
  if (a.kind === "map") return b?.kind === "map" && a.index === b.index;
  return b?.kind === "func" && a.entry === b.entry;
}
