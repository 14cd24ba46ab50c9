/**
 * The abstract machine at one point of one path: frames of registers and stack, the lock held, the
 * references to release. The walk changes its current state in place; values and slots inside are
 * immutable, so a saved or branched state is a copy of arrays only.
 *
 * Saved states (checkpoints) also carry what the walk behind them learned: which stack slots were read
 * (`read`) and which scalars had to be exactly as they were (`preciseRegs`, `preciseSlots`). Pruning
 * needs both. Slot sets are pairs of int32: slot n is bit n & 31 of word n >> 5.
 */

import { REGISTER_COUNT, STACK_BYTES } from "../isa.ts";
import type { Loop } from "./back-edges.ts";
import { SLOT_BYTES, SLOT_INVALID, type Slot } from "./stack-slot.ts";
import { UNINIT, type Value } from "./value.ts";

export const MAX_SLOTS = STACK_BYTES / SLOT_BYTES;

/** What the return from a callback must satisfy, and where its loop goes on. */
export type CallbackKind = "loop" | "for_each";

export class Frame {
  readonly regs: Value[];
  /** Slot n covers fp-8(n+1) .. fp-8n-1; a hole was never written. */
  readonly stack: Slot[];
  readonly index: number;
  /** Instruction that called this frame. */
  readonly callsite: number;
  readonly subprogram: number;
  readonly callback: CallbackKind | null;
  /** Iterations of a bpf_loop called from this frame that have been walked. */
  callbackDepth: number;

  constructor(
    index: number,
    callsite: number,
    subprogram: number,
    callback: CallbackKind | null = null,
    regs?: Value[],
    stack?: Slot[],
    callbackDepth = 0,
  ) {
    this.index = index;
    this.callsite = callsite;
    this.subprogram = subprogram;
    this.callback = callback;
    this.regs = regs ?? new Array<Value>(REGISTER_COUNT).fill(UNINIT);
    this.stack = stack ?? [];
    this.callbackDepth = callbackDepth;
  }

  clone(): Frame {
    return new Frame(
      this.index,
      this.callsite,
      this.subprogram,
      this.callback,
      this.regs.slice(),
      this.stack.slice(),
      this.callbackDepth,
    );
  }

  slot(index: number): Slot {
    return this.stack[index] ?? SLOT_INVALID;
  }

  setSlot(index: number, slot: Slot): void {
    while (this.stack.length < index) this.stack.push(SLOT_INVALID);
    this.stack[index] = slot;
  }
}

/** Per frame: facts that the walk behind a state teaches about it. */
export class Marks {
  preciseRegs = 0;
  readonly preciseSlots: [number, number] = [0, 0];
  readonly read: [number, number] = [0, 0];
  /** Slots written on the way here from the parent state. */
  readonly written: [number, number] = [0, 0];

  clone(): Marks {
    const copy = new Marks();
    copy.written[0] = this.written[0];
    copy.written[1] = this.written[1];
    return copy;
  }
}

export function hasSlot(set: readonly [number, number], slot: number): boolean {
  return (((slot < 32 ? set[0] : set[1]) >>> (slot & 31)) & 1) === 1;
}

export function addSlot(set: [number, number], slot: number): void {
  if (slot < 32) set[0] |= 1 << slot;
  else set[1] |= 1 << (slot & 31);
}

/** A bpf_spin_lock that is held: of which map value. */
export type HeldLock = { readonly id: number; readonly map: unknown };

/** References with the instruction that acquired them. */
export type Reference = { readonly id: number; readonly insn: number };

/** Registers and slots that moved together at one step: if one must be precise, all must. */
export type LinkedPlace = { readonly frame: number; readonly reg: number; readonly slot: number };
export type LinkedSet = readonly LinkedPlace[];

export class State {
  frames: Frame[];
  /** Instruction the state is at. */
  insn = 0;
  /** Instruction walked before it. */
  previous = -1;
  lock: HeldLock | null = null;
  refs: readonly Reference[] = [];
  callbackUnroll = 0;
  /** Times a may_goto fell through on the way here. */
  mayGotoDepth = 0;

  /** The checkpoint this path came through last. */
  parent: State | null = null;
  /** Paths from here not yet walked to their end. */
  branches = 0;
  /** The loop that came round through here (back-edges.ts). */
  loop: Loop | null = null;
  /** No longer compared with; kept while paths from here are open. */
  dropped = false;
  marks: Marks[] = [];
  /** Steps since the parent: instruction | slot << 20 | frame << 26 | stack access << 29. */
  history: number[] = [];
  links: Map<number, LinkedSet> | null = null;
  hits = 0;
  misses = 0;

  constructor(frames: Frame[]) {
    this.frames = frames;
    this.marks = frames.map(() => new Marks());
  }

  get frame(): Frame {
    return this.frames[this.frames.length - 1]!;
  }

  get depth(): number {
    return this.frames.length - 1;
  }

  /** A copy that goes on from here as another path of the same parent. */
  fork(): State {
    const copy = new State([]);
    copy.frames = this.frames.map((frame) => frame.clone());
    copy.marks = this.marks.map((marks) => marks.clone());
    copy.insn = this.insn;
    copy.previous = this.previous;
    copy.lock = this.lock;
    copy.refs = this.refs;
    copy.callbackUnroll = this.callbackUnroll;
    copy.mayGotoDepth = this.mayGotoDepth;
    copy.parent = this.parent;
    copy.history = this.history.slice();
    copy.links = this.links && new Map(this.links);
    return copy;
  }

  pushFrame(frame: Frame): void {
    this.frames.push(frame);
    this.marks.push(new Marks());
  }

  popFrame(): void {
    this.frames.pop();
    this.marks.pop();
  }
}

const STEP_INSN = 0xf_ffff;
export const STEP_STACK = 1 << 29;

export function stackStep(insn: number, frame: number, slot: number): number {
  return insn | (slot << 20) | (frame << 26) | STEP_STACK;
}

export function stepInsn(step: number): number {
  return step & STEP_INSN;
}

export function stepSlot(step: number): number {
  return (step >>> 20) & 0x3f;
}

export function stepFrame(step: number): number {
  return (step >>> 26) & 0x7;
}

/**
 * The slot's content is needed: says so to every checkpoint since it was last written.
 * @returns did any not know?
 */
export function markSlotRead(state: State, frame: number, slot: number): boolean {
  let isNew = false;
  let child: State = state;
  for (let at = state.parent; at !== null; at = at.parent) {
    const written = child.marks[frame]?.written;
    if (written === undefined || hasSlot(written, slot)) return isNew;
    const marks = at.marks[frame];
    if (!marks || hasSlot(marks.read, slot)) return isNew;
    addSlot(marks.read, slot);
    isNew = true;
    child = at;
  }
  return isNew;
}
