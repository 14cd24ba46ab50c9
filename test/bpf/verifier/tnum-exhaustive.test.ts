/**
 * Every pair of 8-bit tnums through every operation: 6,561 x 6,561. The exact answer (the smallest tnum that
 * holds op(x, y) of all x in a and y in b) comes from the 256 x 256 concrete pairs by splitting: an unknown bit
 * of `a` or `b` makes the answer the join of the answers for that bit 0 and 1. Ours must hold the exact one.
 * Bounded in `npm test` (every 61st `a`); BMC_EXHAUSTIVE walks all.
 */
import { describe, expect, test } from "vitest";
import * as tnums from "../../../src/bpf/verifier/tnum.ts";

const BITS = 8;
const VALUES = 1 << BITS;
const TERNARY = 3 ** BITS;
const LOW = VALUES - 1;
/** Where a byte is the topmost of 32 bits: its sign is the word's. */
const TOP = 32 - BITS;
const STRIDE = process.env.BMC_EXHAUSTIVE ? 1 : 61;

/** By number in base 3, the digit 2 an unknown bit: value, mask, and the two halves of its lowest unknown bit. */
const knownBits = new Uint8Array(TERNARY);
const unknownBits = new Uint8Array(TERNARY);
const zeroHalf = new Uint16Array(TERNARY);
const oneHalf = new Uint16Array(TERNARY);
const TNUMS: tnums.Tnum[] = [];
for (let index = 0; index < TERNARY; index++) {
  for (let bit = 0, weight = 1, rest = index; bit < BITS; bit++, weight *= 3, rest = Math.floor(rest / 3)) {
    const digit = rest % 3;
    if (digit === 1) knownBits[index]! |= 1 << bit;
    if (digit !== 2) continue;
    if (unknownBits[index] === 0) {
      zeroHalf[index] = index - 2 * weight;
      oneHalf[index] = index - weight;
    }
    unknownBits[index]! |= 1 << bit;
  }
  TNUMS.push({ value: BigInt(knownBits[index]!), mask: BigInt(unknownBits[index]!) });
}

type Binary = {
  readonly name: string;
  readonly ours: (a: tnums.Tnum, b: tnums.Tnum) => tnums.Tnum;
  readonly concrete: (x: number, y: number) => number;
};
const OPS: readonly Binary[] = [
  { name: "add", ours: tnums.tnumAdd, concrete: (x, y) => x + y },
  { name: "sub", ours: tnums.tnumSub, concrete: (x, y) => x - y },
  { name: "and", ours: tnums.tnumAnd, concrete: (x, y) => x & y },
  { name: "or", ours: tnums.tnumOr, concrete: (x, y) => x | y },
  { name: "xor", ours: tnums.tnumXor, concrete: (x, y) => x ^ y },
  { name: "mul", ours: tnums.tnumMul, concrete: (x, y) => x * y },
];

/** One row of exact answers for a known `x`: bits that are 1 in all results, and in any, by `b`. */
type Row = { readonly all: Uint8Array; readonly any: Uint8Array };

function joined(a: Row, b: Row): Row {
  return { all: a.all.map((bits, i) => bits & b.all[i]!), any: a.any.map((bits, i) => bits | b.any[i]!) };
}

function rowOfValue(concrete: Binary["concrete"], x: number): Row {
  const row = { all: new Uint8Array(TERNARY), any: new Uint8Array(TERNARY) };
  // Halves have smaller numbers: by the time a tnum is met, both of its halves are known.
  for (let b = 0; b < TERNARY; b++) {
    if (unknownBits[b] === 0) {
      row.all[b] = concrete(x, knownBits[b]!);
      row.any[b] = concrete(x, knownBits[b]!);
    } else {
      row.all[b] = row.all[zeroHalf[b]!]! & row.all[oneHalf[b]!]!;
      row.any[b] = row.any[zeroHalf[b]!]! | row.any[oneHalf[b]!]!;
    }
  }
  return row;
}

