/** Jumps: every condition, both widths, register and immediate, taken and not; loops; gotol. */
import { program, set, type Vector } from "./vector.ts";

const M = 0xffff_ffff_ffff_ffffn;
const HIGH = 0x1_0000_0000n;

/** sign, a, b, taken in 64 bits, taken in 32 bits (on the low halves) */
const CONDITIONS: readonly [sign: string, a: bigint, b: bigint, wide: boolean, word: boolean][] = [
  ["==", 5n, 5n, true, true],
  ["==", 5n, 6n, false, false],
  ["==", HIGH + 5n, 5n, false, true],
  ["==", M, -1n, true, true],
  ["==", 0xffff_ffffn, -1n, false, true],
  ["!=", 5n, 6n, true, true],
  ["!=", 5n, 5n, false, false],
  ["!=", HIGH, 0n, true, false],
  [">", 6n, 5n, true, true],
  [">", 5n, 5n, false, false],
  [">", M, 1n, true, true],
  [">", 1n, -1n, false, false],
  [">", HIGH, 1n, true, false],
  [">=", 5n, 5n, true, true],
  [">=", 4n, 5n, false, false],
  [">=", M, -1n, true, true],
  ["<", 4n, 5n, true, true],
  ["<", 5n, 5n, false, false],
  ["<", 1n, -1n, true, true],
  ["<", HIGH, 1n, false, true],
  ["<=", 5n, 5n, true, true],
  ["<=", 6n, 5n, false, false],
  ["<=", HIGH, 0n, false, true],
  ["s>", 1n, -1n, true, true],
  ["s>", -1n, 1n, false, false],
  ["s>", 0x8000_0000n, 0n, true, false],
  ["s>", -5n, -6n, true, true],
  ["s>=", -1n, -1n, true, true],
  ["s>=", -2n, -1n, false, false],
  ["s>=", 0x7fff_ffffn, -0x8000_0000n, true, true],
  ["s<", -1n, 1n, true, true],
  ["s<", 1n, -1n, false, false],
  ["s<", 0x8000_0000n, 0n, false, true],
  ["s<=", -1n, -1n, true, true],
  ["s<=", 0n, -1n, false, false],
  ["s<=", -0x8000_0000n, 0x7fff_ffffn, true, true],
  ["&", 6n, 3n, true, true],
  ["&", 4n, 3n, false, false],
  ["&", HIGH, -1n, true, false],
  ["&", 0x8000_0000n, -0x8000_0000n, true, true],
];

const fitsImmediate = (value: bigint) => BigInt.asIntN(32, value) === value;

function conditionVectors(): Vector[] {
  return CONDITIONS.flatMap(([sign, a, b, wide, word]) => {
    const rows: Vector[] = [];
    for (const [width, reg, taken] of [
      [64, "r", wide],
      [32, "w", word],
    ] as const) {
      for (const operand of fitsImmediate(b) ? [`${reg}3`, `${b}`] : [`${reg}3`]) {
        rows.push({
          name: `0x${BigInt.asUintN(64, a).toString(16)} ${sign} ${b}: ${reg}2 against ${operand}`,
          group: `base${width}`,
          text: program(
            "r0 = 1",
            set("r2", a),
            set("r3", b),
            `if ${reg}2 ${sign} ${operand} goto +1`,
            "r0 = 0",
          ),
          r0: taken ? 1n : 0n,
        });
      }
    }
    return rows;
  });
}

const FLOW: readonly Vector[] = [
  {
    name: "goto skips forward",
    group: "base32",
    text: program("r0 = 1", "goto +1", "r0 = 2"),
    r0: 1n,
    notLinux: "its verifier refuses code that no path reaches",
  },
  { name: "goto +0 is a no-op", group: "base32", text: program("r0 = 1", "goto +0", "r0 += 2"), r0: 3n },
  {
    name: "gotol skips forward",
    group: "base32",
    text: program("r0 = 1", "gotol +1", "r0 = 2"),
    r0: 1n,
    notLinux: "its verifier refuses code that no path reaches",
  },
  {
    name: "a jump lands behind a wide load",
    group: "base64",
    text: program("r0 = 1", "if r0 == 1 goto +2", "r0 = 0x1122334455667788 ll"),
    r0: 1n,
  },
  {
    name: "a counted loop",
    group: "base64",
    text: program("r0 = 0", "r2 = 10", "again:", "r0 += r2", "r2 -= 1", "if r2 != 0 goto again"),
    r0: 55n,
  },
  {
    name: "nested loops",
    group: "base64",
    text: program(
      "r0 = 0",
      "r2 = 5",
      "outer:",
      "r3 = 7",
      "inner:",
      "r0 += 1",
      "r3 -= 1",
      "if r3 != 0 goto inner",
      "r2 -= 1",
      "if r2 != 0 goto outer",
    ),
    r0: 35n,
  },
  {
    name: "a loop left in its middle",
    group: "base64",
    text: program(
      "r0 = 0",
      "r2 = 0",
      "top:",
      "r0 += 3",
      "if r0 > 20 goto out",
      "r2 += 1",
      "if r2 < 100 goto top",
      "out:",
      "r0 += r2",
    ),
    r0: 27n,
  },
  {
    name: "gotol jumps back",
    group: "base32",
    text: "r0 = 0\ntop: r0 += 1\nif r0 == 4 goto out\ngotol top\nout: exit",
    r0: 4n,
  },
  {
    name: "two exits",
    group: "base32",
    text: program("r0 = 1", "if r0 == 1 goto +1", "exit", "r0 = 9"),
    r0: 9n,
  },
  {
    name: "a join of both arms of a branch",
    group: "base64",
    text: program(
      "r0 = 5",
      "if r0 > 3 goto big",
      "r2 = 1",
      "goto join",
      "big:",
      "r2 = 2",
      "join:",
      "r0 += r2",
    ),
    r0: 7n,
  },
  {
    name: "a ladder of jumps, as a switch compiles to",
    group: "base64",
    text: program(
      "r0 = 0",
      "r2 = 3",
      "if r2 == 1 goto one",
      "if r2 == 2 goto two",
      "if r2 == 3 goto three",
      "goto end",
      "one:",
      "r0 += 1",
      "two:",
      "r0 += 2",
      "goto end",
      "three:",
      "r0 += 30",
      "end:",
      "r0 += 100",
    ),
    r0: 130n,
  },
  {
    name: "irreducible flow: two entries into one loop",
    group: "base64",
    text: program(
      "r0 = 0",
      "r2 = 4",
      "r3 = 1",
      "if r3 == 1 goto b",
      "a:",
      "r0 += 1",
      "b:",
      "r0 += 10",
      "r2 -= 1",
      "if r2 != 0 goto a",
    ),
    r0: 43n,
  },
  {
    name: "prime test by trial division",
    group: "divmul64",
    text: program(
      "r1 = 67",
      "r0 = 0",
      "r2 = 2",
      "next:",
      "r3 = r1",
      "r3 %= r2",
      "if r3 == 0 goto end",
      "r2 += 1",
      "if r2 != r1 goto next",
      "r0 = 1",
      "end:",
    ),
    r0: 1n,
  },
];

export const JUMP_VECTORS: readonly Vector[] = [...conditionVectors(), ...FLOW];
