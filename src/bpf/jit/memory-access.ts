/**
 * Loads, stores, atomics and the deprecated packet loads (RFC 9669 §5). Where one thread runs programs and the
 * memory is its own, an atomic is a load, an operation and a store. In a memory that several threads share
 * it is WebAssembly's own, sequentially consistent, which traps unless it is naturally aligned.
 */
import type { AtomicOp, Bytes, Instruction } from "../isa.ts";
import { swapWord } from "./arithmetic.ts";
import { type FunctionCode, LOCAL } from "./function-code.ts";
import type { Atomic32Op, Atomic64Op, MemoryOp, PlainOp } from "./wasm.ts";

const LOAD: Readonly<Record<"zero" | "sign", Readonly<Record<Bytes, MemoryOp>>>> = {
  zero: { 1: "i64.load8_u", 2: "i64.load16_u", 4: "i64.load32_u", 8: "i64.load" },
  sign: { 1: "i64.load8_s", 2: "i64.load16_s", 4: "i64.load32_s", 8: "i64.load" },
};
const STORE: Readonly<Record<Bytes, MemoryOp>> = {
  1: "i64.store8",
  2: "i64.store16",
  4: "i64.store32",
  8: "i64.store",
};
const ATOMIC: Readonly<Record<Exclude<AtomicOp, "xchg" | "cmpxchg">, PlainOp>> = {
  add: "i64.add",
  or: "i64.or",
  and: "i64.and",
  xor: "i64.xor",
};
const SHARED_ATOMIC: Readonly<Record<AtomicOp, { readonly 4: Atomic32Op; readonly 8: Atomic64Op }>> = {
  add: { 4: "i32.atomic.rmw.add", 8: "i64.atomic.rmw.add" },
  or: { 4: "i32.atomic.rmw.or", 8: "i64.atomic.rmw.or" },
  and: { 4: "i32.atomic.rmw.and", 8: "i64.atomic.rmw.and" },
  xor: { 4: "i32.atomic.rmw.xor", 8: "i64.atomic.rmw.xor" },
  xchg: { 4: "i32.atomic.rmw.xchg", 8: "i64.atomic.rmw.xchg" },
  cmpxchg: { 4: "i32.atomic.rmw.cmpxchg", 8: "i64.atomic.rmw.cmpxchg" },
};

export function emitLoad(c: FunctionCode, insn: Extract<Instruction, { kind: "load" }>, slot: number): void {
  const offset = c.address(insn.src, insn.off, insn.bytes, "read", slot);
  c.op(LOAD[insn.signed ? "sign" : "zero"][insn.bytes], offset).set(insn.dst);
}

export function emitStore(
  c: FunctionCode,
  insn: Extract<Instruction, { kind: "store" }>,
  slot: number,
): void {
  const offset = c.address(insn.dst, insn.off, insn.bytes, "write", slot);
  if (insn.src === null) c.op("i64.const", BigInt(insn.imm));
  else c.get(insn.src);
  c.op(STORE[insn.bytes], offset);
}

export function emitAtomic(
  c: FunctionCode,
  insn: Extract<Instruction, { kind: "atomic" }>,
  slot: number,
): void {
  const { op, fetch, bytes, dst, src, off } = insn;
  const offset = c.address(dst, off, bytes, "write", slot);
  if (c.input.rt.memory.isShared) {
    emitSharedAtomic(c, insn, offset);
    return;
  }
  c.op("local.tee", LOCAL.address).op(LOAD.zero[bytes], offset).op("local.set", LOCAL.wide);
  const old = (): FunctionCode => c.op("local.get", LOCAL.wide);
  const at = (): FunctionCode => c.op("local.get", LOCAL.address);
  if (op === "cmpxchg") {
    // Compares with, and loads into, r0.
    if (bytes === 8) old().get(0).op("i64.eq").op("if");
    else old().op("i32.wrap_i64").low(0).op("i32.eq").op("if");
    at().get(src).op(STORE[bytes], offset).op("end");
    old().set(0);
    return;
  }
  at();
  if (op === "xchg") c.get(src);
  else old().get(src).op(ATOMIC[op]);
  c.op(STORE[bytes], offset);
  if (fetch) old().set(src);
}

/** The address lies on the stack. cmpxchg compares with, and loads into, r0. */
function emitSharedAtomic(
  c: FunctionCode,
  { op, fetch, bytes, src }: Extract<Instruction, { kind: "atomic" }>,
  offset: number,
): void {
  const old = op === "cmpxchg" ? 0 : fetch ? src : null;
  if (bytes === 8) {
    if (op === "cmpxchg") c.get(0);
    c.get(src).op(SHARED_ATOMIC[op][8], offset);
    if (old === null) c.op("local.set", LOCAL.wide);
    else c.set(old);
    return;
  }
  if (op === "cmpxchg") c.low(0);
  c.low(src).op(SHARED_ATOMIC[op][4], offset);
  if (old === null) c.op("local.set", LOCAL.word);
  else c.setLow(old);
}

/** RFC 9669 §5.5 and Linux: network order; past the packet's end the function returns 0. */
export function emitPacketLoad(c: FunctionCode, insn: Extract<Instruction, { kind: "packet" }>): void {
  const { bytes, src, imm } = insn;
  c.op("i32.const", imm);
  if (src === null) c.op("i32.const", 0);
  else c.low(src);
  c.op("i32.const", bytes).op("call", c.imports.packetAt()).op("local.tee", LOCAL.address);
  c.op("i32.eqz").op("if").op("i64.const", 0n).set(0).returnResult().op("end");
  c.op("local.get", LOCAL.address).op(LOAD.zero[bytes], 0);
  if (bytes > 1) {
    swapWord(c.op("i32.wrap_i64"));
    if (bytes === 2) c.op("i32.const", 16).op("i32.shr_u");
    c.op("i64.extend_i32_u");
  }
  c.set(0);
}
