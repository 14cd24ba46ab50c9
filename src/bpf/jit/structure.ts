/**
 * Control-flow graph to structured control flow, after Ramsey, "Beyond Relooper" (ICFP 2022): a block is
 * placed inside its immediate dominator, a merge point behind a wasm `block` whose end leads to it, a loop
 * header inside a wasm `loop`. Only an irreducible graph gets a dispatch loop over a block number.
 * The result is a flat list of steps in code order, so that nothing recurses over a long program.
 */
import { type Cfg, isBackEdge } from "./cfg.ts";

export type Step =
  | { readonly kind: "block" | "loop" | "end" }
  /** The straight-line part of a block; when it has no successor, it returns. */
  | { readonly kind: "body"; readonly block: number }
  /** The block's branch, taken or (negated) not taken, as the condition of a wasm `if`. */
  | { readonly kind: "if"; readonly block: number; readonly negated: boolean }
  /** The way from `block` to block `to`, which is the end or the start of an open construct. */
  | { readonly kind: "br"; readonly block: number; readonly to: number; readonly depth: number }
  | {
      readonly kind: "br_if";
      readonly block: number;
      readonly to: number;
      readonly negated: boolean;
      readonly depth: number;
    }
  /** Dispatch loops: which block comes next, and the jump to it (label i leads to block i). */
  | { readonly kind: "choose"; readonly block: number }
  | { readonly kind: "again"; readonly depth: number }
  | { readonly kind: "dispatch"; readonly count: number };

export function structure(cfg: Cfg): Step[] {
  return cfg.isReducible ? structureReducible(cfg) : structureDispatch(cfg);
}

/** An open wasm construct: where a branch to it lands; null for a plain `if`. */
type Label = number | null;

function structureReducible(cfg: Cfg): Step[] {
  const { blocks, isLoopHeader, isMerge } = cfg;
  const merges = mergeChildren(cfg);
  const sizes = subtreeSizes(cfg);
  const steps: Step[] = [];
  const labels: Label[] = [];
  const open = (kind: "block" | "loop", lands: number): void => {
    steps.push({ kind });
    labels.push(lands);
  };
  const depthOf = (lands: number): number => labels.length - 1 - labels.lastIndexOf(lands);
  // What is still to be written, the next on top: the tree of a block, or the end of a construct.
  const todo: (number | "end")[] = [0];

  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    if (next === "end") {
      steps.push({ kind: "end" });
      labels.pop();
      continue;
    }
    const id = next;
    if (isLoopHeader[id]) {
      open("loop", id);
      todo.push("end");
    }
    // The merge point that comes last in the program ends the outermost block.
    const followers = merges[id]!;
    for (const follower of followers) {
      open("block", follower);
      todo.push(follower, "end");
    }
    steps.push({ kind: "body", block: id });

    const isLabel = (to: number): boolean => isBackEdge(id, to) || isMerge[to] === true;
    const branch = (to: number): void => {
      steps.push({ kind: "br", block: id, to, depth: depthOf(to) });
    };
    const branchIf = (to: number, negated: boolean): void => {
      steps.push({ kind: "br_if", block: id, to, negated, depth: depthOf(to) });
    };
    const [taken, fallThrough] = blocks[id]!.successors;
    if (taken === undefined) continue;
    if (fallThrough === undefined) {
      if (isLabel(taken)) branch(taken);
      else todo.push(taken);
    } else if (isLabel(taken)) {
      branchIf(taken, false);
      if (isLabel(fallThrough)) branch(fallThrough);
      else todo.push(fallThrough);
    } else if (isLabel(fallThrough)) {
      branchIf(fallThrough, true);
      todo.push(taken);
    } else {
      // Nothing falls out of either side: both leave by a branch or a return, so there is no `else`. The
      // smaller side goes inside, which bounds how deep a long chain of tests nests.
      const negated = sizes[fallThrough]! < sizes[taken]!;
      steps.push({ kind: "if", block: id, negated });
      labels.push(null);
      if (negated) todo.push(taken, "end", fallThrough);
      else todo.push(fallThrough, "end", taken);
    }
  }
  return steps;
}

/** By block: the merge points it immediately dominates, last in program order first. */
function mergeChildren(cfg: Cfg): number[][] {
  const children: number[][] = cfg.blocks.map(() => []);
  for (let id = cfg.blocks.length - 1; id > 0; id--) {
    if (cfg.isMerge[id]) children[cfg.idom[id]!]!.push(id);
  }
  return children;
}

/** By block: how many blocks it dominates, itself included. */
function subtreeSizes(cfg: Cfg): number[] {
  const sizes = cfg.blocks.map(() => 1);
  for (let id = sizes.length - 1; id > 0; id--) sizes[cfg.idom[id]!]! += sizes[id]!;
  return sizes;
}

function structureDispatch(cfg: Cfg): Step[] {
  const count = cfg.blocks.length;
  const steps: Step[] = [{ kind: "loop" }];
  for (let i = 0; i < count; i++) steps.push({ kind: "block" });
  steps.push({ kind: "dispatch", count });
  for (const block of cfg.blocks) {
    steps.push({ kind: "end" }, { kind: "body", block: block.id });
    const [taken, fallThrough] = block.successors;
    if (taken === undefined) continue;
    if (fallThrough === undefined) steps.push({ kind: "choose", block: taken });
    else {
      steps.push({ kind: "choose", block: fallThrough }, { kind: "if", block: block.id, negated: false });
      steps.push({ kind: "choose", block: taken }, { kind: "end" });
    }
    // The blocks behind this one are still open, then the loop.
    steps.push({ kind: "again", depth: count - 1 - block.id });
  }
  steps.push({ kind: "end" });
  return steps;
}
