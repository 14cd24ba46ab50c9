/**
 * What is known of a 64-bit number: known bits (tnum) and four ranges, unsigned and signed, of the whole
 * and of its low 32 bits. Each view teaches the others; `scalar()` is the only way to make one and leaves
 * them in step. Immutable, so that register copies and saved states share it. Units: u64 as bigint,
 * 32-bit bounds as numbers.
 */
import {
  isConst,
  TNUM_UNKNOWN,
  type Tnum,
  tnumConst,
  tnumIncludes,
  tnumIntersect,
  tnumLow32,
  tnumOnlyWithin,
  tnumRange,
  tnumWithLow32,
  U64_MAX,
} from "./tnum.ts";

export type Scalar = {
  readonly tnum: Tnum;
  readonly umin: bigint;
  readonly umax: bigint;
  readonly smin: bigint;
  readonly smax: bigint;
  readonly u32min: number;
  readonly u32max: number;
  readonly s32min: number;
  readonly s32max: number;
};

export const S64_MIN = -0x8000_0000_0000_0000n;
export const S64_MAX = 0x7fff_ffff_ffff_ffffn;
export const U32_MAX = 0xffff_ffff;
export const S32_MIN = -0x8000_0000;
export const S32_MAX = 0x7fff_ffff;
const LOW32 = 0xffff_ffffn;
const HIGH32 = 0xffff_ffff_0000_0000n;

export const UNKNOWN: Scalar = {
  tnum: TNUM_UNKNOWN,
  umin: 0n,
  umax: U64_MAX,
  smin: S64_MIN,
  smax: S64_MAX,
  u32min: 0,
  u32max: U32_MAX,
  s32min: S32_MIN,
  s32max: S32_MAX,
};

const SMALL_CONSTANTS: Scalar[] = [];
const SMALL_LIMIT = 4096;

/** The one value `x` (taken modulo 2^64); small ones are shared. */
export function constant(x: bigint | number): Scalar {
  if (typeof x === "number" && x >= 0 && x < SMALL_LIMIT) {
    const known = SMALL_CONSTANTS[x];
    if (known) return known;
    const made = makeConstant(BigInt(x));
    SMALL_CONSTANTS[x] = made;
    return made;
  }
  const value = BigInt.asUintN(64, BigInt(x));
  return value < BigInt(SMALL_LIMIT) ? constant(Number(value)) : makeConstant(value);
}

function makeConstant(value: bigint): Scalar {
  const signed = BigInt.asIntN(64, value);
  const low = Number(value & LOW32);
  return {
    tnum: tnumConst(value),
    umin: value,
    umax: value,
    smin: signed,
    smax: signed,
    u32min: low,
    u32max: low,
    s32min: low | 0,
    s32max: low | 0,
  };
}

export function isConstant(s: Scalar): boolean {
  return s.tnum.mask === 0n;
}

export function isUnbounded(s: Scalar): boolean {
  return (
    s === UNKNOWN ||
    (s.tnum.mask === U64_MAX &&
      s.umin === 0n &&
      s.umax === U64_MAX &&
      s.smin === S64_MIN &&
      s.smax === S64_MAX &&
      s.u32min === 0 &&
      s.u32max === U32_MAX &&
      s.s32min === S32_MIN &&
      s.s32max === S32_MAX)
  );
}

/** Are the low 32 bits one value? */
export function isConstant32(s: Scalar): boolean {
  return (s.tnum.mask & LOW32) === 0n;
}

/** What one knows before the views are put in step; a field left out knows nothing. */
export type Knowledge = Partial<Scalar>;

