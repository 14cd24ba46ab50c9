/**
 * RFC 9669 §4 on plain values: u64 as bigint in 0..2^64-1 (the caller stores into a BigUint64Array, which
 * wraps), 32-bit words as numbers of either sign. Nothing here traps: division by zero gives 0, modulo by
 * zero leaves the dividend, shifts are masked, MIN / -1 wraps.
 */
import { type AluOp, type AtomicOp, assertNever, type JumpOp, type SwapOrder } from "./isa.ts";

type BinaryOp = Exclude<AluOp, "neg">;

const s64 = (value: bigint): bigint => BigInt.asIntN(64, value);

export function alu64(op: BinaryOp, a: bigint, b: bigint): bigint {
  switch (op) {
    case "add":
      return BigInt.asUintN(64, a + b);
    case "sub":
      return BigInt.asUintN(64, a - b);
    case "mul":
      return BigInt.asUintN(64, a * b);
    case "div":
      return b === 0n ? 0n : a / b;
    case "sdiv":
      return b === 0n ? 0n : BigInt.asUintN(64, s64(a) / s64(b));
    case "or":
      return a | b;
    case "and":
      return a & b;
    case "lsh":
      return BigInt.asUintN(64, a << (b & 63n));
    case "rsh":
      return a >> (b & 63n);
    case "mod":
      return b === 0n ? a : a % b;
    case "smod":
      return b === 0n ? a : BigInt.asUintN(64, s64(a) % s64(b));
    case "xor":
      return a ^ b;
    case "mov":
      return b;
    case "arsh":
      return BigInt.asUintN(64, s64(a) >> (b & 63n));
    default:
      return assertNever(op);
  }
}

/** @returns the low 32 bits, of either sign: the caller stores them into an Int32Array */
export function alu32(op: BinaryOp, a: number, b: number): number {
  switch (op) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return Math.imul(a, b);
    case "div":
      return b === 0 ? 0 : (a >>> 0) / (b >>> 0);
    case "sdiv":
      return b === 0 ? 0 : (a | 0) / (b | 0);
    case "or":
      return a | b;
    case "and":
      return a & b;
    case "lsh":
      return a << b;
    case "rsh":
      return a >>> b;
    case "mod":
      return b === 0 ? a : (a >>> 0) % (b >>> 0);
    case "smod":
      return b === 0 ? a : (a | 0) % (b | 0);
    case "xor":
      return a ^ b;
    case "mov":
      return b;
    case "arsh":
      return a >> b;
    default:
      return assertNever(op);
  }
}

export function isTaken64(op: JumpOp, a: bigint, b: bigint): boolean {
  switch (op) {
    case "eq":
      return a === b;
    case "ne":
      return a !== b;
    case "gt":
      return a > b;
    case "ge":
      return a >= b;
    case "lt":
      return a < b;
    case "le":
      return a <= b;
    case "set":
      return (a & b) !== 0n;
    case "sgt":
      return s64(a) > s64(b);
    case "sge":
      return s64(a) >= s64(b);
    case "slt":
      return s64(a) < s64(b);
    case "sle":
      return s64(a) <= s64(b);
    default:
      return assertNever(op);
  }
}

export function isTaken32(op: JumpOp, a: number, b: number): boolean {
  switch (op) {
    case "eq":
      return (a | 0) === (b | 0);
    case "ne":
      return (a | 0) !== (b | 0);
    case "gt":
      return a >>> 0 > b >>> 0;
    case "ge":
      return a >>> 0 >= b >>> 0;
    case "lt":
      return a >>> 0 < b >>> 0;
    case "le":
      return a >>> 0 <= b >>> 0;
    case "set":
      return (a & b) !== 0;
    case "sgt":
      return (a | 0) > (b | 0);
    case "sge":
      return (a | 0) >= (b | 0);
    case "slt":
      return (a | 0) < (b | 0);
    case "sle":
      return (a | 0) <= (b | 0);
    default:
      return assertNever(op);
  }
}

/** Sign-extends the low `bits` to 64. */
export function movsx(bits: 8 | 16 | 32, value: bigint): bigint {
  return BigInt.asUintN(64, BigInt.asIntN(bits, value));
}

/** RFC 9669 §4.2: the low `bits` in the asked order, zero-extended. The machine is little-endian. */
export function swapBytes(order: SwapOrder, bits: 16 | 32 | 64, value: bigint): bigint {
  let rest = BigInt.asUintN(bits, value);
  if (order === "le") return rest;
  let swapped = 0n;
  for (let i = 0; i < bits; i += 8) {
    swapped = (swapped << 8n) | (rest & 0xffn);
    rest >>= 8n;
  }
  return swapped;
}

/** What an atomic operation other than cmpxchg leaves in memory; the store truncates it. */
export function atomicResult(op: Exclude<AtomicOp, "cmpxchg">, old: bigint, operand: bigint): bigint {
  switch (op) {
    case "add":
      return old + operand;
    case "or":
      return old | operand;
    case "and":
      return old & operand;
    case "xor":
      return old ^ operand;
    case "xchg":
      return operand;
    default:
      return assertNever(op);
  }
}
