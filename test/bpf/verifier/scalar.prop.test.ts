/**
 * The abstract operators are sound: whatever values the operands stand for, the concrete result lies in the
 * abstract one. Drawn for every operation, branch and width (tnum-exhaustive.test.ts walks tnums in full).
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { JumpOp, Width } from "../../../src/bpf/isa.ts";
import { type Scalar, scalarContains, tryScalar, UNKNOWN } from "../../../src/bpf/verifier/scalar.ts";
import {
  alu,
  negate,
  signExtend,
  swapBytes,
  truncate,
  zeroExtend32,
} from "../../../src/bpf/verifier/scalar-alu.ts";
import { decide, NEGATED, refine } from "../../../src/bpf/verifier/scalar-branch.ts";

const u64 = (x: bigint) => BigInt.asUintN(64, x);
const EDGES = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_fffen,
  0xffff_ffff_ffff_ffffn,
];

const word = fc.oneof(
  fc.constantFrom(...EDGES),
  fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
  fc.bigInt({ min: 0n, max: 300n }),
  fc.bigInt({ min: -300n, max: -1n }).map(u64),
);

/** A scalar together with a number it stands for: facts drawn around the number, so that they never lie. */
const known = fc
  .record({ x: word, mask: word, a: word, b: word, facts: fc.integer({ min: 0, max: 63 }) })
  .map(({ x, mask, a, b, facts }): { s: Scalar; x: bigint } => {
    const signed = BigInt.asIntN(64, x);
    const low = Number(x & 0xffff_ffffn);
    const range = [x, a, b].sort((p, q) => (p < q ? -1 : 1));
    const wide = [signed, BigInt.asIntN(64, a), BigInt.asIntN(64, b)].sort((p, q) => (p < q ? -1 : 1));
    const lows = [low, Number(a & 0xffff_ffffn), Number(b & 0xffff_ffffn)].sort((p, q) => p - q);
    const signedLows = [low | 0, Number(a & 0xffff_ffffn) | 0].sort((p, q) => p - q);
    const s = tryScalar({
      ...(facts & 1 && { tnum: { value: x & ~mask, mask } }),
      ...(facts & 2 && { umin: range[0]!, umax: range[2]! }),
      ...(facts & 4 && { smin: wide[0]!, smax: wide[2]! }),
      ...(facts & 8 && { u32min: lows[0]!, u32max: lows[2]! }),
      ...(facts & 16 && { s32min: signedLows[0]!, s32max: signedLows[1]! }),
    });
    return { s: s ?? UNKNOWN, x };
  });

const RUNS = { numRuns: 1500 };

const CONCRETE: Readonly<Record<string, (a: bigint, b: bigint, width: Width) => bigint>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  lsh: (a, b, w) => a << (b & BigInt(w - 1)),
  rsh: (a, b, w) => BigInt.asUintN(w, a) >> (b & BigInt(w - 1)),
  arsh: (a, b, w) => BigInt.asIntN(w, a) >> (b & BigInt(w - 1)),
  div: (a, b, w) => (BigInt.asUintN(w, b) === 0n ? 0n : BigInt.asUintN(w, a) / BigInt.asUintN(w, b)),
  mod: (a, b, w) => (BigInt.asUintN(w, b) === 0n ? a : BigInt.asUintN(w, a) % BigInt.asUintN(w, b)),
};

describe("making a scalar", () => {
  test("facts that hold of a number never exclude it", () => {
    fc.assert(
      fc.property(known, ({ s, x }) => scalarContains(s, x)),
      RUNS,
    );
  });
});

describe.each([32, 64] as const)("%i-bit arithmetic", (width) => {
  test.each(Object.keys(CONCRETE))("%s", (op) => {
    const concrete = CONCRETE[op]!;
    fc.assert(
      fc.property(known, known, fc.boolean(), (a, b, small) => {
        // Shifts are worth drawing with counts in range.
        const count =
          small && op.endsWith("sh")
            ? { x: b.x % 32n, s: tryScalar({ umin: b.x % 32n, umax: b.x % 32n })! }
            : b;
        const result = BigInt.asUintN(width, concrete(a.x, count.x, width));
        expect(scalarContains(alu(op as "add", width, a.s, count.s), result)).toBe(true);
      }),
      RUNS,
    );
  });

  test("negation", () => {
    fc.assert(
      fc.property(known, ({ s, x }) => scalarContains(negate(s, width), BigInt.asUintN(width, -x))),
      RUNS,
    );
  });

  test.each([8, 16, 32] as const)("sign extension of %i bits", (bits) => {
    fc.assert(
      fc.property(known, ({ s, x }) =>
        scalarContains(signExtend(s, bits, width), BigInt.asUintN(width, BigInt.asIntN(bits, x))),
      ),
      RUNS,
    );
  });
});

describe("widths", () => {
  test.each([1, 2, 4, 8])("cut to %i bytes", (size) => {
    fc.assert(
      fc.property(known, ({ s, x }) => scalarContains(truncate(s, size), BigInt.asUintN(size * 8, x))),
      RUNS,
    );
  });

  test("zero extension", () => {
    fc.assert(
      fc.property(known, ({ s, x }) => scalarContains(zeroExtend32(s), x & 0xffff_ffffn)),
      RUNS,
    );
  });

  test.each([16, 32, 64] as const)("byte swap of %i bits", (bits) => {
    const swap = (x: bigint) => {
      const bytes = BigInt.asUintN(bits, x)
        .toString(16)
        .padStart(bits / 4, "0")
        .match(/../g)!;
      return BigInt(`0x${bytes.reverse().join("")}`);
    };
    fc.assert(
      fc.property(
        known,
        ({ s, x }) =>
          scalarContains(swapBytes(s, "be", bits), swap(x)) &&
          scalarContains(swapBytes(s, "le", bits), BigInt.asUintN(bits, x)),
      ),
      RUNS,
    );
  });
});

const HOLDS: Readonly<Record<JumpOp, (a: bigint, b: bigint, width: Width) => boolean>> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  set: (a, b) => (a & b) !== 0n,
  sgt: (a, b, w) => BigInt.asIntN(w, a) > BigInt.asIntN(w, b),
  sge: (a, b, w) => BigInt.asIntN(w, a) >= BigInt.asIntN(w, b),
  slt: (a, b, w) => BigInt.asIntN(w, a) < BigInt.asIntN(w, b),
  sle: (a, b, w) => BigInt.asIntN(w, a) <= BigInt.asIntN(w, b),
};

describe.each([32, 64] as const)("%i-bit branches", (width) => {
  test.each(Object.keys(HOLDS) as JumpOp[])("%s: what is decided is so, what is learned holds", (op) => {
    fc.assert(
      fc.property(known, known, (a, b) => {
        const taken = HOLDS[op](BigInt.asUintN(width, a.x), BigInt.asUintN(width, b.x), width);
        const decided = decide(op, width, a.s, b.s);
        if (decided !== null) expect(decided).toBe(taken);
        const learned = refine(taken ? op : NEGATED[op], width, a.s, b.s);
        expect(learned).not.toBeNull();
        if (!learned) return;
        expect([scalarContains(learned.a, a.x), scalarContains(learned.b, b.x)]).toEqual([true, true]);
      }),
      RUNS,
    );
  });
});
