/**
 * Abstract arithmetic: from what is known of the operands to what is known of the result. Sound for every
 * operation and width (scalar.prop.test.ts). Where Linux 6.18 gives up, so do we, or a program could pass
 * here and be refused there: of division, modulo and shifts by an unknown count it knows nothing, not even
 * that a 32-bit result has a zero upper half.
 */
import type { AluOp, SwapOrder, Width } from "../isa.ts";
import { least, most } from "./bigint-order.ts";
import {
  constant,
  isConstant,
  type Knowledge,
  S32_MAX,
  S32_MIN,
  S64_MAX,
  S64_MIN,
  type Scalar,
  scalar,
  U32_MAX,
  UNKNOWN,
} from "./scalar.ts";
import {
  type Tnum,
  tnumAdd,
  tnumAnd,
  tnumCast,
  tnumLow32,
  tnumMul,
  tnumOr,
  tnumRange,
  tnumShiftLeft,
  tnumShiftRight,
  tnumShiftRightArithmetic,
  tnumSub,
  tnumXor,
  U64_MAX,
} from "./tnum.ts";

const TWO32 = 0x1_0000_0000;

type Range = { min: bigint; max: bigint } | null;
type Range32 = { min: number; max: number } | null;

/** [min, max] modulo 2^64, if it does not wrap in between; null: anything. */
function wrapU64(min: bigint, max: bigint): Range {
  return min >> 64n === max >> 64n ? { min: BigInt.asUintN(64, min), max: BigInt.asUintN(64, max) } : null;
}

function wrapU32(min: number, max: number): Range32 {
  return Math.floor(min / TWO32) === Math.floor(max / TWO32) ? { min: min >>> 0, max: max >>> 0 } : null;
}

function fitS64(min: bigint, max: bigint): Range {
  return min >= S64_MIN && max <= S64_MAX ? { min, max } : null;
}

function fitS32(min: number, max: number): Range32 {
  return min >= S32_MIN && max <= S32_MAX ? { min, max } : null;
}

function facts(tnum: Tnum, u: Range, s: Range, u32: Range32, s32: Range32): Knowledge {
  return {
    tnum,
    umin: u?.min ?? 0n,
    umax: u?.max ?? U64_MAX,
    smin: s?.min ?? S64_MIN,
    smax: s?.max ?? S64_MAX,
    u32min: u32?.min ?? 0,
    u32max: u32?.max ?? U32_MAX,
    s32min: s32?.min ?? S32_MIN,
    s32max: s32?.max ?? S32_MAX,
  };
}

/** Low half kept, high half zero: what every 32-bit operation does to its result. */
export function zeroExtend32(s: Scalar): Scalar {
  if (s.umax <= 0xffff_ffffn) return s;
  return scalar({
    tnum: tnumLow32(s.tnum),
    u32min: s.u32min,
    u32max: s.u32max,
    s32min: s.s32min,
    s32max: s.s32max,
  });
}

/** The value after a load or store of `bytes`: the rest is zero. */
export function truncate(s: Scalar, bytes: number): Scalar {
  if (bytes >= 8) return s;
  if (bytes === 4) return zeroExtend32(s);
  const top = (1n << BigInt(bytes * 8)) - 1n;
  if (s.umax <= top) return s;
  const tnum = tnumCast(s.tnum, bytes);
  // The cut keeps the order only if the bits cut off are the same at both ends.
  if ((s.umin & ~top) === (s.umax & ~top)) return scalar({ tnum, umin: s.umin & top, umax: s.umax & top });
  return scalar({ tnum });
}

