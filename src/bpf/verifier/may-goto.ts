/**
 * may_goto (Linux 6.9 on): a jump that the run time takes once the function has used up its rounds, so that
 * the loop around it ends whatever else it does. The walk follows both ways and, as with an iterator, widens
 * what a round changed, until a round begins in a state within an earlier one.
 */
import type { Walk } from "./walk.ts";
import { previousRound, widen } from "./widen.ts";

/** @returns the next instruction: the jump is taken; another round is put up for later */
export function stepMayGoto(w: Walk, off: number): number {
  const { state } = w;
  const round = state.fork();
  round.insn = w.insn + 1;
  round.previous = w.insn;
  round.mayGotoDepth++;
  // The parent is this jump's own checkpoint; the round before is further back.
  const earlier = previousRound(state.parent?.parent ?? null, state, w.insn);
  if (earlier) widen(round, earlier);
  w.enqueue(round);
  return w.insn + 1 + off;
}
