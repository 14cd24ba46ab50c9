/**
 * The program's shape before any value is looked at: functions, jump targets, reachability, the points
 * where states are worth comparing, and which registers each instruction may still need (a backward
 * data-flow, per function). Everything here is linear in the program.
 */
import { kfuncById } from "../helpers/kfuncs.ts";
import { type Instruction, slotsOf } from "../isa.ts";
import type { Program, Subprogram } from "../program.ts";
import { verifierHelper } from "./linux-helpers.ts";
import { reject } from "./rules.ts";

export type Shape = {
  readonly slots: readonly (Instruction | null)[];
  /** Entry slots in order; the first is the program's own. */
  readonly functions: readonly FunctionShape[];
  /** Function of each slot. */
  readonly functionOf: Uint32Array;
  /** Compare states here? */
  readonly prunePoint: Uint8Array;
  /** Reached by a jump: the kernel's history of a path has an entry for it. */
  readonly jumpPoint: Uint8Array;
  /** Always save a state here: the head of a loop the walk widens. 0, or one of CHECKPOINT. */
  readonly forcedCheckpoint: Uint8Array;
  /** Registers whose value before the instruction may be read later, as bits. */
  readonly liveBefore: Uint16Array;
};

/** What makes a head of a loop with any number of rounds. */
export const CHECKPOINT = { callback: 1, iterator: 2, mayGoto: 3 } as const;

export type FunctionShape = {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly info: Subprogram | null;
  readonly isGlobal: boolean;
  /** Helpers in it or below move the packet. */
  movesPacket: boolean;
  hasTailCall: boolean;
  /** Passed to a helper as a callback. */
  isCallback: boolean;
  readonly calls: { readonly at: number; readonly target: number; readonly isCallback: boolean }[];
};

export function analyseShape(
  program: Program,
  slots: readonly (Instruction | null)[],
  unprivileged: boolean,
): Shape {
  const functions = findFunctions(program, slots);
  const functionOf = new Uint32Array(slots.length);
  functions.forEach((f, index) => {
    functionOf.fill(index, f.start, f.end);
  });
  checkJumps(slots, functions, functionOf);
  const prunePoint = new Uint8Array(slots.length);
  const forcedCheckpoint = new Uint8Array(slots.length);
  const jumpPoint = jumpPoints(slots);
  walk(slots, functions, prunePoint, forcedCheckpoint, unprivileged);
  summarise(slots, functions, functionOf);
  checkEarlyReturns(program.subprograms.length > 0, slots, functions, functionOf);
  return {
    slots,
    functions,
    functionOf,
    prunePoint,
    jumpPoint,
    forcedCheckpoint,
    liveBefore: liveRegisters(slots),
  };
}

/** The slot a wide load of kind `func` names. */
export function functionReference(insn: Instruction & { kind: "wide" }, at: number): number {
  return at + insn.imm + 1;
}

function findFunctions(program: Program, slots: readonly (Instruction | null)[]): FunctionShape[] {
  const starts = new Set<number>([0]);
  const add = (target: number, at: number): void => {
    if (target < 0 || target >= slots.length || slots[target] === null) {
      reject("bad-jump", `call to invalid destination ${target} from insn ${at}`);
    }
    starts.add(target);
  };
  slots.forEach((insn, at) => {
    if (insn?.kind === "call" && insn.target === "local") add(at + 1 + insn.off, at);
    if (insn?.kind === "wide" && insn.pseudo === "func") add(functionReference(insn, at), at);
  });
  for (const sub of program.subprograms) {
    if (sub.start > 0 && sub.start < slots.length) starts.add(sub.start);
  }
  const sorted = [...starts].sort((a, b) => a - b);
  return sorted.map((start, index) => {
    const info = program.subprograms.find((s) => s.start === start) ?? null;
    return {
      name: info?.name ?? (start === 0 ? program.name : `func_${start}`),
      start,
      end: sorted[index + 1] ?? slots.length,
      info,
      isGlobal: index > 0 && (info?.isGlobal ?? false),
      movesPacket: false,
      hasTailCall: false,
      isCallback: false,
      calls: [],
    };
  });
}

function checkJumps(
  slots: readonly (Instruction | null)[],
  functions: readonly FunctionShape[],
  functionOf: Uint32Array,
): void {
  slots.forEach((insn, at) => {
    if (!insn) return;
    const f = functions[functionOf[at]!]!;
    if (insn.kind === "jump" || insn.kind === "branch" || insn.kind === "may_goto") {
      const target = at + 1 + insn.off;
      if (target < f.start || target >= f.end) {
        reject("bad-jump", `jump out of range from insn ${at} to ${target}`);
      }
    }
    if (at + slotsOf(insn) === f.end && insn.kind !== "exit" && insn.kind !== "jump") {
      reject("fall-through", "last insn is not an exit or jmp");
    }
  });
}