/** Sign-extends the low `bits`; into 32 bits the upper half becomes zero. */
export function signExtend(s: Scalar, bits: 8 | 16 | 32, width: Width): Scalar {
  if (isConstant(s)) return constant(BigInt.asUintN(width, BigInt.asIntN(bits, s.tnum.value)));
  const least = width === 64 ? s.smin : BigInt(s.s32min);
  const most = width === 64 ? s.smax : BigInt(s.s32max);
  const size = BigInt(bits);
  // Known ends survive if nothing above the sign bit differs between them and both have the same sign.
  if (least >> size === most >> size) {
    const low = BigInt.asIntN(bits, least);
    const high = BigInt.asIntN(bits, most);
    if (low < 0n === high < 0n) {
      const [min, max] = low <= high ? [low, high] : [high, low];
      const tnum = tnumRange(BigInt.asUintN(64, min), BigInt.asUintN(64, max));
      const extended = scalar({ tnum, smin: min, smax: max });
      return width === 32 ? zeroExtend32(extended) : extended;
    }
  }
  const half = 1n << (size - 1n);
  const extended = scalar({ smin: -half, smax: half - 1n });
  return width === 32 ? zeroExtend32(extended) : extended;
}

/** Reorders the low `bits` and clears the rest; known bits move with their bytes. */
export function swapBytes(s: Scalar, order: SwapOrder, bits: 16 | 32 | 64): Scalar {
  const low = truncate(s, bits / 8);
  if (order === "le") return low; // the machine's own order
  return scalar({
    tnum: { value: reversed(low.tnum.value, bits / 8), mask: reversed(low.tnum.mask, bits / 8) },
  });
}

function reversed(x: bigint, bytes: number): bigint {
  let result = 0n;
  for (let i = 0; i < bytes; i++) result = (result << 8n) | ((x >> BigInt(8 * i)) & 0xffn);
  return result;
}

/** Two's complement negation: 0 - x. */
export function negate(s: Scalar, width: Width): Scalar {
  return alu("sub", width, constant(0), s);
}

/** `mov` aside, which copies: see the caller. Operands of 32-bit operations are read in their low half. */
export function alu(op: Exclude<AluOp, "mov" | "neg">, width: Width, a: Scalar, b: Scalar): Scalar {
  const rule = RULES[op];
  if (rule === null) return UNKNOWN;
  if (isConstant(a) && isConstant(b)) {
    const exact = exactly(op, width, a.tnum.value, b.tnum.value);
    if (exact !== null) return constant(exact);
  }
  const known = rule(a, b, width);
  if (known === null) return UNKNOWN;
  if (width === 64) return scalar(known);
  return scalar({
    tnum: tnumLow32(known.tnum ?? UNKNOWN.tnum),
    u32min: known.u32min ?? 0,
    u32max: known.u32max ?? U32_MAX,
    s32min: known.s32min ?? S32_MIN,
    s32max: known.s32max ?? S32_MAX,
  });
}

/** Two constants need no ranges: loop counters and hashes of known bytes take this way. */
function exactly(op: AluOp, width: Width, a: bigint, b: bigint): bigint | null {
  switch (op) {
    case "add":
      return BigInt.asUintN(width, a + b);
    case "sub":
      return BigInt.asUintN(width, a - b);
    case "mul":
      return BigInt.asUintN(width, a * b);
    case "and":
      return BigInt.asUintN(width, a & b);
    case "or":
      return BigInt.asUintN(width, a | b);
    case "xor":
      return BigInt.asUintN(width, a ^ b);
    default:
      return null;
  }
}

type Rule = (a: Scalar, b: Scalar, width: Width) => Knowledge | null;

