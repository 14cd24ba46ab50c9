/**
 * Calls: helpers and kernel functions through imports, subprograms as wasm functions, tail calls through the machine's table,
 * bpf_loop as a wasm loop. Look-ups in arrays known at compile time are inlined. Registers r1..r5 keep
 * whatever they held: programs may not read them after a call.
 */
import { kfuncById } from "../helpers/kfuncs.ts";
import { END_OFFSET } from "../helpers/number-iterator.ts";
import { type HelperRow, helperById, parameterWires } from "../helpers/signatures.ts";
import { type Instruction, MAX_LOOPS, MAX_TAIL_CALLS, STACK_BYTES } from "../isa.ts";
import { ArrayMap } from "../maps/array.ts";
import { type BpfMap, ERRNO } from "../maps/map.ts";
import { ProgArrayMap } from "../maps/prog-array.ts";
import { SPINS } from "../spin-lock.ts";
import { type FunctionCode, LOCAL, localOf } from "./function-code.ts";
import { helperType } from "./imports.ts";
import type { Known, Registers } from "./known.ts";

/** Index of FUNCTION_TYPE in every module's type section; of the tail table among its tables. */
export const FUNCTION_TYPE_INDEX = 0;
export const TAIL_TABLE_INDEX = 0;

type Call = Extract<Instruction, { kind: "call" }>;
const ARGUMENTS = [1, 2, 3, 4, 5] as const;

export function emitCall(c: FunctionCode, insn: Call, slot: number, known: Registers): void {
  switch (insn.target) {
    case "local":
      emitFrameCheck(c, slot);
      for (const register of ARGUMENTS) c.get(register);
      pushNextFrame(c)
        .callFunction(slot + 1 + insn.off)
        .set(0);
      return;
    case "helper": {
      const row = helperById(insn.id);
      if (!row) c.fault("call", slot);
      else if (row.name === "tail_call") emitTailCall(c, slot, mapIn(c, known[2]!));
      else if (row.name === "loop") emitLoop(c, slot, known[2]!);
      else if (c.isChecked) emitChecked(c, c.imports.checkedHelper(row), slot);
      else emitHelper(c, row, mapIn(c, known[1]!));
      return;
    }
    case "register":
      c.get(insn.reg);
      emitChecked(c, c.imports.checkedHelper(null), slot);
      return;
    case "kfunc":
      emitKfunc(c, insn.id, slot);
  }
}

function mapIn(c: FunctionCode, known: Known | null): BpfMap | null {
  return known?.kind === "map" ? c.input.maps[known.index]! : null;
}

/** Each frame has its 512 bytes; a call that would leave the stack ends the run. */
function emitFrameCheck(c: FunctionCode, slot: number): void {
  c.op("local.get", LOCAL.frame).op("i32.const", c.input.rt.stackBottom + STACK_BYTES);
  c.op("i32.lt_u").op("if").fault("frames", slot).op("end");
}

function pushNextFrame(c: FunctionCode): FunctionCode {
  return c.op("local.get", LOCAL.frame).op("i32.const", STACK_BYTES).op("i32.sub");
}

function emitChecked(c: FunctionCode, index: number, slot: number): void {
  for (const register of ARGUMENTS) c.get(register);
  c.op("i32.const", slot).op("local.get", LOCAL.frame).op("call", index).set(0);
}

function emitHelper(c: FunctionCode, row: HelperRow, map: BpfMap | null): void {
  if (row.cost === "lock") {
    if (c.input.rt.locks !== null) emitLock(c, row.name, c.input.rt.locks.mark);
    c.op("i64.const", 0n).set(0);
    return;
  }
  if (row.name === "map_lookup_elem" && map instanceof ArrayMap) {
    emitArrayLookup(c, map);
    return;
  }
  const bound = map && c.imports.mapHelper(row, map);
  parameterWires(row).forEach((wire, i) => {
    if (i === 0 && bound !== null) return;
    if (wire === "i64") c.get(i + 1);
    else c.low(i + 1);
  });
  c.op("call", bound ?? c.imports.helper(row));
  if (helperType(row).results.length === 0) c.op("i64.const", 0n);
  else if (row.wire === "i32") c.op("i64.extend_i32_s");
  else if (row.wire === "u32") c.op("i64.extend_i32_u");
  c.set(0);
}

function emitKfunc(c: FunctionCode, id: number, slot: number): void {
  const row = kfuncById(id);
  if (!row) {
    c.fault("call", slot);
    return;
  }
  if (!c.isChecked && row.iterator === "next") {
    emitIteratorNext(c);
    return;
  }
  if (c.isChecked) {
    c.get(1).get(2).get(3).op("i32.const", slot).op("local.get", LOCAL.frame);
  } else {
    for (let register = 1; register <= row.args.length; register++) c.low(register);
  }
  c.op("call", c.imports.kfunc(row, c.isChecked));
  if (row.ret === "void") c.op("i64.const", 0n);
  else c.op(row.wire === "u32" ? "i64.extend_i32_u" : "i64.extend_i32_s");
  c.set(0);
}

/** The step of every round, so not a call: r0 = ++current < end ? address : 0, and an ended one stays so. */
function emitIteratorNext(c: FunctionCode): void {
  c.low(1).op("local.tee", LOCAL.address);
  c.op("i32.load", 0).op("i32.const", 1).op("i32.add").op("local.tee", LOCAL.word);
  c.op("local.get", LOCAL.address).op("i32.load", END_OFFSET);
  c.op("i32.lt_s").op("if");
  c.op("local.get", LOCAL.address).op("local.get", LOCAL.word).op("i32.store", 0);
  c.op("local.get", LOCAL.address).setLow(0);
  c.op("else");
  c.op("local.get", LOCAL.address).op("i64.const", 0n).op("i64.store", 0);
  c.op("i64.const", 0n).set(0);
  c.op("end");
}

