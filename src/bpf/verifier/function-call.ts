/**
 * Functions of the program itself: static ones are walked inline on each path with a frame of their own;
 * global ones are believed by their prototype and verified once for themselves; callbacks are walked as
 * often as their loop may run, with the caller's state widened until it repeats.
 */
import { type Instruction, MAX_FRAMES } from "../isa.ts";
import type { FuncArg, MapDef } from "../program.ts";
import { type FunctionShape, functionReference } from "./control-flow.ts";
import { forgetCallerSaved, forgetPackets } from "./forget.ts";
import type { VerifierHelper } from "./linux-helpers.ts";
import { checkRegion, checkUnmodifiedContext } from "./memory-access.ts";
import { markPrecise } from "./precision.ts";
import { helperStackAccess } from "./stack-access.ts";
import { Frame } from "./state.ts";
import { isNull, pointer, typeName, UNKNOWN_VALUE, type Value, ZERO_VALUE } from "./value.ts";
import type { Walk } from "./walk.ts";
import { previousRound, widen } from "./widen.ts";

/** @returns the next instruction */
export function stepLocalCall(w: Walk, insn: Instruction & { kind: "call"; target: "local" }): number {
  const start = w.insn + 1 + insn.off;
  const index = w.shape.functionOf[start]!;
  const callee = w.shape.functions[index]!;
  if (callee.isGlobal) {
    callGlobal(w, callee, index);
    return w.insn + 1;
  }
  checkDepth(w);
  const { state } = w;
  const caller = state.frame;
  const frame = new Frame(state.depth + 1, w.insn, index);
  for (let reg = 1; reg <= 5; reg++) frame.regs[reg] = caller.regs[reg]!;
  frame.regs[10] = pointer("stack", { frame: frame.index });
  forgetCallerSaved(w);
  state.pushFrame(frame);
  return start;
}

function checkDepth(w: Walk): void {
  if (w.state.depth + 1 >= MAX_FRAMES) {
    w.reject("bad-call", `the call stack of ${w.state.depth + 2} frames is too deep`);
  }
}

function callGlobal(w: Walk, callee: FunctionShape, index: number): void {
  if (w.state.lock) {
    w.reject(
      "spin-lock",
      "global function calls are not allowed while holding a lock,\nuse static function instead",
    );
  }
  const name = `func#${index} ('${callee.name}')`;
  w.refusing(`Caller passes invalid args into ${name}`, () => checkArguments(w, callee));
  w.calledGlobals.add(index);
  w.log?.assumed(index, callee.name);
  if (callee.movesPacket) forgetPackets(w);
  forgetCallerSaved(w);
  w.frame.regs[0] = UNKNOWN_VALUE;
}

function checkArguments(w: Walk, { name, info }: FunctionShape): void {
  if (info?.returnsNoScalar) {
    w.reject("return-value", `Global function ${name}() doesn't return scalar. Only those are supported.`);
  }
  // Every argument is settled by the prototype before the first value is looked at.
  info?.args?.forEach((arg, index) => {
    if (arg.kind === "unusable") w.reject("bad-call", `arg#${index} ${arg.problem}`);
  });
  info?.args?.forEach((arg, index) => {
    const reg = index + 1;
    const v = w.read(reg);
    switch (arg.kind) {
      case "scalar":
        if (v.kind !== "scalar") w.reject("bad-call", `R${reg} is not a scalar`);
        return;
      case "ctx":
        if (v.kind !== "ctx") {
          w.reject("bad-call", `arg#${index} expected pointer to ctx, but got ${typeName(v)}`);
        }
        checkUnmodifiedContext(w, reg, v);
        return;
      case "pointer":
        checkMemoryArgument(w, index, v, arg);
    }
  });
}

function checkMemoryArgument(w: Walk, index: number, v: Value, arg: FuncArg & { kind: "pointer" }): void {
  const reg = index + 1;
  const isNothing = isNull(v);
  // Linux 6.18 lets the constant NULL through to a parameter that must not be NULL; we do not.
  if (arg.nonNull && (isNothing || v.orNull)) {
    w.reject("null-pointer", `arg#${index} is expected to be non-NULL`);
  }
  if (isNothing) return;
  if (v.kind === "scalar" || v.kind === "ctx") {
    w.reject("bad-call", `R${reg} type=${typeName(v)} expected=fp`);
  }
  const solid = v.orNull ? { ...v, orNull: false } : v;
  const size = arg.pointeeBytes;
  if (v.kind === "stack") {
    helperStackAccess(w, reg, v, size, { clobber: false, raw: false });
    helperStackAccess(w, reg, v, size, { clobber: true, raw: false });
  } else checkRegion(w, { reg, value: solid, off: 0, size, write: true });
}

/** The state a global function is verified in: its arguments by prototype, nothing else. */
export function globalFrame(w: Walk, index: number): Frame {
  const callee = w.shape.functions[index]!;
  const frame = new Frame(0, -1, index);
  frame.regs[10] = pointer("stack", { frame: 0 });
  (callee.info?.args ?? []).forEach((arg, i) => {
    if (arg.kind === "scalar") frame.regs[i + 1] = UNKNOWN_VALUE;
    else if (arg.kind === "ctx") frame.regs[i + 1] = pointer("ctx");
    else if (arg.kind === "pointer") {
      const orNull = !arg.nonNull;
      frame.regs[i + 1] = pointer("mem", { orNull, size: arg.pointeeBytes, id: orNull ? w.newId() : 0 });
    }
  });
  return frame;
}