/** @returns null when the facts contradict each other: no such number, so no such path. */
export function tryScalar(known: Knowledge): Scalar | null {
  let tnum = known.tnum ?? TNUM_UNKNOWN;
  let umin = known.umin ?? 0n;
  let umax = known.umax ?? U64_MAX;
  let smin = known.smin ?? S64_MIN;
  let smax = known.smax ?? S64_MAX;
  let u32min = known.u32min ?? 0;
  let u32max = known.u32max ?? U32_MAX;
  let s32min = known.s32min ?? S32_MIN;
  let s32max = known.s32max ?? S32_MAX;

  // Two rounds reach what one teaches another; the known bits take part again at the end.
  for (let round = 0; round < 3; round++) {
    const before = tnum;
    if (round === 0 || tnum !== known.tnum) {
      // Known bits -> ranges.
      const { value, mask } = tnum;
      const most = value | mask;
      if (value > umin) umin = value;
      if (most < umax) umax = most;
      const low = Number(value & LOW32);
      const lowMost = Number(most & LOW32);
      if (low > u32min) u32min = low;
      if (lowMost < u32max) u32max = lowMost;
      const signBit = mask & 0x8000_0000_0000_0000n;
      const least = BigInt.asIntN(64, value | signBit);
      const greatest = BigInt.asIntN(64, value | (mask & S64_MAX));
      if (least > smin) smin = least;
      if (greatest < smax) smax = greatest;
      const mask32 = Number(mask & LOW32) | 0;
      const least32 = low | 0 | (mask32 & S32_MIN);
      const greatest32 = low | 0 | (mask32 & S32_MAX);
      if (least32 > s32min) s32min = least32;
      if (greatest32 < s32max) s32max = greatest32;
    }

    for (let pass = 0; pass < 2; pass++) {
      // The upper halves agree: the low half's range is the whole's.
      if (umin >> 32n === umax >> 32n) {
        const lo = Number(umin & LOW32);
        const hi = Number(umax & LOW32);
        if (lo > u32min) u32min = lo;
        if (hi < u32max) u32max = hi;
        if ((lo | 0) <= (hi | 0)) {
          if ((lo | 0) > s32min) s32min = lo | 0;
          if ((hi | 0) < s32max) s32max = hi | 0;
        }
      }
      if (smin >> 32n === smax >> 32n) {
        const lo = Number(smin & LOW32);
        const hi = Number(smax & LOW32);
        if (lo > u32min) u32min = lo;
        if (hi < u32max) u32max = hi;
        if ((lo | 0) <= (hi | 0)) {
          if ((lo | 0) > s32min) s32min = lo | 0;
          if ((hi | 0) < s32max) s32max = hi | 0;
        }
      }
      // The upper half runs from -1 to 0 and the low half bridges it: a small signed number around zero.
      if (smin >> 32n === -1n && smax >> 32n === 0n) {
        const lo = Number(smin & LOW32) | 0;
        const hi = Number(smax & LOW32) | 0;
        if (lo < 0 && hi >= 0) {
          if (lo > s32min) s32min = lo;
          if (hi < s32max) s32max = hi;
        }
      }
      // 32-bit unsigned <-> signed.
      if ((u32min | 0) <= (u32max | 0)) {
        if ((u32min | 0) > s32min) s32min = u32min | 0;
        if ((u32max | 0) < s32max) s32max = u32max | 0;
      }
      if (s32min >>> 0 <= s32max >>> 0) {
        if (s32min >>> 0 > u32min) u32min = s32min >>> 0;
        if (s32max >>> 0 < u32max) u32max = s32max >>> 0;
      } else {
        // s32 crosses -1|0; the unsigned range may lie wholly on one side of the gap.
        if (u32max < s32min >>> 0) {
          if (s32max >= 0 && s32max < u32max) u32max = s32max;
          if (s32min < 0) s32min = 0;
        } else if (u32min > s32max >>> 0) {
          if (s32min >>> 0 > u32min) u32min = s32min >>> 0;
          if (s32max > -1) s32max = -1;
        }
      }
      // 64-bit unsigned <-> signed.
      const uminSigned = BigInt.asIntN(64, umin);
      const umaxSigned = BigInt.asIntN(64, umax);
      if (uminSigned <= umaxSigned) {
        if (uminSigned > smin) smin = uminSigned;
        if (umaxSigned < smax) smax = umaxSigned;
      }
      const sminUnsigned = BigInt.asUintN(64, smin);
      const smaxUnsigned = BigInt.asUintN(64, smax);
      if (sminUnsigned <= smaxUnsigned) {
        if (sminUnsigned > umin) umin = sminUnsigned;
        if (smaxUnsigned < umax) umax = smaxUnsigned;
      } else if (umax < sminUnsigned) {
        if (smaxUnsigned < umax) umax = smaxUnsigned;
        if (smin < 0n) smin = 0n;
      } else if (umin > smaxUnsigned) {
        if (sminUnsigned > umin) umin = sminUnsigned;
        if (smax > -1n) smax = -1n;
      }
      // The low half's range tightens the ends of the whole's.
      const low = BigInt(u32min);
      const high = BigInt(u32max);
      const uLow = (umin & HIGH32) | low;
      if (uLow > umin) umin = uLow;
      const uHigh = (umax & HIGH32) | high;
      if (uHigh < umax) umax = uHigh;
      const sLow = ((smin >> 32n) << 32n) | low;
      if (sLow > smin) smin = sLow;
      const sHigh = ((smax >> 32n) << 32n) | high;
      if (sHigh < smax) smax = sHigh;
      // A value known to fit in s32 whose low half is not negative is that low half.
      if (s32min >= 0 && smin >= BigInt(S32_MIN) && smax <= BigInt(S32_MAX)) {
        // As in Linux its range replaces the others, though they may have been narrower.
        smin = umin = BigInt(s32min);
        smax = umax = BigInt(s32max);
      }
    }

    if (umin > umax || smin > smax || u32min > u32max || s32min > s32max) return null;
    // Known bits and range may leave one number only.
    const only = tnumOnlyWithin(tnum, umin, umax);
    if (only !== null) return constant(only);
    // Ranges -> known bits.
    const fromRange = tnumRange(umin, umax);
    let next = tnum;
    if ((fromRange.mask & tnum.mask) !== tnum.mask) {
      if (((fromRange.value ^ tnum.value) & ~(fromRange.mask | tnum.mask)) !== 0n) return null;
      next = tnumIntersect(tnum, fromRange);
    }
    if (u32min !== 0 || u32max !== U32_MAX) {
      const fromLow = tnumRange(BigInt(u32min), BigInt(u32max));
      const low = tnumLow32(next);
      if ((fromLow.mask & low.mask) !== low.mask) {
        if (((fromLow.value ^ low.value) & ~(fromLow.mask | low.mask)) !== 0n) return null;
        next = tnumWithLow32(next, tnumIntersect(low, fromLow));
      }
    }
    if (next === before || (next.mask === before.mask && next.value === before.value)) break;
    tnum = next;
  }
  if (tnum.mask === 0n) return constant(tnum.value);
  const made = { tnum, umin, umax, smin, smax, u32min, u32max, s32min, s32max };
  return isUnbounded(made) ? UNKNOWN : made;
}