/** null: nothing is known of the result. */
const RULES: Readonly<Record<Exclude<AluOp, "mov" | "neg">, Rule | null>> = {
  add: (a, b) =>
    facts(
      tnumAdd(a.tnum, b.tnum),
      wrapU64(a.umin + b.umin, a.umax + b.umax),
      fitS64(a.smin + b.smin, a.smax + b.smax),
      wrapU32(a.u32min + b.u32min, a.u32max + b.u32max),
      fitS32(a.s32min + b.s32min, a.s32max + b.s32max),
    ),
  sub: (a, b) =>
    facts(
      tnumSub(a.tnum, b.tnum),
      wrapU64(a.umin - b.umax, a.umax - b.umin),
      fitS64(a.smin - b.smax, a.smax - b.smin),
      wrapU32(a.u32min - b.u32max, a.u32max - b.u32min),
      fitS32(a.s32min - b.s32max, a.s32max - b.s32min),
    ),
  mul: multiply,
  and: (a, b) => {
    const tnum = tnumAnd(a.tnum, b.tnum);
    return {
      tnum,
      umax: least(a.umax, b.umax),
      u32max: Math.min(a.u32max, b.u32max),
    };
  },
  or: (a, b) => ({
    tnum: tnumOr(a.tnum, b.tnum),
    umin: most(a.umin, b.umin),
    u32min: Math.max(a.u32min, b.u32min),
  }),
  xor: (a, b) => ({ tnum: tnumXor(a.tnum, b.tnum) }),
  lsh: (a, b, width) => {
    const count = shiftCount(b, width);
    if (count === null) return null;
    const n = BigInt(count);
    // A bit that may be shifted out at the top leaves nothing known of the order.
    const u = a.umax <= 1n << (63n - n) ? { min: a.umin << n, max: a.umax << n } : null;
    const factor = 2 ** count;
    const u32 =
      count < 32 && a.u32max <= 2 ** (31 - count) ? { min: a.u32min * factor, max: a.u32max * factor } : null;
    // `<< 32` is how compilers begin a sign extension: the low half becomes the whole's sign and size.
    const s = count === 32 ? { min: BigInt(a.s32min) << 32n, max: BigInt(a.s32max) << 32n } : null;
    return facts(tnumShiftLeft(a.tnum, count), u, s, u32, null);
  },
  rsh: (a, b, width) => {
    const count = shiftCount(b, width);
    if (count === null) return null;
    if (width === 32) {
      return {
        tnum: tnumShiftRight(tnumLow32(a.tnum), count),
        u32min: a.u32min >>> count,
        u32max: a.u32max >>> count,
      };
    }
    const n = BigInt(count);
    return { tnum: tnumShiftRight(a.tnum, count), umin: a.umin >> n, umax: a.umax >> n };
  },
  arsh: (a, b, width) => {
    const count = shiftCount(b, width);
    if (count === null) return null;
    if (width === 32) {
      return {
        tnum: tnumShiftRightArithmetic(tnumLow32(a.tnum), count, 32),
        s32min: a.s32min >> count,
        s32max: a.s32max >> count,
      };
    }
    const n = BigInt(count);
    return { tnum: tnumShiftRightArithmetic(a.tnum, count, 64), smin: a.smin >> n, smax: a.smax >> n };
  },
  div: null,
  sdiv: null,
  mod: null,
  smod: null,
};

/** A count that is known and within the width, as the kernel requires; else null. */
function shiftCount(b: Scalar, width: Width): number | null {
  return isConstant(b) && b.umax < BigInt(width) ? Number(b.umax) : null;
}

function multiply(a: Scalar, b: Scalar, width: Width): Knowledge {
  const greatest = a.umax * b.umax;
  const [smin, smax] = products(a.smin, a.smax, b.smin, b.smax);
  const exactIn53 = a.u32max * b.u32max <= U32_MAX;
  const [s32min, s32max] = products(BigInt(a.s32min), BigInt(a.s32max), BigInt(b.s32min), BigInt(b.s32max));
  // Iterate over the operand with fewer significant bits; the product does not mind the order.
  const x = width === 32 ? tnumLow32(a.tnum) : a.tnum;
  const y = width === 32 ? tnumLow32(b.tnum) : b.tnum;
  const tnum = (x.value | x.mask) <= (y.value | y.mask) || y.mask !== 0n ? tnumMul(x, y) : tnumMul(y, x);
  return facts(
    tnum,
    greatest <= U64_MAX ? { min: a.umin * b.umin, max: greatest } : null,
    fitS64(smin, smax),
    exactIn53 ? { min: a.u32min * b.u32min, max: a.u32max * b.u32max } : null,
    s32min >= BigInt(S32_MIN) && s32max <= BigInt(S32_MAX)
      ? { min: Number(s32min), max: Number(s32max) }
      : null,
  );
}

function products(a: bigint, b: bigint, c: bigint, d: bigint): [bigint, bigint] {
  const ac = a * c;
  const ad = a * d;
  const bc = b * c;
  const bd = b * d;
  let min = ac;
  let max = ac;
  for (const p of [ad, bc, bd]) {
    if (p < min) min = p;
    if (p > max) max = p;
  }
  return [min, max];
}
