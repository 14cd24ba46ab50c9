/**
 * Arithmetic, byte swaps and comparisons (RFC 9669 §4) as wasm. Where wasm traps and eBPF does not
 * (division by zero, MIN / -1) the emitter adds the guard; wasm masks shift counts itself. 32-bit operations
 * work on the low halves: V8 reads those for free, and the extension back is what zeroes the upper half.
 */
import type { Instruction, JumpOp, Width } from "../isa.ts";
import { type FunctionCode, LOCAL } from "./function-code.ts";
import type { PlainOp } from "./wasm.ts";

type Alu = Extract<Instruction, { kind: "alu" }>;
type Branch = Extract<Instruction, { kind: "branch" }>;
type Division = "div" | "sdiv" | "mod" | "smod";
type Suffix<N, P extends string> = N extends `${P}.${infer S}` ? S : never;
/** Operations that both widths have. */
type CommonOp = Suffix<PlainOp, "i32"> & Suffix<PlainOp, "i64">;

const SIMPLE: Readonly<Record<Exclude<Alu["op"], Division | "mov">, CommonOp>> = {
  add: "add",
  sub: "sub",
  mul: "mul",
  or: "or",
  and: "and",
  xor: "xor",
  lsh: "shl",
  rsh: "shr_u",
  arsh: "shr_s",
};

const DIVISION: Readonly<Record<Division, { op: CommonOp; isSigned: boolean; isModulo: boolean }>> = {
  div: { op: "div_u", isSigned: false, isModulo: false },
  sdiv: { op: "div_s", isSigned: true, isModulo: false },
  mod: { op: "rem_u", isSigned: false, isModulo: true },
  smod: { op: "rem_s", isSigned: true, isModulo: true },
};

const COMPARE: Readonly<Record<Exclude<JumpOp, "set">, CommonOp>> = {
  eq: "eq",
  ne: "ne",
  gt: "gt_u",
  ge: "ge_u",
  lt: "lt_u",
  le: "le_u",
  sgt: "gt_s",
  sge: "ge_s",
  slt: "lt_s",
  sle: "le_s",
};

function op(c: FunctionCode, width: Width, name: CommonOp): FunctionCode {
  return c.op(`i${width}.${name}`);
}

function push(c: FunctionCode, width: Width, register: number): FunctionCode {
  return width === 64 ? c.get(register) : c.low(register);
}

function constant(c: FunctionCode, width: Width, value: number): FunctionCode {
  return width === 64 ? c.op("i64.const", BigInt(value)) : c.op("i32.const", value);
}

function pop(c: FunctionCode, width: Width, register: number): FunctionCode {
  return width === 64 ? c.set(register) : c.setLow(register);
}

function operand(c: FunctionCode, insn: Alu | Branch): FunctionCode {
  return insn.src === null ? constant(c, insn.width, insn.imm) : push(c, insn.width, insn.src);
}

export function emitAlu(c: FunctionCode, insn: Alu): void {
  switch (insn.op) {
    case "mov":
      operand(c, insn);
      break;
    case "div":
    case "sdiv":
    case "mod":
    case "smod":
      emitDivision(c, insn, DIVISION[insn.op]);
      break;
    default:
      push(c, insn.width, insn.dst);
      op(operand(c, insn), insn.width, SIMPLE[insn.op]);
  }
  pop(c, insn.width, insn.dst);
}

/** Leaves the result on the stack: x / 0 is 0, x % 0 is x, MIN / -1 is MIN (RFC 9669 §4.1). */
function emitDivision(c: FunctionCode, insn: Alu, kind: (typeof DIVISION)[Division]): void {
  const { width, dst, src, imm } = insn;
  // rem_s of MIN and -1 is 0 in wasm too: only the division needs a guard.
  const wrapsAtMinusOne = kind.isSigned && !kind.isModulo;
  if (src === null) {
    if (imm === 0) {
      if (kind.isModulo) push(c, width, dst);
      else constant(c, width, 0);
    } else if (imm === -1 && wrapsAtMinusOne) {
      op(push(constant(c, width, 0), width, dst), width, "sub");
    } else {
      op(constant(push(c, width, dst), width, imm), width, kind.op);
    }
    return;
  }
  // The result is built in a local: `if` without a block type keeps the encoder to empty ones.
  const local = width === 64 ? LOCAL.wide : LOCAL.word;
  if (kind.isModulo) push(c, width, dst);
  else constant(c, width, 0);
  c.op("local.set", local);
  push(c, width, src);
  op(constant(c, width, 0), width, "ne").op("if");
  if (wrapsAtMinusOne) {
    push(c, width, src);
    op(constant(c, width, -1), width, "eq").op("if");
    op(push(constant(c, width, 0), width, dst), width, "sub").op("local.set", local);
    c.op("else");
  }
  op(push(push(c, width, dst), width, src), width, kind.op).op("local.set", local);
  if (wrapsAtMinusOne) c.op("end");
  c.op("end").op("local.get", local);
}

