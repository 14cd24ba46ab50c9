/**
 * Control-flow graph of one function: basic blocks numbered in reverse postorder (0 is the entry), their
 * immediate dominators, which are loop headers, and whether every loop has one entry (is reducible).
 * Unreachable instructions are left out. Expects slots that passed the load checks.
 */
import type { Slots } from "../codec.ts";
import { helperByName } from "../helpers/signatures.ts";
import { type Instruction, slotsOf } from "../isa.ts";

const TAIL_CALL = helperByName("tail_call")?.id;

export type Block = {
  readonly id: number;
  /** First slot. */
  readonly start: number;
  /** The slot behind the last instruction. */
  readonly end: number;
  /** Instructions in it, for the cost model: a wide load is one. */
  readonly instructions: number;
  /** Block ids: none after an exit, one, or two with the taken one first. Never twice the same. */
  readonly successors: readonly number[];
};

export type Cfg = {
  readonly blocks: readonly Block[];
  /** Immediate dominator by block id; the entry is its own. */
  readonly idom: readonly number[];
  /** By block id: does an edge lead back to it? */
  readonly isLoopHeader: readonly boolean[];
  /** By block id: do two or more forward edges meet here? */
  readonly isMerge: readonly boolean[];
  readonly isReducible: boolean;
};

/** @param start entry slot, @param end the slot behind the function */
export function buildCfg(slots: Slots, start: number, end: number): Cfg {
  const rough = roughBlocks(slots, start, end);
  const order = reversePostorder(rough, start);
  const idOf = new Map(order.map((slot, id) => [slot, id]));
  const blocks = order.map((slot, id): Block => {
    const { end: blockEnd, instructions, successors } = rough.get(slot)!;
    return { id, start: slot, end: blockEnd, instructions, successors: successors.map((s) => idOf.get(s)!) };
  });
  const predecessors = predecessorsOf(blocks);
  const idom = immediateDominators(predecessors);
  return {
    blocks,
    idom,
    isLoopHeader: predecessors.map((from, id) => from.some((p) => isBackEdge(p, id))),
    isMerge: predecessors.map((from, id) => from.filter((p) => !isBackEdge(p, id)).length > 1),
    isReducible: predecessors.every((from, id) =>
      from.every((p) => !isBackEdge(p, id) || dominates(idom, id, p)),
    ),
  };
}

/** Forward edges go up in reverse postorder; all others lead back. */
export function isBackEdge(from: number, to: number): boolean {
  return to <= from;
}

type RoughBlock = { end: number; instructions: number; successors: number[] };

function roughBlocks(slots: Slots, start: number, end: number): Map<number, RoughBlock> {
  const leaders = new Set([start]);
  for (let at = start; at < end; at++) {
    const insn = slots[at];
    if (!insn || !(endsBlock(insn) || mayLeave(insn))) continue;
    for (const next of nextSlots(insn, at)) leaders.add(next);
    leaders.add(at + 1);
  }
  const blocks = new Map<number, RoughBlock>();
  let current: RoughBlock | null = null;
  for (let at = start; at < end; at++) {
    const insn = slots[at];
    if (!insn) continue;
    if (leaders.has(at) || !current) {
      current = { end: at, instructions: 0, successors: [] };
      blocks.set(at, current);
    }
    current.instructions++;
    current.end = at + slotsOf(insn);
    if (endsBlock(insn)) current.successors = nextSlots(insn, at);
    else if (leaders.has(current.end)) current.successors = [current.end];
  }
  return blocks;
}

function endsBlock(insn: Instruction): boolean {
  return insn.kind === "jump" || insn.kind === "branch" || insn.kind === "may_goto" || insn.kind === "exit";
}

/** What follows is not executed for sure, so it has to be counted on its own. */
function mayLeave(insn: Instruction): boolean {
  return (
    insn.kind === "packet" || (insn.kind === "call" && insn.target === "helper" && insn.id === TAIL_CALL)
  );
}

function nextSlots(insn: Instruction, at: number): number[] {
  if (insn.kind === "jump") return [at + 1 + insn.off];
  if (insn.kind === "branch" || insn.kind === "may_goto")
    return insn.off === 0 ? [at + 1] : [at + 1 + insn.off, at + 1];
  return [];
}

function reversePostorder(blocks: ReadonlyMap<number, RoughBlock>, start: number): number[] {
  const postorder: number[] = [];
  const seen = new Set([start]);
  // An explicit stack: a long program would overflow a recursive walk.
  const stack = [{ slot: start, next: 0 }];
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    const successor = blocks.get(top.slot)!.successors[top.next++];
    if (successor === undefined) {
      postorder.push(top.slot);
      stack.pop();
    } else if (!seen.has(successor)) {
      seen.add(successor);
      stack.push({ slot: successor, next: 0 });
    }
  }
  return postorder.reverse();
}

function predecessorsOf(blocks: readonly Block[]): number[][] {
  const predecessors: number[][] = blocks.map(() => []);
  for (const block of blocks) {
    for (const successor of block.successors) predecessors[successor]!.push(block.id);
  }
  return predecessors;
}

/** Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm" (2001). */
function immediateDominators(predecessors: readonly (readonly number[])[]): number[] {
  const UNKNOWN = -1;
  const idom = predecessors.map(() => UNKNOWN);
  idom[0] = 0;
  for (let changed = true; changed; ) {
    changed = false;
    for (let id = 1; id < predecessors.length; id++) {
      let best = UNKNOWN;
      for (const p of predecessors[id]!) {
        if (idom[p] === UNKNOWN) continue;
        best = best === UNKNOWN ? p : commonDominator(idom, p, best);
      }
      if (idom[id] !== best) {
        idom[id] = best;
        changed = true;
      }
    }
  }
  return idom;
}

function commonDominator(idom: readonly number[], a: number, b: number): number {
  let left = a;
  let right = b;
  while (left !== right) {
    while (left > right) left = idom[left]!;
    while (right > left) right = idom[right]!;
  }
  return left;
}

function dominates(idom: readonly number[], above: number, below: number): boolean {
  let at = below;
  while (at > above) at = idom[at]!;
  return at === above;
}