/** As SpinLocks has it (spin-lock.ts), which is also asked when spinning does not help. */
function emitLock(c: FunctionCode, name: HelperRow["name"], mark: number): void {
  if (name === "spin_unlock") {
    c.low(1).op("i32.const", 0).op("i32.atomic.store", 0);
    c.storeState("heldLock", () => c.op("i32.const", 0));
    return;
  }
  c.storeState("heldLock", () => c.low(1));
  c.op("i32.const", SPINS).op("local.set", LOCAL.word);
  c.op("loop");
  c.low(1).op("i32.const", 0).op("i32.const", mark).op("i32.atomic.rmw.cmpxchg", 0).op("if");
  c.op("local.get", LOCAL.word).op("i32.const", 1).op("i32.sub").op("local.tee", LOCAL.word);
  c.op("br_if", 1);
  c.low(1).op("call", c.imports.contended());
  c.op("end").op("end");
}

/** r0 = index < max ? base + index * stride : 0, on this CPU's values. */
function emitArrayLookup(c: FunctionCode, map: ArrayMap): void {
  const { baseAddress, strideBytes, cpuStrideBytes, def } = map;
  c.op("i64.const", 0n).set(0);
  c.low(2).op("i32.load", 0).op("local.tee", LOCAL.word);
  c.op("i32.const", def.maxEntries).op("i32.lt_u").op("if");
  if (def.maxEntries > 1) c.op("local.get", LOCAL.word).op("i32.const", strideBytes).op("i32.mul");
  else c.op("i32.const", 0);
  c.op("i32.const", baseAddress).op("i32.add");
  if (cpuStrideBytes !== 0 && c.input.rt.cpus > 1) {
    c.loadState("cpu").op("i32.const", cpuStrideBytes).op("i32.mul").op("i32.add");
  }
  c.setLow(0).op("end");
}

/**
 * Goes on as the program in slot r3 of the array r2, in the same stack frame; falls through when the slot
 * is empty, out of range, or the run has used up its tail calls.
 */
function emitTailCall(c: FunctionCode, slot: number, map: BpfMap | null): void {
  const known = !c.isChecked && map instanceof ProgArrayMap ? map : null;
  const pushBoundOf = (fact: "tailBase" | "tailCount"): void => {
    if (known) c.op("i32.const", fact === "tailBase" ? known.tailBase : known.def.maxEntries);
    else c.get(2).op("i32.const", slot).op("call", c.imports[fact]());
  };
  c.op("block");
  c.low(3);
  pushBoundOf("tailCount");
  c.op("i32.ge_u").op("br_if", 0);
  c.loadState("tailCalls").op("i32.const", MAX_TAIL_CALLS).op("i32.ge_u").op("br_if", 0);
  c.low(3);
  pushBoundOf("tailBase");
  c.op("i32.add").op("local.tee", LOCAL.address);
  c.op("table.get", TAIL_TABLE_INDEX).op("ref.is_null").op("br_if", 0);
  c.storeState("tailCalls", () => {
    c.loadState("tailCalls").op("i32.const", 1).op("i32.add");
  });
  c.flushCount();
  for (const register of ARGUMENTS) c.get(register);
  c.op("local.get", LOCAL.frame).op("local.get", LOCAL.address);
  // Without wasm tail calls a nested call does as well: the limit of 33 bounds the native stack.
  if (c.options.tailCalls) c.op("return_call_indirect", FUNCTION_TYPE_INDEX, TAIL_TABLE_INDEX);
  else c.op("call_indirect", FUNCTION_TYPE_INDEX, TAIL_TABLE_INDEX).op("return");
  c.op("end");
}

/** bpf_loop(count, callback, ctx, flags): r0 = iterations made; the callback's 1 stops it. */
function emitLoop(c: FunctionCode, slot: number, callback: Known | null): void {
  const [count, func, ctx, flags] = ARGUMENTS;
  c.op("block");
  c.op("i64.const", BigInt(-ERRNO.EINVAL)).set(0);
  c.get(flags).op("i64.const", 0n).op("i64.ne").op("br_if", 0);
  c.op("i64.const", BigInt(-ERRNO.E2BIG)).set(0);
  c.low(count).op("i32.const", MAX_LOOPS).op("i32.gt_u").op("br_if", 0);
  emitFrameCheck(c, slot);
  // r4, now known to be 0, counts up to r1.
  c.low(count).setLow(count);
  c.op("loop");
  c.get(flags).set(0);
  c.get(flags).get(count).op("i64.ge_u").op("br_if", 1);
  const call = (entry: number): void => {
    c.get(flags).get(ctx);
    for (let i = 2; i < ARGUMENTS.length; i++) c.op("i64.const", 0n);
    pushNextFrame(c).callFunction(entry).set(0);
  };
  if (callback?.kind === "func") call(callback.entry);
  else {
    // Unverified code can compute the address: it has to be one of a function.
    c.op("block");
    for (const entry of c.input.functions) {
      c.get(func).op("i64.const", BigInt(entry)).op("i64.eq").op("if");
      call(entry);
      c.op("br", 1).op("end");
    }
    c.fault("call", slot).op("end");
  }
  c.get(flags).op("i64.const", 1n).op("i64.add").op("local.set", localOf(flags));
  c.get(0).op("i64.eqz").op("br_if", 0);
  c.get(flags).set(0);
  c.op("end").op("end");
}