export function emitNegate(c: FunctionCode, insn: Extract<Instruction, { kind: "neg" }>): void {
  const { width, dst } = insn;
  op(push(constant(c, width, 0), width, dst), width, "sub");
  pop(c, width, dst);
}

export function emitSignExtend(c: FunctionCode, insn: Extract<Instruction, { kind: "movsx" }>): void {
  const { width, bits, dst, src } = insn;
  push(c, width, src);
  if (width === 64) c.op(`i64.extend${bits}_s`);
  else if (bits !== 32) c.op(`i32.extend${bits}_s`);
  pop(c, width, dst);
}

/** The machine is little-endian: `le` only truncates. Wasm has no byte swap; these are shifts and masks. */
export function emitSwap(c: FunctionCode, insn: Extract<Instruction, { kind: "swap" }>): void {
  const { order, bits, dst } = insn;
  if (order === "le") {
    if (bits === 16) c.get(dst).op("i64.const", 0xffffn).op("i64.and").set(dst);
    else if (bits === 32) c.low(dst).setLow(dst);
    return;
  }
  if (bits === 64) {
    swapHalves(c.get(dst), 8n, 0x00ff00ff00ff00ffn);
    swapHalves(c, 16n, 0x0000ffff0000ffffn);
    c.op("i64.const", 32n).op("i64.rotl").set(dst);
    return;
  }
  c.low(dst);
  swapWord(c);
  if (bits === 16) c.op("i32.const", 16).op("i32.shr_u");
  c.setLow(dst);
}

/** Reverses the four bytes of the i32 on the stack. */
export function swapWord(c: FunctionCode): void {
  c.op("local.tee", LOCAL.word).op("i32.const", 8).op("i32.rotl");
  c.op("i32.const", 0x00ff00ff).op("i32.and");
  c.op("local.get", LOCAL.word).op("i32.const", 8).op("i32.rotr");
  c.op("i32.const", 0xff00ff00 | 0)
    .op("i32.and")
    .op("i32.or");
}

/** (x & mask) << count | (x >> count) & mask, of the i64 on the stack. */
function swapHalves(c: FunctionCode, count: bigint, mask: bigint): void {
  c.op("local.tee", LOCAL.wide).op("i64.const", mask).op("i64.and");
  c.op("i64.const", count).op("i64.shl");
  c.op("local.get", LOCAL.wide).op("i64.const", count).op("i64.shr_u");
  c.op("i64.const", mask).op("i64.and").op("i64.or");
}

/** Pushes an i32: is the branch taken? */
export function emitCondition(c: FunctionCode, insn: Branch): void {
  const { width, dst } = insn;
  if (insn.op === "set") {
    op(operand(push(c, width, dst), insn), width, "and");
    if (width === 64) c.op("i64.const", 0n).op("i64.ne");
    return;
  }
  push(c, width, dst);
  if (insn.op === "eq" && insn.src === null && insn.imm === 0) op(c, width, "eqz");
  else op(operand(c, insn), width, COMPARE[insn.op]);
}

/** Pushes an i32: does the branch fall through? Saves wasm an `eqz` where the opposite has an opcode. */
export function emitNegatedCondition(c: FunctionCode, insn: Branch): void {
  const opposite = OPPOSITE[insn.op];
  if (opposite === null) {
    emitCondition(c, insn);
    c.op("i32.eqz");
  } else emitCondition(c, { ...insn, op: opposite });
}

const OPPOSITE: Readonly<Record<JumpOp, JumpOp | null>> = {
  eq: "ne",
  ne: "eq",
  gt: "le",
  le: "gt",
  ge: "lt",
  lt: "ge",
  sgt: "sle",
  sle: "sgt",
  sge: "slt",
  slt: "sge",
  set: null,
};
