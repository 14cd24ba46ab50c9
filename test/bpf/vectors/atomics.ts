/** Atomic operations: both widths, with and without fetch; what they leave in memory and in registers. */
import { program, set, type Vector } from "./vector.ts";

const MEMORY = "f0ffffff000000001122334455667788";

/** sign or name; memory's first 8 bytes and r0 (the fetched value) after 64- and 32-bit forms with 0x1_0000_0011 */
const PLAIN: readonly [sign: string, after64: string, after32: string][] = [
  ["+=", "0100000002000000", "0100000000000000"],
  ["|=", "f1ffffff01000000", "f1ffffff00000000"],
  ["&=", "1000000000000000", "1000000000000000"],
  ["^=", "e1ffffff01000000", "e1ffffff00000000"],
];
const NAMES: Readonly<Record<string, string>> = { "+=": "add", "|=": "or", "&=": "and", "^=": "xor" };
const OPERAND = 0x1_0000_0011n;
const REST = "1122334455667788";

function plainVectors(): Vector[] {
  return PLAIN.flatMap(([sign, after64, after32]) =>
    [
      { width: 64 as const, type: "u64", reg: "r3", after: after64 },
      { width: 32 as const, type: "u32", reg: "w3", after: after32 },
    ].flatMap(({ width, type, reg, after }) => [
      {
        name: `lock ${sign} on ${type}`,
        group: `atomic${width}` as const,
        memory: MEMORY,
        text: program(set("r3", OPERAND), `lock *(${type} *)(r1 + 0) ${sign} ${reg}`, "r0 = r3"),
        r0: OPERAND,
        memoryAfter: after + REST,
      },
      {
        name: `fetch ${sign} on ${type} returns the old value`,
        group: `atomic${width}` as const,
        memory: MEMORY,
        text: program(
          set("r3", OPERAND),
          `${reg} = atomic_fetch_${NAMES[sign]}((${type} *)(r1 + 0), ${reg})`,
          "r0 = r3",
        ),
        r0: 0xffff_fff0n,
        memoryAfter: after + REST,
      },
    ]),
  );
}

const EXCHANGES: readonly Vector[] = [
  {
    name: "xchg64",
    group: "atomic64",
    memory: MEMORY,
    text: program(set("r3", 0x0102_0304_0506_0708n), "r3 = xchg_64(r1 + 8, r3)", "r0 = r3"),
    r0: 0x8877_6655_4433_2211n,
    memoryAfter: "f0ffffff000000000807060504030201",
  },
  {
    name: "xchg32 zero-extends what it fetched",
    group: "atomic32",
    memory: MEMORY,
    text: program(set("r3", 0x0102_0304_0506_0708n), "w3 = xchg32_32(r1 + 0, w3)", "r0 = r3"),
    r0: 0xffff_fff0n,
    memoryAfter: "08070605000000001122334455667788",
  },
  {
    name: "cmpxchg64 that matches",
    group: "atomic64",
    memory: MEMORY,
    text: program(set("r0", 0x8877_6655_4433_2211n), "r3 = 5", "r0 = cmpxchg_64(r1 + 8, r0, r3)"),
    r0: 0x8877_6655_4433_2211n,
    memoryAfter: "f0ffffff000000000500000000000000",
  },
  {
    name: "cmpxchg64 that does not match loads r0",
    group: "atomic64",
    memory: MEMORY,
    text: program("r0 = 1", "r3 = 5", "r0 = cmpxchg_64(r1 + 8, r0, r3)"),
    r0: 0x8877_6655_4433_2211n,
  },
  {
    name: "cmpxchg32 compares the low half only",
    group: "atomic32",
    memory: MEMORY,
    text: program(set("r0", 0xdead_ffff_fff0n), "r3 = 5", "w0 = cmpxchg32_32(r1 + 0, w0, w3)"),
    r0: 0xffff_fff0n,
    memoryAfter: "05000000000000001122334455667788",
  },
  {
    name: "cmpxchg32 that does not match zero-extends r0",
    group: "atomic32",
    memory: MEMORY,
    text: program(set("r0", 0xdead_0000_0001n), "r3 = 5", "w0 = cmpxchg32_32(r1 + 0, w0, w3)"),
    r0: 0xffff_fff0n,
  },
  {
    name: "an atomic on the stack",
    group: "atomic64",
    text: program(
      "*(u64 *)(r10 - 8) = 40",
      "r3 = 2",
      "lock *(u64 *)(r10 - 8) += r3",
      "r0 = *(u64 *)(r10 - 8)",
    ),
    r0: 42n,
  },
  {
    name: "fetch into the address register",
    group: "atomic64",
    memory: MEMORY,
    text: program("r3 = r1", "r4 = 3", "r4 = atomic_fetch_add((u64 *)(r3 + 8), r4)", "r0 = *(u64 *)(r3 + 8)"),
    r0: 0x8877_6655_4433_2214n,
    memoryAfter: "f0ffffff000000001422334455667788",
  },
];

export const ATOMIC_VECTORS: readonly Vector[] = [...plainVectors(), ...EXCHANGES];
