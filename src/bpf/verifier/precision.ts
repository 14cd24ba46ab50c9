/**
 * Which scalars must be exact. Most never matter: two states may differ in them and still be as safe. When
 * one does matter (it bounds an access, decides a branch), this walks the path backwards from its use and
 * marks, in every checkpoint on the way, the registers and stack slots it was computed from.
 */
import { helperByName } from "../helpers/signatures.ts";
import { assertNever } from "../isa.ts";
import { takesCallback } from "./control-flow.ts";
import { addSlot, hasSlot, STEP_STACK, type State, stepFrame, stepInsn, stepSlot } from "./state.ts";
import type { Walk } from "./walk.ts";

const TAIL_CALL = helperByName("tail_call")!.id;

/** What is still to be traced: per frame, registers as bits and stack slots. */
class Trace {
  readonly regs: number[] = [];
  readonly slots: [number, number][] = [];
  /** Frame the instruction being undone ran in. */
  frame: number;

  constructor(frame: number) {
    this.frame = frame;
    this.grow(frame);
  }

  grow(frame: number): void {
    while (this.regs.length <= frame) {
      this.regs.push(0);
      this.slots.push([0, 0]);
    }
  }

  has(reg: number): boolean {
    return ((this.regs[this.frame]! >>> reg) & 1) === 1;
  }

  add(reg: number): void {
    // r10 is never a scalar.
    if (reg < 10) this.regs[this.frame]! |= 1 << reg;
  }

  remove(reg: number): void {
    this.regs[this.frame]! &= ~(1 << reg);
  }

  clearFrame(frame: number): void {
    this.regs[frame] = 0;
    const slots = this.slots[frame]!;
    slots[0] = 0;
    slots[1] = 0;
  }

  isEmpty(): boolean {
    for (let i = 0; i < this.regs.length; i++) {
      if (this.regs[i] !== 0 || this.slots[i]![0] !== 0 || this.slots[i]![1] !== 0) return false;
    }
    return true;
  }
}

/** The value that `reg` of the current frame has before the current instruction must be exact. */
export function markPrecise(w: Walk, reg: number): void {
  if (w.unprivileged) return; // everything is compared exactly then
  const { state } = w;
  if (reg >= 10) return;
  const trace = new Trace(state.depth);
  trace.add(reg);
  follow(w, state, trace, 1);
}

/** The same for a number spilled to the stack. */
export function markSlotPrecise(w: Walk, frame: number, slot: number): void {
  if (w.unprivileged) return;
  const trace = new Trace(w.state.depth);
  trace.grow(frame);
  addSlot(trace.slots[frame]!, slot);
  follow(w, w.state, trace, 1);
}

/**
 * `state` turned out equal to `proved`: what had to be exact behind that one must be exact on this path too.
 * @returns was any of it not known on this path?
 */
export function inheritPrecision(w: Walk, proved: State, state: State): boolean {
  const trace = new Trace(state.depth);
  for (let f = 0; f < proved.marks.length; f++) {
    trace.grow(f);
    const marks = proved.marks[f]!;
    trace.regs[f] = marks.preciseRegs;
    trace.slots[f]![0] = marks.preciseSlots[0];
    trace.slots[f]![1] = marks.preciseSlots[1];
  }
  return !trace.isEmpty() && follow(w, state, trace, 0);
}

/** @param skip steps at the end of the path that have not changed anything yet */
function follow(w: Walk, start: State, trace: Trace, skip: number): boolean {
  let isNew = false;
  let last = skip;
  let later = start.insn;
  for (let state: State | null = start; state !== null; ) {
    const { history, links } = state;
    for (let i = history.length - 1 - last; i >= 0; i--) {
      const step = history[i]!;
      const linked = links?.get(i);
      if (linked) spread(trace, linked);
      undo(w, trace, step, later);
      if (linked) spread(trace, linked);
      if (trace.isEmpty()) return isNew;
      later = stepInsn(step);
    }
    last = 0;
    state = state.parent;
    if (state === null) return isNew;
    settleAt(state, trace);
    // What is left was not marked here before.
    if (trace.isEmpty()) return isNew;
    isNew = true;
  }
  return isNew;
}

/** Marks a checkpoint; what is no scalar there, or was marked before, needs no tracing further back. */
function settleAt(state: State, trace: Trace): void {
  for (let f = 0; f < trace.regs.length; f++) {
    const frame = state.frames[f];
    const marks = state.marks[f];
    const slots = trace.slots[f]!;
    if (!frame || !marks) {
      trace.clearFrame(f);
      continue;
    }
    let wanted = trace.regs[f]!;
    for (let reg = 0; wanted >>> reg !== 0; reg++) {
      if (((wanted >>> reg) & 1) === 0) continue;
      if (frame.regs[reg]!.kind !== "scalar" || ((marks.preciseRegs >>> reg) & 1) === 1)
        wanted &= ~(1 << reg);
      else marks.preciseRegs |= 1 << reg;
    }
    trace.regs[f] = wanted;
    if (slots[0] === 0 && slots[1] === 0) continue;
    const next: [number, number] = [0, 0];
    for (let slot = 0; slot < frame.stack.length; slot++) {
      if (!hasSlot(slots, slot)) continue;
      if (frame.slot(slot).spilled.kind !== "scalar" || hasSlot(marks.preciseSlots, slot)) continue;
      addSlot(marks.preciseSlots, slot);
      addSlot(next, slot);
    }
    slots[0] = next[0];
    slots[1] = next[1];
  }
}

