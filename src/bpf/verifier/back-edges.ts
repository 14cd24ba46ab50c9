/**
 * Loops that end by a state lying within an earlier one of the same path, its head. What the code behind
 * the head needs (slots read, scalars exact) is then not known to the end, because the head's own walk is
 * not over. So the path that came round is kept as a back edge, and everything from the head to it belongs
 * to an open loop: such states are compared in full. When the head's walk is over, the needs are carried
 * over the back edges until nothing new comes; from then on the loop is as good as straight code.
 */
import { inheritPrecision } from "./precision.ts";
import { hasSlot, MAX_SLOTS, markSlotRead, type State } from "./state.ts";
import type { Walk } from "./walk.ts";

/** Rounds of carrying before we give up and leave the loop open for good (Linux MAX_BACKEDGE_ITERS). */
const MAX_ROUNDS = 64;

type BackEdge = { readonly from: State; readonly to: State };

export class Loop {
  /** Outermost state that a path came round to. */
  head: State;
  edges: BackEdge[] = [];
  isOpen = true;
  /** The loop around it, once the two turned out to be one. */
  #within: Loop | null = null;

  constructor(head: State) {
    this.head = head;
  }

  get outermost(): Loop {
    let loop: Loop = this;
    while (loop.#within) loop = loop.#within;
    return loop;
  }

  mergeInto(outer: Loop): void {
    outer.edges.push(...this.edges);
    this.edges = [];
    this.#within = outer;
  }
}

/** The loop around a state whose needs are not yet known to the end. */
export function openLoop(state: State): Loop | null {
  const loop = state.loop?.outermost ?? null;
  return loop?.isOpen ? loop : null;
}

/** `from` is no worse than `to`, which is still being walked, or belongs to a loop that is. */
export function addBackEdge(from: State, to: State): void {
  const loop = openLoop(to) ?? new Loop(to);
  loop.edges.push({ from, to });
  to.loop = loop;
  for (let s = from.parent; s !== null; s = s.parent) {
    const inner = openLoop(s);
    if (inner && inner !== loop) inner.mergeInto(loop);
    s.loop = loop;
    if (s === loop.head) return;
  }
}

/** A checkpoint has no path left to walk: what it was the head of can be settled. */
export function closeLoop(w: Walk, head: State): void {
  const loop = head.loop?.outermost;
  if (!loop?.isOpen || loop.head !== head) return;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    let changed = false;
    for (const { from, to } of loop.edges) changed = inherit(w, to, from) || changed;
    if (changed) continue;
    loop.isOpen = false;
    loop.edges = [];
    return;
  }
}

/** `state` turned out no worse than `proved`: it owes what that one owed. @returns was any of it new? */
export function inherit(w: Walk, proved: State, state: State): boolean {
  let changed = false;
  for (let f = 0; f < proved.marks.length; f++) {
    const { read } = proved.marks[f]!;
    if (read[0] === 0 && read[1] === 0) continue;
    for (let slot = 0; slot < MAX_SLOTS; slot++) {
      if (hasSlot(read, slot) && markSlotRead(state, f, slot)) changed = true;
    }
  }
  return inheritPrecision(w, proved, state) || changed;
}
