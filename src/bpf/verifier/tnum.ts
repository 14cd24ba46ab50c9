/**
 * What is known of each bit of a u64 ("tristate number"): a set `mask` bit means unknown.
 * Invariant: value & mask is 0n, both within 64 bits. Sound: x in a and y in b imply op(x, y) in op(a, b);
 * tnum-exhaustive.test.ts walks all pairs of 8 bits. All are exact but multiplication.
 * The arithmetic follows Vishwanathan et al., "Sound, Precise, and Fast Abstract Interpretation with
 * Tristate Numbers" (CGO'22).
 */
export type Tnum = { readonly value: bigint; readonly mask: bigint };

export const U64_MAX = 0xffff_ffff_ffff_ffffn;
const LOW32 = 0xffff_ffffn;
const HIGH32 = 0xffff_ffff_0000_0000n;

export const TNUM_UNKNOWN: Tnum = { value: 0n, mask: U64_MAX };
export const TNUM_ZERO: Tnum = { value: 0n, mask: 0n };

export function tnumConst(value: bigint): Tnum {
  return { value, mask: 0n };
}

export function isConst(a: Tnum): boolean {
  return a.mask === 0n;
}

/** The smallest tnum holding every value of min..max: the common leading bits are known. */
export function tnumRange(min: bigint, max: bigint): Tnum {
  const differing = bitLength(min ^ max);
  if (differing >= 64) return TNUM_UNKNOWN;
  const mask = (1n << BigInt(differing)) - 1n;
  return { value: min & ~mask, mask };
}

/** The least value of `a` that is not below `from`; null where all are. */
export function tnumAtLeast(a: Tnum, from: bigint): bigint | null {
  const wrong = (from ^ a.value) & ~a.mask & U64_MAX;
  if (wrong === 0n) return from;
  // Above the highest known bit that `from` has wrong, its bits can stay.
  const at = 1n << BigInt(bitLength(wrong) - 1);
  if ((a.value & at) !== 0n) return (from & ~(at * 2n - 1n)) | (a.value & (at * 2n - 1n));
  // There it is too large already: raise the lowest free bit above.
  const free = a.mask & ~from & ~(at * 2n - 1n);
  if (free === 0n) return null;
  const raised = free & -free;
  return (from & ~(raised * 2n - 1n)) | raised | (a.value & (raised - 1n));
}

/** The only value of `a` within min..max, or null where there are several (or none). */
export function tnumOnlyWithin(a: Tnum, min: bigint, max: bigint): bigint | null {
  // Unknown bits that all lie at the bottom make one run of values.
  if ((a.mask & (a.mask + 1n)) === 0n) return null;
  const first = tnumAtLeast(a, min);
  if (first === null || first > max) return null;
  const second = first === U64_MAX ? null : tnumAtLeast(a, first + 1n);
  return second === null || second > max ? first : null;
}

export function bitLength(x: bigint): number {
  const high = Number(x >> 32n);
  return high !== 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(Number(x & LOW32));
}

export function tnumAdd(a: Tnum, b: Tnum): Tnum {
  const sumMask = BigInt.asUintN(64, a.mask + b.mask);
  const sumValue = BigInt.asUintN(64, a.value + b.value);
  const sigma = BigInt.asUintN(64, sumMask + sumValue);
  const mask = (sigma ^ sumValue) | a.mask | b.mask;
  return { value: BigInt.asUintN(64, sumValue & ~mask), mask };
}

export function tnumSub(a: Tnum, b: Tnum): Tnum {
  const difference = BigInt.asUintN(64, a.value - b.value);
  const alpha = BigInt.asUintN(64, difference + a.mask);
  const beta = BigInt.asUintN(64, difference - b.mask);
  const mask = alpha ^ beta ^ (a.mask | b.mask) ^ ((alpha ^ beta) & (a.mask | b.mask));
  return { value: BigInt.asUintN(64, difference & ~mask), mask };
}

export function tnumNeg(a: Tnum): Tnum {
  return tnumSub(TNUM_ZERO, a);
}

export function tnumAnd(a: Tnum, b: Tnum): Tnum {
  const alpha = a.value | a.mask;
  const beta = b.value | b.mask;
  const value = a.value & b.value;
  return { value, mask: alpha & beta & ~value };
}