function spread(trace: Trace, linked: readonly { frame: number; reg: number; slot: number }[]): void {
  const touched = linked.some(({ frame, reg, slot }) => {
    if (frame >= trace.regs.length) return false;
    return reg >= 0 ? ((trace.regs[frame]! >>> reg) & 1) === 1 : hasSlot(trace.slots[frame]!, slot);
  });
  if (!touched) return;
  for (const { frame, reg, slot } of linked) {
    trace.grow(frame);
    if (reg >= 0) trace.regs[frame]! |= 1 << reg;
    else addSlot(trace.slots[frame]!, slot);
  }
}

/** From what is needed after a step to what is needed before it. `later`: the instruction walked next. */
function undo(w: Walk, trace: Trace, step: number, later: number): void {
  const at = stepInsn(step);
  const insn = w.shape.slots[at]!;
  switch (insn.kind) {
    case "alu":
      if (!trace.has(insn.dst)) return;
      if (insn.op === "mov") {
        trace.remove(insn.dst);
        if (insn.src !== null) trace.add(insn.src);
      } else if (insn.src !== null) {
        if (insn.op === "xor" && insn.src === insn.dst) trace.remove(insn.dst);
        else trace.add(insn.src);
      }
      return;
    case "movsx":
      if (!trace.has(insn.dst)) return;
      trace.remove(insn.dst);
      trace.add(insn.src);
      return;
    case "load":
      if (!trace.has(insn.dst)) return;
      trace.remove(insn.dst);
      if (step & STEP_STACK) needSlot(trace, step);
      return;
    case "store":
      if ((step & STEP_STACK) === 0) return;
      if (!takeSlot(trace, step)) return;
      if (insn.src !== null) trace.add(insn.src);
      return;
    case "atomic": {
      const into = insn.op === "cmpxchg" ? 0 : insn.src;
      if (!insn.fetch || !trace.has(into)) return;
      trace.remove(into);
      if (step & STEP_STACK) needSlot(trace, step);
      return;
    }
    case "branch":
      if (insn.src === null) return;
      if (trace.has(insn.dst) || trace.has(insn.src)) {
        trace.add(insn.dst);
        trace.add(insn.src);
      }
      return;
    case "exit":
      // Backwards into a function that had returned.
      enterCallee(w, trace, later);
      return;
    case "call":
      leaveCallee(w, trace, at, later);
      return;
    case "wide":
      trace.remove(insn.dst);
      return;
    case "packet":
      // It may have left its function: with 0, which comes from nowhere.
      if (later !== at + 1) enterCallee(w, trace, later);
      trace.regs[trace.frame]! &= ~0b11_1111;
      return;
    case "neg":
    case "swap":
    case "jump":
    case "may_goto":
      return;
    default:
      assertNever(insn);
  }
}

function needSlot(trace: Trace, step: number): void {
  const frame = stepFrame(step);
  trace.grow(frame);
  addSlot(trace.slots[frame]!, stepSlot(step));
}

function takeSlot(trace: Trace, step: number): boolean {
  const slots = trace.slots[stepFrame(step)];
  const slot = stepSlot(step);
  if (!slots || !hasSlot(slots, slot)) return false;
  slots[slot >> 5]! &= ~(1 << (slot & 31));
  return true;
}

function enterCallee(w: Walk, trace: Trace, later: number): void {
  const returned = w.shape.slots[later];
  const isCallback = returned?.kind === "call" && returned.target === "helper" && takesCallback(returned.id);
  const needsResult = !isCallback && trace.has(0);
  // A call leaves nothing of the caller's r0-r5; a callback's caller keeps its arguments.
  if (!isCallback) trace.regs[trace.frame]! &= ~0b11_1111;
  trace.frame++;
  trace.grow(trace.frame);
  trace.clearFrame(trace.frame);
  if (needsResult) trace.add(0);
}

function leaveCallee(w: Walk, trace: Trace, at: number, later: number): void {
  const insn = w.shape.slots[at]!;
  if (insn.kind !== "call") return;
  if (insn.target === "helper" && insn.id === TAIL_CALL && later !== at + 1) {
    // Another program returned here instead: what it returned came from nowhere.
    enterCallee(w, trace, later);
    trace.regs[trace.frame]! &= ~0b11_1111;
    return;
  }
  const entered =
    insn.target === "local"
      ? later === at + 1 + insn.off &&
        trace.frame > 0 &&
        !w.shape.functions[w.shape.functionOf[later]!]!.isGlobal
      : insn.target === "helper" && takesCallback(insn.id) && later !== at + 1 && trace.frame > 0;
  if (!entered) {
    trace.regs[trace.frame]! &= ~0b11_1111;
    return;
  }
  const args = insn.target === "local" ? trace.regs[trace.frame]! & 0b11_1110 : 0;
  trace.clearFrame(trace.frame);
  trace.frame--;
  trace.regs[trace.frame]! |= args;
}
