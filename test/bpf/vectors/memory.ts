/** Loads and stores of every width, sign extension, the stack, and stray accesses that must fail cleanly. */
import { program, set, type Vector } from "./vector.ts";

const BYTES = "1122334455667788";
const NEGATIVE = "80ff00807f0000000100008000000080";

const LOADS: readonly [line: string, memory: string, r0: bigint, group: Vector["group"]][] = [
  ["r0 = *(u8 *)(r1 + 0)", BYTES, 0x11n, "base32"],
  ["r0 = *(u8 *)(r1 + 7)", BYTES, 0x88n, "base32"],
  ["r0 = *(u16 *)(r1 + 0)", BYTES, 0x2211n, "base32"],
  ["r0 = *(u16 *)(r1 + 6)", BYTES, 0x8877n, "base32"],
  ["r0 = *(u32 *)(r1 + 0)", BYTES, 0x44332211n, "base32"],
  ["r0 = *(u32 *)(r1 + 4)", BYTES, 0x88776655n, "base32"],
  ["r0 = *(u64 *)(r1 + 0)", BYTES, 0x8877665544332211n, "base64"],
  ["r0 = *(s8 *)(r1 + 0)", NEGATIVE, 0xffff_ffff_ffff_ff80n, "base64"],
  ["r0 = *(s8 *)(r1 + 4)", NEGATIVE, 0x7fn, "base64"],
  ["r0 = *(s16 *)(r1 + 0)", NEGATIVE, 0xffff_ffff_ffff_ff80n, "base64"],
  ["r0 = *(s16 *)(r1 + 2)", NEGATIVE, 0xffff_ffff_ffff_8000n, "base64"],
  ["r0 = *(s32 *)(r1 + 0)", NEGATIVE, 0xffff_ffff_8000_ff80n, "base64"],
  ["r0 = *(s32 *)(r1 + 4)", NEGATIVE, 0x7fn, "base64"],
  ["r0 = *(s32 *)(r1 + 8)", NEGATIVE, 0xffff_ffff_8000_0001n, "base64"],
];

const STORES: readonly [line: string, after: string][] = [
  ["*(u8 *)(r1 + 1) = r2", "00ef000000000000"],
  ["*(u16 *)(r1 + 2) = r2", "0000efcd00000000"],
  ["*(u32 *)(r1 + 4) = r2", "00000000efcdab89"],
  ["*(u64 *)(r1 + 0) = r2", "efcdab8967452301"],
  ["*(u8 *)(r1 + 0) = -2", "fe00000000000000"],
  ["*(u16 *)(r1 + 6) = -2", "000000000000feff"],
  ["*(u32 *)(r1 + 0) = -2", "feffffff00000000"],
  ["*(u64 *)(r1 + 0) = -2", "feffffffffffffff"],
  ["*(u64 *)(r1 + 0) = 2147483647", "ffffff7f00000000"],
];

const STRAY: readonly [name: string, ...lines: string[]][] = [
  ["a load past the memory's end", "r0 = *(u8 *)(r1 + 8)"],
  ["a load that straddles the end", "r0 = *(u32 *)(r1 + 6)"],
  ["a load before the memory", "r0 = *(u8 *)(r1 - 1)"],
  ["a load from NULL", "r2 = 0", "r0 = *(u64 *)(r2 + 0)"],
  ["a load from a small address", "r2 = 4096", "r0 = *(u64 *)(r2 + 8)"],
  [
    "a load from beyond 4 GiB that wraps to the memory",
    set("r2", 1n << 32n),
    "r2 += r1",
    "r0 = *(u8 *)(r2 + 0)",
  ],
  ["a load from a negative address", "r2 = -8", "r0 = *(u64 *)(r2 + 0)"],
  ["a store past the memory's end", "*(u64 *)(r1 + 1) = 0"],
  ["a store to NULL", "r2 = 0", "*(u8 *)(r2 + 0) = 1"],
  ["a store at the top of the address space", set("r2", 0xffff_fffcn), "*(u64 *)(r2 + 0) = 1"],
  ["an atomic past the end", "r2 = 1", "lock *(u64 *)(r1 + 4) += r2"],
  ["a pointer below the whole stack", "r2 = r10", "r2 += -4104", "r0 = *(u64 *)(r2 + 0)"],
  ["a pointer above the stack", "r2 = r10", "r2 += 8", "r0 = *(u64 *)(r2 - 4)"],
];