/** The exact answers of one `a` against every `b`, from those of its members. */
function exactRow(rows: readonly Row[], a: number): Row {
  if (unknownBits[a] === 0) return rows[knownBits[a]!]!;
  const known = knownBits[a]!;
  const mask = unknownBits[a]!;
  let row = rows[known]!;
  for (let part = mask; part !== 0; part = (part - 1) & mask) row = joined(row, rows[known | part]!);
  return row;
}

describe("all pairs of 8-bit tnums", () => {
  test.each(OPS)("$name holds every result", { timeout: 600_000 }, ({ name, ours, concrete }) => {
    const rows = Array.from({ length: VALUES }, (_, x) => rowOfValue(concrete, x));
    const wrong: string[] = [];
    let pairs = 0;
    let exact = 0;
    for (let a = 0; a < TERNARY; a += STRIDE) {
      const { all, any } = exactRow(rows, a);
      for (let b = 0; b < TERNARY; b++) {
        const result = ours(TNUMS[a]!, TNUMS[b]!);
        const value = Number(result.value & 0xffn);
        const mask = Number(result.mask & 0xffn);
        const unknown = all[b]! ^ any[b]!;
        // Sound: what varies is unknown to us, and what we claim to know is so.
        if ((unknown & ~mask) !== 0 || (all[b]! & ~mask & LOW) !== value) {
          wrong.push(`${tnums.formatTnum(TNUMS[a]!)} ${name} ${tnums.formatTnum(TNUMS[b]!)}`);
        }
        if (mask === unknown) exact++;
        pairs++;
      }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    if (STRIDE === 1)
      console.log(`${name}: ${pairs} pairs sound, ${((100 * exact) / pairs).toFixed(2)} % exact`);
  });

  /** Unary operations and shifts by each count: all 6,561, against the smallest tnum that holds the results. */
  const UNARY: readonly {
    name: string;
    ours: (a: tnums.Tnum) => tnums.Tnum;
    concrete: (x: bigint) => bigint;
  }[] = [
    { name: "neg", ours: tnums.tnumNeg, concrete: (x) => BigInt.asUintN(64, -x) },
    { name: "cast to 1 byte", ours: (a) => tnums.tnumCast(a, 1), concrete: (x) => x & 0xffn },
    ...Array.from({ length: BITS }, (_, count) => [
      {
        name: `<< ${count}`,
        ours: (a: tnums.Tnum) => tnums.tnumShiftLeft(a, count),
        concrete: (x: bigint) => x << BigInt(count),
      },
      {
        name: `>> ${count}`,
        ours: (a: tnums.Tnum) => tnums.tnumShiftRight(a, count),
        concrete: (x: bigint) => x >> BigInt(count),
      },
      {
        name: `s>> ${count} of the topmost byte`,
        ours: (a: tnums.Tnum) => tnums.tnumShiftRightArithmetic(tnums.tnumShiftLeft(a, TOP), TOP + count, 32),
        concrete: (x: bigint) => BigInt.asUintN(32, BigInt.asIntN(BITS, x) >> BigInt(count)),
      },
    ]).flat(),
  ];
  test.each(UNARY)("$name holds every result, and nothing that it need not", ({ ours, concrete }) => {
    let wrong = 0;
    for (let a = 0; a < TERNARY; a++) {
      const result = ours(TNUMS[a]!);
      let all = tnums.U64_MAX;
      let any = 0n;
      const mask = unknownBits[a]!;
      for (let part = mask; ; part = (part - 1) & mask) {
        const y = concrete(BigInt(knownBits[a]! | part));
        all &= y;
        any |= y;
        if (part === 0) break;
      }
      if (((all ^ any) & ~result.mask) !== 0n || (all & ~result.mask) !== result.value) wrong++;
    }
    expect(wrong).toBe(0);
  });
});
