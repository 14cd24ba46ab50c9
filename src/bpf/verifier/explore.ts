/**
 * The walk: follow the program path by path, one instruction after another on the abstract state, put the
 * other side of each open branch up for later, and stop a path where an equal state was walked before.
 * A rejection is thrown by the step that finds it.
 */

import { assertNever, type Instruction } from "../isa.ts";
import { addBackEdge, closeLoop, inherit, openLoop } from "./back-edges.ts";
import { stepBranch } from "./branch.ts";
import { CHECKPOINT } from "./control-flow.ts";
import { functionPointer, globalFrame, returnZero, stepExit, stepLocalCall } from "./function-call.ts";
import { stepHelper } from "./helper-call.ts";
import { isActiveIterator } from "./iterator.ts";
import { stepKfunc } from "./kfunc-call.ts";
import { stepMayGoto } from "./may-goto.ts";
import { stepAtomic, stepLoad, stepPacketLoad, stepStore } from "./memory-access.ts";
import { stepAlu, stepMovsx, stepUnary } from "./pointer-arithmetic.ts";
import { type Comparison, statesEqual } from "./prune.ts";
import { Frame, Marks, STEP_STACK, State } from "./state.ts";
import { constantScalar, pointer } from "./value.ts";
import type { Walk } from "./walk.ts";

/** A state is worth saving after so many jumps and instructions; measured by the kernel's authors. */
const CHECKPOINT_JUMPS = 2;
const CHECKPOINT_INSNS = 8;
/** ... and not more often than this inside a loop that is still open. */
const LOOP_JUMPS = 20;
const LOOP_INSNS = 100;
/** A path's own record is cut at this length. */
const LONG_HISTORY = 40;

/** Walks the entry program, then by itself each global function that anything walked calls. */
export function explore(w: Walk): void {
  const entry = new Frame(0, -1, 0);
  entry.regs[1] = pointer("ctx");
  entry.regs[10] = pointer("stack", { frame: 0 });
  walkFunction(w, entry, 0);
  // As in Linux in the order they stand in, and over again while one called another.
  const done = new Set<number>();
  for (let before = -1; before !== done.size; ) {
    before = done.size;
    w.shape.functions.forEach(({ name, start }, index) => {
      if (done.has(index) || !w.calledGlobals.has(index)) return;
      done.add(index);
      walkFunction(w, globalFrame(w, index), start);
      w.log?.proved(index, name);
    });
  }
}

function walkFunction(w: Walk, frame: Frame, start: number): void {
  w.state = new State([frame]);
  w.state.branches = 1;
  w.insn = start;
  w.pending.length = 0;
  const saved = new Explorer(w);
  w.log?.start(w, w.shape.functions[frame.subprogram]!.name, start > 0);
  saved.run();
  w.log?.ended();
}

class Explorer {
  readonly #w: Walk;
  /** Saved states by bucket: those of one instruction and caller, and whatever else falls into it. */
  readonly #saved = new Map<number, State[]>();
  #savedCount = 0;
  /** Entries the kernel's jump history would have since the last save. */
  #weight = 0;

  constructor(w: Walk) {
    this.#w = w;
  }

