/**
 * Where a function adds to its count of executed instructions. Adding in every block costs a tenth to a
 * quarter of a run; after Ball and Larus, "Optimally Profiling and Tracing Programs" (1992), it suffices
 * on the edges outside a spanning tree. Each block has a number that the true count is ahead of the local
 * one by when control enters it; an edge adds only what the two numbers at its ends do not explain.
 */
import { type Cfg, isBackEdge } from "./cfg.ts";

export type CountPlan = {
  /** By block: what its entry adds. */
  readonly atEntry: readonly number[];
  /** By block: what leaving the function in it must add to the local count. */
  readonly whenLeaving: readonly number[];
  /** What the way from one block to another adds; may be negative. */
  onEdge(from: number, to: number): number;
};

export function planCounts(cfg: Cfg): CountPlan {
  const { blocks } = cfg;
  const nothing = blocks.map(() => 0);
  // A dispatch loop has no edges to put code on.
  if (!cfg.isReducible) {
    return { atEntry: blocks.map((b) => b.instructions), whenLeaving: nothing, onEdge: () => 0 };
  }
  const ahead = [...nothing];
  const whenLeaving = [...nothing];
  for (const { id, instructions, successors } of blocks) {
    whenLeaving[id] = ahead[id]! + instructions;
    // Of several ways into a merge point, the one from the last block is free.
    for (const to of successors) if (!isBackEdge(id, to)) ahead[to] = whenLeaving[id]!;
  }
  return { atEntry: nothing, whenLeaving, onEdge: (from, to) => whenLeaving[from]! - ahead[to]! };
}