/** Depth first from the entry; whatever is not met is unreachable. */
function walk(
  slots: readonly (Instruction | null)[],
  functions: readonly FunctionShape[],
  prunePoint: Uint8Array,
  forcedCheckpoint: Uint8Array,
  unprivileged: boolean,
): void {
  const DISCOVERED = 1;
  const EXPLORED = 2;
  const status = new Uint8Array(slots.length);
  const roots = [0, ...functions.filter((f) => f.isGlobal).map((f) => f.start)];
  for (const root of roots) {
    if (status[root]) continue;
    const stack: { at: number; next: number[]; step: number }[] = [];
    const enter = (at: number): void => {
      status[at] = DISCOVERED;
      stack.push({ at, next: successors(slots, at, prunePoint, forcedCheckpoint), step: 0 });
    };
    enter(root);
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      const target = top.next[top.step++];
      if (target === undefined) {
        status[top.at] = EXPLORED;
        stack.pop();
        continue;
      }
      if (target < 0 || target >= slots.length) {
        reject("bad-jump", `jump out of range from insn ${top.at} to ${target}`);
      }
      if (slots[target] === null) reject("bad-jump", `jump into the middle of ldimm64 insn ${target - 1}`);
      if (status[target] === DISCOVERED && unprivileged) {
        reject("back-edge", `back-edge from insn ${top.at} to ${target}`);
      }
      if (status[target] === 0) enter(target);
    }
  }
  const dead = slots.findIndex((insn, at) => insn !== null && status[at] === 0);
  if (dead >= 0) reject("unreachable-code", `unreachable insn ${dead}`);
}

function successors(
  slots: readonly (Instruction | null)[],
  at: number,
  prunePoint: Uint8Array,
  forcedCheckpoint: Uint8Array,
): number[] {
  const insn = slots[at]!;
  const mark = (index: number): void => {
    if (index >= 0 && index < slots.length) prunePoint[index] = 1;
  };
  switch (insn.kind) {
    case "exit":
      return [];
    case "jump": {
      const target = at + 1 + insn.off;
      mark(target);
      return [target];
    }
    case "may_goto":
    case "branch": {
      if (insn.kind === "may_goto") forcedCheckpoint[at] = CHECKPOINT.mayGoto;
      mark(at);
      const target = at + 1 + insn.off;
      mark(target);
      return [at + 1, target];
    }
    case "call":
      // As in Linux, the way back from any call is a point to compare states at.
      mark(at + 1);
      if (insn.target === "local") {
        mark(at);
        const target = at + 1 + insn.off;
        mark(target);
        return [at + 1, target];
      }
      if (insn.target === "helper" && takesCallback(insn.id)) {
        mark(at);
        forcedCheckpoint[at] = CHECKPOINT.callback;
      } else if (insn.target === "kfunc" && kfuncById(insn.id)?.iterator === "next") {
        mark(at);
        forcedCheckpoint[at] = CHECKPOINT.iterator;
      }
      return [at + 1];
    case "wide":
      if (insn.pseudo === "func") {
        mark(at);
        mark(at + 2);
        mark(functionReference(insn, at));
        return [at + 2, functionReference(insn, at)];
      }
      return [at + 2];
    default:
      return [at + 1];
  }
}

function jumpPoints(slots: readonly (Instruction | null)[]): Uint8Array {
  const points = new Uint8Array(slots.length);
  slots.forEach((insn, at) => {
    if (insn?.kind === "jump" || insn?.kind === "branch" || insn?.kind === "may_goto") {
      points[at + 1 + insn.off] = 1;
    }
    if (insn?.kind === "call") points[at + 1] = 1;
    if (insn?.kind === "call" && insn.target === "local") points[at + 1 + insn.off] = 1;
  });
  return points;
}

/** What may return in a function's place returns a number, so the function must: only BTF says that it does. */
function checkEarlyReturns(
  hasBtf: boolean,
  slots: readonly (Instruction | null)[],
  functions: readonly FunctionShape[],
  functionOf: Uint32Array,
): void {
  const problem = hasBtf
    ? "is only allowed in functions that return 'int'."
    : "is not allowed in subprogs without BTF";
  const isWrong = (index: number) =>
    index > 0 && (!hasBtf || functions[index]!.info?.returnsNoScalar === true);
  const loads = slots.findIndex((insn, at) => insn?.kind === "packet" && isWrong(functionOf[at]!));
  if (loads >= 0) reject("bad-call", `LD_ABS ${problem}`, loads);
  if (functions.some((f, index) => f.hasTailCall && isWrong(index)))
    reject("tail-call", `tail_call ${problem}`);
}

export function takesCallback(helperId: number): boolean {
  return verifierHelper(helperId)?.args.some((kind) => kind === "callback") ?? false;
}