export function tnumOr(a: Tnum, b: Tnum): Tnum {
  const value = a.value | b.value;
  return { value, mask: (a.mask | b.mask) & ~value };
}

export function tnumXor(a: Tnum, b: Tnum): Tnum {
  const mask = a.mask | b.mask;
  return { value: (a.value ^ b.value) & ~mask, mask };
}

/** Long multiplication: where a bit of `a` is unknown, the sum is both with and without that row. */
export function tnumMul(a: Tnum, b: Tnum): Tnum {
  if (a.mask === 0n && b.mask === 0n) return tnumConst(BigInt.asUintN(64, a.value * b.value));
  let sum = TNUM_ZERO;
  let row = b;
  let value = a.value;
  let mask = a.mask;
  while (value !== 0n || mask !== 0n) {
    if ((value & 1n) === 1n) sum = tnumAdd(sum, row);
    else if ((mask & 1n) === 1n) sum = tnumUnion(sum, tnumAdd(sum, row));
    // Once nothing is known, a further row can teach nothing.
    if (sum.mask === U64_MAX) return sum;
    value >>= 1n;
    mask >>= 1n;
    row = tnumShiftLeft(row, 1);
  }
  return sum;
}

export function tnumShiftLeft(a: Tnum, count: number): Tnum {
  const n = BigInt(count);
  return { value: BigInt.asUintN(64, a.value << n), mask: BigInt.asUintN(64, a.mask << n) };
}

export function tnumShiftRight(a: Tnum, count: number): Tnum {
  const n = BigInt(count);
  return { value: a.value >> n, mask: a.mask >> n };
}

/** Arithmetic shift of the low `width` bits; an unknown sign spreads as unknown. */
export function tnumShiftRightArithmetic(a: Tnum, count: number, width: 32 | 64): Tnum {
  const n = BigInt(count);
  const value = BigInt.asUintN(width, BigInt.asIntN(width, a.value) >> n);
  const mask = BigInt.asUintN(width, BigInt.asIntN(width, a.mask) >> n);
  return { value, mask };
}

/** Values in both: the known bits of either. Meaningful only if the two have a value in common. */
export function tnumIntersect(a: Tnum, b: Tnum): Tnum {
  const mask = a.mask & b.mask;
  return { value: (a.value | b.value) & ~mask, mask };
}

/** Values in either: bits known in both and equal. */
export function tnumUnion(a: Tnum, b: Tnum): Tnum {
  const mask = a.mask | b.mask | (a.value ^ b.value);
  return { value: a.value & b.value & ~mask, mask };
}

/** Do a and b have no value in common? */
export function tnumDisjoint(a: Tnum, b: Tnum): boolean {
  return ((a.value ^ b.value) & ~(a.mask | b.mask)) !== 0n;
}

/** Is every value of `b` in `a`? */
export function tnumIncludes(a: Tnum, b: Tnum): boolean {
  if ((b.mask & ~a.mask) !== 0n) return false;
  return (b.value & ~a.mask) === a.value;
}

export function tnumContains(a: Tnum, x: bigint): boolean {
  return (x & ~a.mask) === a.value;
}

/** The low `bytes`, zero-extended. */
export function tnumCast(a: Tnum, bytes: number): Tnum {
  if (bytes >= 8) return a;
  return { value: BigInt.asUintN(bytes * 8, a.value), mask: BigInt.asUintN(bytes * 8, a.mask) };
}

/** Is every value a multiple of `size` (a power of two)? */
export function tnumIsAligned(a: Tnum, size: number): boolean {
  return ((a.value | a.mask) & BigInt(size - 1)) === 0n;
}

export function tnumLow32(a: Tnum): Tnum {
  return { value: a.value & LOW32, mask: a.mask & LOW32 };
}

export function tnumWithLow32(a: Tnum, low: Tnum): Tnum {
  return {
    value: (a.value & HIGH32) | (low.value & LOW32),
    mask: (a.mask & HIGH32) | (low.mask & LOW32),
  };
}

/** The kernel's notation: (value; mask), hexadecimal. */
export function formatTnum(a: Tnum): string {
  return `(0x${a.value.toString(16)}; 0x${a.mask.toString(16)})`;
}
