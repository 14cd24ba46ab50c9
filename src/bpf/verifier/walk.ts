/**
 * What every step of a verification shares: the program and its shape, the current state, the paths still
 * to walk, identity numbers, counters. Steps live in their own files and take a Walk; `explore.ts` drives.
 */
import { FRAME_POINTER, type Instruction } from "../isa.ts";
import type { MapDef, Program } from "../program.ts";
import type { Shape } from "./control-flow.ts";
import { invalidated } from "./forget.ts";
import type { LogBook } from "./log.ts";
import { Rejection, type RuleId } from "./rules.ts";
import type { AluMask } from "./sanitation.ts";
import { type Frame, type LinkedSet, State } from "./state.ts";
import { isPointer, type Kind, type Value } from "./value.ts";

export type Target = "linux" | "nic";

export type VerifyOptions = {
  /** Default linux. `nic`: what an offloading NIC takes. */
  readonly target?: Target;
  /** Default false: rules as for root. */
  readonly unprivileged?: boolean;
  /** 0: the final message only. 1: the failing path. 2: everything. Default 0. */
  readonly logLevel?: 0 | 1 | 2;
  /** Instructions to walk before giving up; default 1,000,000 as in Linux. */
  readonly insnLimit?: number;
};

export const INSN_LIMIT = 1_000_000;
/** Branches waiting to be walked (Linux BPF_COMPLEXITY_LIMIT_JMP_SEQ). */
export const PENDING_LIMIT = 8192;

export type Stats = {
  insnsProcessed: number;
  maxStatesPerInsn: number;
  totalStates: number;
  peakStates: number;
  /** Longest chain of stack slots marked read; kept for readers of kernel logs. */
  markRead: number;
};

export class Walk {
  readonly program: Program;
  readonly shape: Shape;
  readonly target: Target;
  readonly unprivileged: boolean;
  readonly limit: number;
  readonly log: LogBook | null;
  readonly stats: Stats = {
    insnsProcessed: 0,
    maxStatesPerInsn: 0,
    totalStates: 0,
    peakStates: 0,
    markRead: 0,
  };
  /** Walks per instruction, for the JSON report. */
  readonly visits: Uint32Array;
  /** States saved at each instruction. */
  readonly statesAt: Uint32Array;
  /** Kind of pointer that each load and store went through first. */
  readonly accessedThrough: Kind[] = [];
  /** How pointers are masked, by instruction (sanitation.ts). */
  readonly aluMasks = new Map<number, AluMask>();
  comparesNumbersExactly = false;
  /** Bytes of stack each function uses. */
  readonly stackDepth: Int32Array;
  /** Global functions that some path calls: the others need no proof. */
  readonly calledGlobals = new Set<number>();
  readonly pending: State[] = [];
  state: State;
  /** Where we are: an index of shape.slots. */
  insn = 0;
  jumps = 0;
  /** Jumps and instructions walked when a state was saved last, in whichever function. */
  readonly atSave = { jumps: 0, insns: 0 };
  #nextId = 0;

  constructor(program: Program, shape: Shape, options: VerifyOptions, log: LogBook | null) {
    this.program = program;
    this.shape = shape;
    this.target = options.target ?? "linux";
    this.unprivileged = options.unprivileged ?? false;
    this.limit = options.insnLimit ?? INSN_LIMIT;
    this.log = log;
    this.visits = new Uint32Array(shape.slots.length);
    this.statesAt = new Uint32Array(shape.slots.length);
    this.stackDepth = new Int32Array(shape.functions.length);
    this.state = new State([]);
  }

  get frame(): Frame {
    return this.state.frame;
  }

  newId(): number {
    return ++this.#nextId;
  }

  instruction(): Instruction {
    return this.shape.slots[this.insn]!;
  }

  /** The value of a register that an instruction reads. */
  read(reg: number): Value {
    const value = this.state.frame.regs[reg]!;
    if (value.kind === "uninit") this.reject("uninitialised-register", `R${reg} !read_ok`);
    return value;
  }

  write(reg: number, value: Value): void {
    if (reg === FRAME_POINTER) this.reject("frame-pointer-write", "frame pointer is read only");
    this.state.frame.regs[reg] = value;
  }

  checkWritable(reg: number): void {
    if (reg === FRAME_POINTER) this.reject("frame-pointer-write", "frame pointer is read only");
  }

  map(index: number): MapDef {
    const map = this.program.maps[index];
    if (!map) this.reject("bad-map", `fd ${index} is not pointing to valid bpf_map`);
    return map;
  }

  /** Every register and spilled slot of every frame, replaced where `change` says so. */
  rewrite(change: (value: Value) => Value): void {
    for (const frame of this.state.frames) {
      const { regs, stack } = frame;
      for (let i = 0; i < 10; i++) {
        const value = regs[i]!;
        const next = change(value);
        if (next !== value) regs[i] = next;
      }
      for (let i = 0; i < stack.length; i++) {
        const slot = stack[i]!;
        if (slot.spilled.kind === "uninit") continue;
        const next = change(slot.spilled);
        if (next !== slot.spilled) stack[i] = { bytes: slot.bytes, spilled: next };
      }
    }
  }

  /** Adds a path that starts from `state`; the walk takes the newest first. */
  enqueue(state: State): void {
    if (this.pending.length >= PENDING_LIMIT) {
      this.reject("too-complex", `The sequence of ${PENDING_LIMIT + 1} jumps is too complex.`);
    }
    if (state.parent) state.parent.branches++;
    state.branches = 1;
    this.pending.push(state);
  }

  /** Notes on the current step that a group of registers moved together. */
  noteLinked(set: LinkedSet): void {
    const { state } = this;
    state.links ??= new Map();
    state.links.set(state.history.length - 1, set);
  }

  /** Says of the current step that it moved a whole register to or from a stack slot. */
  noteStep(step: number): void {
    const { history } = this.state;
    if (history.length > 0) history[history.length - 1] = step;
  }

  /** The reference is given back: what points to its object points to nothing. */
  releaseReference(ref: number): void {
    this.state.refs = this.state.refs.filter((r) => r.id !== ref);
    this.rewrite((v) => (v.ref === ref ? invalidated(this) : v));
  }

  /** @param ending what ends the program here */
  checkNoReference(ending: string): void {
    const { refs } = this.state;
    if (refs.length === 0) return;
    const each = refs.map(({ id, insn }) => `Unreleased reference id=${id} alloc_insn=${insn}\n`);
    this.reject("reference-leak", `${each.join("")}${ending} would lead to reference leak`);
  }

  leaks(value: Value): boolean {
    return this.unprivileged && isPointer(value);
  }

  /** Does `check`; what it refuses is told with one line more. */
  refusing(context: string, check: () => void): void {
    try {
      check();
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
      this.reject(error.rule, `${error.message}\n${context}`);
    }
  }

  reject(rule: RuleId, message: string): never {
    throw new Rejection(rule, message);
  }
}