function summarise(
  slots: readonly (Instruction | null)[],
  functions: readonly FunctionShape[],
  functionOf: Uint32Array,
): void {
  slots.forEach((insn, at) => {
    if (!insn) return;
    const f = functions[functionOf[at]!]!;
    if (insn.kind === "call" && insn.target === "helper") {
      const helper = verifierHelper(insn.id);
      if (helper?.movesPacket) f.movesPacket = true;
      if (helper?.name === "tail_call") f.hasTailCall = true;
    }
    if (insn.kind === "call" && insn.target === "local") {
      f.calls.push({ at, target: functionOf[at + 1 + insn.off]!, isCallback: false });
    }
    if (insn.kind === "wide" && insn.pseudo === "func") {
      const target = functionOf[functionReference(insn, at)]!;
      f.calls.push({ at, target, isCallback: true });
      functions[target]!.isCallback = true;
    }
  });
  for (let changed = true; changed; ) {
    changed = false;
    for (const f of functions) {
      for (const { target } of f.calls) {
        if (functions[target]!.movesPacket && !f.movesPacket) {
          f.movesPacket = true;
          changed = true;
        }
      }
    }
  }
}

const ARGUMENTS = 0b11_1110;
const CALLER_SAVED = 0b11_1111;

/** Registers an instruction reads and writes, as bits. */
export function registerEffects(insn: Instruction): { uses: number; defines: number } {
  switch (insn.kind) {
    case "alu": {
      const src = insn.src === null ? 0 : 1 << insn.src;
      const dst = 1 << insn.dst;
      return { uses: insn.op === "mov" ? src : src | dst, defines: dst };
    }
    case "movsx":
      return { uses: 1 << insn.src, defines: 1 << insn.dst };
    case "neg":
    case "swap":
      return { uses: 1 << insn.dst, defines: 1 << insn.dst };
    case "branch":
      return { uses: (1 << insn.dst) | (insn.src === null ? 0 : 1 << insn.src), defines: 0 };
    case "jump":
    case "may_goto":
      return { uses: 0, defines: 0 };
    case "exit":
      return { uses: 1, defines: 0 };
    case "call": {
      if (insn.target === "helper" || insn.target === "kfunc") {
        const row = insn.target === "helper" ? verifierHelper(insn.id) : kfuncById(insn.id);
        const count = row ? row.args.length : 5;
        return { uses: ((1 << (count + 1)) - 1) & ~1, defines: CALLER_SAVED };
      }
      return { uses: ARGUMENTS, defines: CALLER_SAVED };
    }
    case "load":
      return { uses: 1 << insn.src, defines: 1 << insn.dst };
    case "store":
      return { uses: (1 << insn.dst) | (insn.src === null ? 0 : 1 << insn.src), defines: 0 };
    case "atomic": {
      const compares = insn.op === "cmpxchg";
      const uses = (1 << insn.dst) | (1 << insn.src) | (compares ? 1 : 0);
      return { uses, defines: insn.fetch ? (compares ? 1 : 1 << insn.src) : 0 };
    }
    case "packet":
      return { uses: (1 << 6) | (insn.src === null ? 0 : 1 << insn.src), defines: CALLER_SAVED };
    case "wide":
      return { uses: 0, defines: 1 << insn.dst };
  }
}

/** Linux does not look into legacy packet loads: to it they may need any register, and leave all as they are. */
const EVERYTHING = { uses: 0x3ff, defines: 0 } as const;

function liveRegisters(slots: readonly (Instruction | null)[]): Uint16Array {
  const live = new Uint16Array(slots.length);
  const before: number[][] = slots.map(() => []);
  const after = slots.map((insn, at) => flowsTo(insn, at));
  after.forEach((targets, at) => {
    for (const target of targets) before[target]?.push(at);
  });
  // Each instruction is looked at again only when something behind it changed: at most once a register.
  const waiting = slots.map((_, at) => at);
  const isWaiting = new Uint8Array(slots.length).fill(1);
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    isWaiting[at] = 0;
    const insn = slots[at];
    if (!insn) continue;
    const { uses, defines } = insn.kind === "packet" ? EVERYTHING : registerEffects(insn);
    let needed = 0;
    for (const target of after[at]!) needed |= live[target] ?? 0;
    needed = (needed & ~defines) | uses;
    if (needed === live[at]) continue;
    live[at] = needed;
    for (const source of before[at]!) {
      if (isWaiting[source] === 1) continue;
      isWaiting[source] = 1;
      waiting.push(source);
    }
  }
  return live;
}

/** Within its function; a call goes on behind itself. */
function flowsTo(insn: Instruction | null, at: number): number[] {
  if (!insn || insn.kind === "exit") return [];
  if (insn.kind === "jump") return [at + 1 + insn.off];
  if (insn.kind === "branch" || insn.kind === "may_goto") return [at + 1, at + 1 + insn.off];
  return [at + slotsOf(insn)];
}