  /** Where Linux's table has the states of here: one bucket an instruction slot, chosen with the call site. */
  #bucket(): number {
    const { insn, shape, frame } = this.#w;
    return ((insn ^ frame.callsite) >>> 0) % shape.slots.length;
  }

  run(): void {
    const w: Walk = this.#w;
    const { slots, prunePoint, jumpPoint } = w.shape;
    const { stats, log } = w;
    for (;;) {
      if (++stats.insnsProcessed > w.limit) {
        w.reject("too-complex", `BPF program is too large. Processed ${stats.insnsProcessed} insn`);
      }
      w.visits[w.insn]!++;
      w.state.insn = w.insn;
      if (prunePoint[w.insn] === 1) {
        if (this.#seenBefore()) {
          log?.safe(w);
          if (!this.#nextPath()) return;
          continue;
        }
      }
      if (jumpPoint[w.insn] === 1) this.#weight++;
      w.state.history.push(w.insn);
      log?.before(w);
      const pendingBefore = w.pending.length;
      const at = w.insn;
      const next = this.#step(slots[at]!);
      if ((w.state.history[w.state.history.length - 1]! & STEP_STACK) !== 0) this.#weight++;
      if (log) {
        log.after(w);
        for (let i = pendingBefore; i < w.pending.length; i++) log.branch(w.pending[i]!);
      }
      if (next === null) {
        if (!this.#nextPath()) return;
        continue;
      }
      w.state.previous = at;
      w.insn = next;
    }
  }

  /** @returns the next instruction, or null where the path ends */
  #step(insn: Instruction): number | null {
    const w: Walk = this.#w;
    switch (insn.kind) {
      case "alu":
        stepAlu(w, insn);
        return w.insn + 1;
      case "neg":
      case "swap":
        stepUnary(w, insn);
        return w.insn + 1;
      case "movsx":
        stepMovsx(w, insn);
        return w.insn + 1;
      case "load":
        stepLoad(w, insn);
        return w.insn + 1;
      case "store":
        stepStore(w, insn);
        return w.insn + 1;
      case "atomic":
        stepAtomic(w, insn);
        return w.insn + 1;
      case "packet":
        stepPacketLoad(w, insn);
        return w.state.depth > 0 ? returnZero(w) : w.insn + 1;
      case "wide":
        this.#wide(insn);
        return w.insn + 2;
      case "jump":
        w.jumps++;
        return w.insn + 1 + insn.off;
      case "branch":
        w.jumps++;
        return stepBranch(w, insn);
      case "may_goto":
        w.jumps++;
        return stepMayGoto(w, insn.off);
      case "exit":
        w.jumps++;
        return stepExit(w);
      case "call":
        w.jumps++;
        return this.#call(insn);
      default:
        return assertNever(insn);
    }
  }

  #call(insn: Instruction & { kind: "call" }): number {
    const w: Walk = this.#w;
    if (insn.target === "local") return stepLocalCall(w, insn);
    if (insn.target === "helper") return stepHelper(w, insn.id);
    if (insn.target === "register") w.reject("bad-instruction", "unknown opcode 8d");
    stepKfunc(w, insn.id);
    return w.insn + 1;
  }

  #wide(insn: Instruction & { kind: "wide" }): void {
    const w: Walk = this.#w;
    w.checkWritable(insn.dst);
    switch (insn.pseudo) {
      case "imm":
        w.write(insn.dst, constantScalar((BigInt(insn.imm2 >>> 0) << 32n) | BigInt(insn.imm >>> 0)));
        return;
      case "map":
      case "map_idx":
        w.write(insn.dst, pointer("map_ptr", { map: w.map(insn.imm) }));
        return;
      case "map_value":
      case "map_idx_value":
        w.write(insn.dst, pointer("map_value", { map: w.map(insn.imm), off: insn.imm2 }));
        return;
      case "func":
        w.write(insn.dst, functionPointer(w, insn));
        return;
      case "var":
        w.reject("bad-instruction", "unrecognized bpf_ld_imm64 insn");
    }
  }

  /** Takes the newest waiting path. @returns false when none is left */
  #nextPath(): boolean {
    const w: Walk = this.#w;
    this.#finish(w.state);
    const next = w.pending.pop();
    if (!next) return false;
    w.state = next;
    w.insn = next.insn;
    this.#weight = 0;
    w.log?.resume(w);
    return true;
  }

  /** Was an equal state walked from here before? If not, saves this one where that may pay. */
  #seenBefore(): boolean {
    const w: Walk = this.#w;
    const { stats } = w;
    const checkpoint = w.shape.forcedCheckpoint[w.insn]!;
    const forced = checkpoint !== 0;
    const mustSave = forced || this.#weight > LONG_HISTORY;
    const sinceJumps = w.jumps - w.atSave.jumps;
    const sinceInsns = stats.insnsProcessed - w.atSave.insns;
    let save = mustSave || (sinceJumps >= CHECKPOINT_JUMPS && sinceInsns >= CHECKPOINT_INSNS);
    const bucket = this.#bucket();
    const list = this.#saved.get(bucket) ?? [];
    const listed = list.length;
    // Newest first: what is no longer reached has then failed less often (Linux 6.18 lists them so).
    for (let i = listed - 1; i >= 0; i--) {
      const old = list[i]!;
      if (old.insn !== w.insn) continue;
      if (this.#covers(old, checkpoint)) {
        this.#join(old);
        return true;
      }
      if (old.branches > 0 && (checkpoint === 0 || checkpoint === CHECKPOINT.mayGoto)) {
        this.#checkEndless(old);
        if (!mustSave && sinceJumps < LOOP_JUMPS && sinceInsns < LOOP_INSNS) save = false;
      }
      if (save) old.misses++;
      // A state that never helped only costs comparisons.
      const patience = forced && old.branches > 0 ? 64 : 3;
      if (old.misses > old.hits * patience + patience) {
        list.splice(i, 1);
        // It goes when the last path from it has ended.
        if (old.branches === 0) this.#savedCount--;
        else old.dropped = true;
      }
    }
    if (listed > stats.maxStatesPerInsn) stats.maxStatesPerInsn = listed;
    if (save) {
      this.#save(list);
      this.#saved.set(bucket, list);
    }
    return false;
  }

  /** Is the current state no worse than `old`, as far as the walk from there is known? */
  #covers(old: State, checkpoint: number): boolean {
    const w: Walk = this.#w;
    if (old.branches > 0) return this.#isWithin(old, checkpoint);
    const comparison: Comparison = openLoop(old) ? "within" : "proved";
    return statesEqual(w, old, w.state, comparison);
  }

  /** Does a loop of any number of rounds end here, by a round that is no worse than an open one? */
  #isWithin(old: State, checkpoint: number): boolean {
    const w: Walk = this.#w;
    const { state } = w;
    switch (checkpoint) {
      case CHECKPOINT.callback:
        return statesEqual(w, old, state, "within");
      case CHECKPOINT.iterator:
        // A drained iterator proves no end of the loop: only its next round could.
        return isActiveIterator(state, state.frame.regs[1]!) && statesEqual(w, old, state, "within");
      case CHECKPOINT.mayGoto:
        // Without a round used up in between, the loop would be one around the jump itself.
        return old.mayGotoDepth !== state.mayGotoDepth && statesEqual(w, old, state, "within");
      default:
        return false;
    }
  }

  #checkEndless(old: State): void {
    const w: Walk = this.#w;
    const { state } = w;
    if (!maybeSame(old, state)) return;
    if (old.callbackUnroll !== state.callbackUnroll || old.mayGotoDepth !== state.mayGotoDepth) return;
    if (statesEqual(w, old, state, "exact")) {
      w.log?.endless(w, old);
      w.reject("infinite-loop", `infinite loop detected at insn ${w.insn}`);
    }
  }

  /** A path has ended: every checkpoint that waited only for it is done too. */
  #finish(state: State): void {
    for (let s: State | null = state; s !== null; s = s.parent) {
      s.branches--;
      if (s.branches > 0) return;
      closeLoop(this.#w, s);
      if (s.dropped) this.#savedCount--;
    }
  }

  /** This path needs no walking: it owes what the walked one owed. */
  #join(old: State): void {
    const w: Walk = this.#w;
    const { state } = w;
    old.hits++;
    inherit(w, old, state);
    if (old.branches > 0 || openLoop(old)) addBackEdge(state, old);
  }

  #save(list: State[]): void {
    const w: Walk = this.#w;
    const { state, stats } = w;
    const checkpoint = new State([]);
    checkpoint.frames = state.frames.map((frame) => frame.clone());
    checkpoint.marks = state.marks;
    checkpoint.insn = w.insn;
    checkpoint.previous = state.previous;
    checkpoint.lock = state.lock;
    checkpoint.refs = state.refs;
    checkpoint.callbackUnroll = state.callbackUnroll;
    checkpoint.mayGotoDepth = state.mayGotoDepth;
    checkpoint.parent = state.parent;
    checkpoint.branches = 1;
    checkpoint.history = state.history;
    checkpoint.links = state.links;
    state.parent = checkpoint;
    state.marks = state.frames.map(() => new Marks());
    state.history = [];
    state.links = null;
    list.push(checkpoint);
    w.atSave.jumps = w.jumps;
    w.atSave.insns = stats.insnsProcessed;
    this.#weight = 0;
    stats.totalStates++;
    w.statesAt[w.insn]!++;
    this.#savedCount++;
    if (this.#savedCount > stats.peakStates) stats.peakStates = this.#savedCount;
  }
}

/** Cheap look before the thorough one: a loop that counts differs in some register. */
function maybeSame(old: State, now: State): boolean {
  if (old.frames.length !== now.frames.length) return false;
  const before = old.frame.regs;
  const after = now.frame.regs;
  for (let reg = 0; reg < 10; reg++) {
    const a = before[reg]!;
    const b = after[reg]!;
    if (a === b) continue;
    if (
      a.kind !== b.kind ||
      a.off !== b.off ||
      a.scalar.umin !== b.scalar.umin ||
      a.scalar.umax !== b.scalar.umax
    ) {
      return false;
    }
  }
  return true;
}