const STACK: readonly Vector[] = [
  {
    name: "the stack holds 512 bytes",
    group: "base64",
    text: program(
      "*(u64 *)(r10 - 512) = 5",
      "*(u64 *)(r10 - 8) = 6",
      "r0 = *(u64 *)(r10 - 512)",
      "r2 = *(u64 *)(r10 - 8)",
      "r0 += r2",
    ),
    r0: 11n,
  },
  {
    name: "bytes of a stored word are little-endian",
    group: "base32",
    text: program("*(u32 *)(r10 - 4) = 0x01020304", "r0 = *(u8 *)(r10 - 4)"),
    r0: 4n,
  },
  {
    name: "unaligned accesses overlap",
    group: "base64",
    text: program(
      "*(u64 *)(r10 - 8) = 0",
      "*(u64 *)(r10 - 16) = 0",
      "*(u32 *)(r10 - 10) = -1",
      "r0 = *(u64 *)(r10 - 8)",
    ),
    r0: 0xffffn,
    notLinux: "its verifier refuses a misaligned store to the stack",
  },
  {
    name: "a copied frame pointer",
    group: "base64",
    text: program("r2 = r10", "r2 += -16", "*(u64 *)(r2 + 8) = 77", "r0 = *(u64 *)(r10 - 8)"),
    r0: 77n,
  },
  {
    name: "r1 and r2 are memory and length",
    group: "base64",
    memory: "0000000000",
    text: program("r0 = r2"),
    r0: 5n,
  },
  { name: "without memory r1 and r2 are 0", group: "base64", text: program("r0 = r1", "r0 |= r2"), r0: 0n },
  {
    name: "bytes summed in a loop",
    group: "base64",
    memory: "0102030405060708",
    text: program(
      "r0 = 0",
      "r3 = 0",
      "again:",
      "r4 = r1",
      "r4 += r3",
      "r5 = *(u8 *)(r4 + 0)",
      "r0 += r5",
      "r3 += 1",
      "if r3 < 8 goto again",
    ),
    r0: 36n,
  },
];

const PACKET: readonly Vector[] = [
  {
    name: "absolute byte",
    group: "packet",
    memory: BYTES,
    text: program("r6 = r1", "r0 = *(u8 *)skb[1]"),
    r0: 0x22n,
  },
  {
    name: "absolute half word is big-endian",
    group: "packet",
    memory: BYTES,
    text: program("r6 = r1", "r0 = *(u16 *)skb[2]"),
    r0: 0x3344n,
  },
  {
    name: "absolute word is big-endian",
    group: "packet",
    memory: BYTES,
    text: program("r6 = r1", "r0 = *(u32 *)skb[4]"),
    r0: 0x55667788n,
  },
  {
    name: "indirect byte",
    group: "packet",
    memory: BYTES,
    text: program("r6 = r1", "r2 = 3", "r0 = *(u8 *)skb[r2 + 2]"),
    r0: 0x66n,
  },
  {
    name: "indirect half word",
    group: "packet",
    memory: BYTES,
    text: program("r6 = r1", "r2 = 1", "r0 = *(u16 *)skb[r2 + 2]"),
    r0: 0x4455n,
  },
  {
    name: "indirect word",
    group: "packet",
    memory: BYTES,
    text: program("r6 = r1", "r2 = 4", "r0 = *(u32 *)skb[r2 - 3]"),
    r0: 0x22334455n,
  },
  {
    name: "past the end: the program ends with 0",
    group: "packet",
    memory: BYTES,
    text: program("r6 = r1", "r0 = 5", "r0 = *(u32 *)skb[5]", "r0 = 7"),
    r0: 0n,
  },
].map((vector) => ({
  ...vector,
  group: "packet" as const,
  notLinux: "its legacy loads read an skb, not a block of memory",
}));

export const MEMORY_VECTORS: readonly Vector[] = [
  ...LOADS.map(([line, memory, r0, group]) => ({ name: line, group, memory, text: program(line), r0 })),
  ...STORES.map(([line, memoryAfter]) => ({
    name: line,
    group: line.includes("u64") ? ("base64" as const) : ("base32" as const),
    memory: "0000000000000000",
    text: program(set("r2", 0x0123_4567_89ab_cdefn), line, "r0 = 0"),
    r0: 0n,
    memoryAfter,
  })),
  ...STRAY.map(([name, ...lines]) => ({
    name,
    group: "base64" as const,
    memory: BYTES,
    text: program("r0 = 0", ...lines),
    r0: "fault" as const,
    notLinux: "its verifier refuses the program",
  })),
  ...STACK,
  ...PACKET,
];