/** What both say of one number; null where they contradict each other. */
export function meet(a: Scalar, b: Scalar): Scalar | null {
  if ((a.tnum.value ^ b.tnum.value) & ~(a.tnum.mask | b.tnum.mask)) return null;
  return tryScalar({
    tnum: tnumIntersect(a.tnum, b.tnum),
    umin: a.umin > b.umin ? a.umin : b.umin,
    umax: a.umax < b.umax ? a.umax : b.umax,
    smin: a.smin > b.smin ? a.smin : b.smin,
    smax: a.smax < b.smax ? a.smax : b.smax,
    u32min: Math.max(a.u32min, b.u32min),
    u32max: Math.min(a.u32max, b.u32max),
    s32min: Math.max(a.s32min, b.s32min),
    s32max: Math.min(a.s32max, b.s32max),
  });
}

/** The number with its low half known. */
export function withLow32(s: Scalar, low: number): Scalar {
  const u32 = low >>> 0;
  return scalar({
    ...s,
    tnum: tnumWithLow32(s.tnum, tnumConst(BigInt(u32))),
    u32min: u32,
    u32max: u32,
    s32min: low | 0,
    s32max: low | 0,
  });
}

/** For facts that come from one sound computation and so cannot contradict each other. */
export function scalar(known: Knowledge): Scalar {
  return tryScalar(known) ?? UNKNOWN;
}

/** Signed range, such as a helper's or a program's result. */
export function signedRange(min: bigint, max: bigint): Scalar {
  return scalar({ smin: min, smax: max });
}

export function unsignedRange(min: bigint, max: bigint): Scalar {
  return scalar({ umin: min, umax: max });
}

/** Is every value of `inner` also in `outer`, in every view? The pruning question. */
export function scalarIncludes(outer: Scalar, inner: Scalar): boolean {
  if (outer === inner || outer === UNKNOWN) return true;
  return (
    outer.umin <= inner.umin &&
    outer.umax >= inner.umax &&
    outer.smin <= inner.smin &&
    outer.smax >= inner.smax &&
    outer.u32min <= inner.u32min &&
    outer.u32max >= inner.u32max &&
    outer.s32min <= inner.s32min &&
    outer.s32max >= inner.s32max &&
    tnumIncludes(outer.tnum, inner.tnum)
  );
}

export function scalarEquals(a: Scalar, b: Scalar): boolean {
  if (a === b) return true;
  return (
    a.tnum.value === b.tnum.value &&
    a.tnum.mask === b.tnum.mask &&
    a.umin === b.umin &&
    a.umax === b.umax &&
    a.smin === b.smin &&
    a.smax === b.smax &&
    a.u32min === b.u32min &&
    a.u32max === b.u32max &&
    a.s32min === b.s32min &&
    a.s32max === b.s32max
  );
}

export function scalarContains(s: Scalar, x: bigint): boolean {
  const u = BigInt.asUintN(64, x);
  const i = BigInt.asIntN(64, x);
  const u32 = Number(u & LOW32);
  return (
    (u & ~s.tnum.mask) === s.tnum.value &&
    u >= s.umin &&
    u <= s.umax &&
    i >= s.smin &&
    i <= s.smax &&
    u32 >= s.u32min &&
    u32 <= s.u32max &&
    (u32 | 0) >= s.s32min &&
    (u32 | 0) <= s.s32max
  );
}

export function constantValue(s: Scalar): bigint | null {
  return isConst(s.tnum) ? s.tnum.value : null;
}