/** A wide load of kind `func`. */
export function functionPointer(w: Walk, insn: Instruction & { kind: "wide" }): Value {
  const start = functionReference(insn, w.insn);
  const index = w.shape.functionOf[start]!;
  if (w.program.subprograms.length === 0) w.reject("bad-call", "missing btf func_info");
  if (w.shape.functions[index]!.isGlobal) w.reject("bad-call", "callback function not static");
  return pointer("func", { size: index });
}

/** A helper that calls back: one path enters the function, the other goes on behind the call. */
export function enterCallback(w: Walk, helper: VerifierHelper, callback: Value, map: MapDef | null): void {
  const { state } = w;
  const caller = state.frame;
  if (helper.name === "loop") {
    const count = caller.regs[1]!;
    // How often it runs decides whether the walk is done: two states differ if their counts do.
    markPrecise(w, 1);
    if (count.kind === "scalar" && BigInt(caller.callbackDepth) >= count.scalar.umax) {
      caller.callbackDepth = 0;
      w.log?.loopDone(caller.index);
      return;
    }
  }
  checkDepth(w);
  const inner = state.fork();
  const target = w.shape.functions[callback.size]!;
  const frame = new Frame(
    inner.depth + 1,
    w.insn,
    callback.size,
    helper.name === "loop" ? "loop" : "for_each",
  );
  if (helper.name === "loop") {
    frame.regs[1] = UNKNOWN_VALUE;
    frame.regs[2] = caller.regs[3]!;
  } else {
    frame.regs[1] = pointer("map_ptr", { map });
    frame.regs[2] = pointer("map_key", { map });
    frame.regs[3] = pointer("map_value", { map });
    frame.regs[4] = caller.regs[3]!;
  }
  frame.regs[10] = pointer("stack", { frame: frame.index });
  inner.frame.callbackDepth++;
  inner.pushFrame(frame);
  inner.insn = target.start;
  inner.previous = w.insn;
  inner.callbackUnroll++;
  w.enqueue(inner);
  w.log?.calledBack();
  caller.callbackDepth = 0;
}

/** @returns the next instruction, or null when the path ends here */
export function stepExit(w: Walk): number | null {
  const { state } = w;
  if (state.depth > 0) return leave(w);
  if (state.lock) {
    w.reject("spin-lock", "BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region");
  }
  w.checkNoReference("BPF_EXIT instruction in main prog");
  const result = w.read(0);
  if (w.leaks(result)) w.reject("pointer-leak", "R0 leaks addr as return value");
  const f = w.shape.functions[state.frame.subprogram]!;
  if (f.isGlobal && result.kind !== "scalar") {
    w.reject(
      "return-value",
      `At subprogram exit the register R0 is not a scalar value (${typeName(result)})`,
    );
  }
  return null;
}

/**
 * A tail call in a subprogram either falls through, or the other program returns in this one's place to the
 * caller: whatever it likes, with whatever it did to the packet. @returns where that path goes on
 */
export function returnAsOther(w: Walk): number {
  goOnLater(w);
  forgetPackets(w);
  w.frame.regs[0] = UNKNOWN_VALUE;
  return leave(w, true);
}

/** A legacy packet load beyond the packet's end leaves its function with 0. @returns where that path goes on */
export function returnZero(w: Walk): number {
  goOnLater(w);
  w.frame.regs[0] = ZERO_VALUE;
  return leave(w, true);
}

/** The path on which the current instruction does not leave its function. */
function goOnLater(w: Walk): void {
  const fallen = w.state.fork();
  fallen.insn = w.insn + 1;
  fallen.previous = w.insn;
  w.enqueue(fallen);
}

/** @param early not by an exit */
function leave(w: Walk, early = false): number {
  const { state } = w;
  const callee = state.frame;
  const result = callee.regs[0]!;
  if (result.kind === "stack") {
    w.reject("return-value", "cannot return stack pointer to the caller");
  }
  if (!callee.callback) {
    state.popFrame();
    state.frame.regs[0] = result;
    w.log?.returned(w, callee, callee.callsite + 1, early);
    return callee.callsite + 1;
  }
  if (result.kind === "uninit") w.reject("uninitialised-register", "R0 !read_ok");
  if (result.kind !== "scalar") {
    w.reject("return-value", `At callback return the register R0 is not a known value (${typeName(result)})`);
  }
  markPrecise(w, 0);
  const { smin, smax } = result.scalar;
  if (smin < 0n || smax > 1n) {
    w.reject(
      "return-value",
      `At callback return the register R0 has smin=${smin} smax=${smax} should have been in [0, 1]`,
    );
  }
  state.popFrame();
  w.log?.returned(w, callee, callee.callsite);
  const earlier = previousRound(state.parent, state, callee.callsite);
  if (earlier) widen(state, earlier);
  // Back to the call itself: it decides whether to go round again.
  return callee.callsite;
}
