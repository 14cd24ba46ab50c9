/**
 * What maps answer to userspace, step by step. The expectations are Linux's (bpf(2)), and are asked of the
 * running kernel again wherever bpf() is permitted.
 */
import type { MapTypeName } from "../../../src/bpf/program.ts";

/** Keys and values in hex; the last field is the result: 0 or -errno, for `get` also the value. */
export type Step =
  | readonly ["set", key: string, value: string, flags: number, result: number]
  | readonly ["del", key: string, result: number]
  | readonly ["get", key: string, result: number, value?: string];

export type MapCase = {
  readonly name: string;
  readonly type: MapTypeName;
  readonly key: number;
  readonly value: number;
  readonly entries: number;
  readonly flags?: number;
  readonly steps: readonly Step[];
};

const ANY = 0;
const NO_EXIST = 1;
const EXIST = 2;
const LOCK = 4;
const [ENOENT, E2BIG, EEXIST, EINVAL] = [-2, -7, -17, -22];
const A = "01000000";
const B = "02000000";
const C = "03000000";
const OUT = "04000000";
const ONE = "1111111111111111";
const TWO = "2222222222222222";
const ZERO = "0000000000000000";

const HASH_STEPS: readonly Step[] = [
  ["get", A, ENOENT],
  ["set", A, ONE, EXIST, ENOENT],
  ["set", A, ONE, ANY, 0],
  ["get", A, 0, ONE],
  ["set", A, TWO, NO_EXIST, EEXIST],
  ["get", A, 0, ONE],
  ["set", A, TWO, EXIST, 0],
  ["get", A, 0, TWO],
  ["set", A, TWO, 3, EINVAL],
  ["set", A, TWO, LOCK, EINVAL],
  ["set", A, TWO, 8, EINVAL],
  ["set", B, ONE, NO_EXIST, 0],
  ["del", A, 0],
  ["del", A, ENOENT],
  ["get", A, ENOENT],
  ["get", B, 0, ONE],
];

export const MAP_CASES: readonly MapCase[] = [
  { name: "hash: the life of a key", type: "hash", key: 4, value: 8, entries: 4, steps: HASH_STEPS },
  {
    name: "hash without preallocation: the life of a key",
    type: "hash",
    key: 4,
    value: 8,
    entries: 4,
    flags: 1,
    steps: HASH_STEPS,
  },
  { name: "lru_hash: the life of a key", type: "lru_hash", key: 4, value: 8, entries: 4, steps: HASH_STEPS },
  {
    name: "hash: full",
    type: "hash",
    key: 4,
    value: 8,
    entries: 2,
    steps: [
      ["set", A, ONE, ANY, 0],
      ["set", B, ONE, ANY, 0],
      ["set", C, ONE, ANY, E2BIG],
      ["set", A, TWO, ANY, 0],
      ["get", A, 0, TWO],
      ["del", B, 0],
      ["set", C, ONE, ANY, 0],
      ["get", C, 0, ONE],
    ],
  },
  {
    name: "hash: keys and values of odd sizes",
    type: "hash",
    key: 5,
    value: 3,
    entries: 4,
    steps: [
      ["set", "0102030405", "aabbcc", ANY, 0],
      ["set", "0102030406", "ddeeff", ANY, 0],
      ["get", "0102030405", 0, "aabbcc"],
      ["get", "0102030406", 0, "ddeeff"],
      ["get", "0102030407", ENOENT],
    ],
  },
  {
    name: "array: every index has its value",
    type: "array",
    key: 4,
    value: 8,
    entries: 4,
    steps: [
      ["get", A, 0, ZERO],
      ["set", A, ONE, NO_EXIST, EEXIST],
      ["set", A, ONE, EXIST, 0],
      ["get", A, 0, ONE],
      ["set", A, TWO, ANY, 0],
      ["get", A, 0, TWO],
      ["del", A, EINVAL],
      ["get", OUT, ENOENT],
      ["set", OUT, ONE, ANY, E2BIG],
      ["set", A, ONE, LOCK, EINVAL],
      ["set", A, ONE, 3, EINVAL],
      ["del", OUT, EINVAL],
    ],
  },
  {
    name: "array: values of odd size do not touch",
    type: "array",
    key: 4,
    value: 5,
    entries: 4,
    steps: [
      ["set", A, "1111111111", ANY, 0],
      ["set", B, "2222222222", ANY, 0],
      ["get", A, 0, "1111111111"],
      ["get", C, 0, "0000000000"],
    ],
  },
];

export type DefinitionCase = {
  readonly name: string;
  readonly type: MapTypeName;
  readonly key: number;
  readonly value: number;
  readonly entries: number;
  readonly flags: number;
  /** 0 or -errno. */
  readonly result: number;
};

const define = (
  type: MapTypeName,
  key: number,
  value: number,
  entries: number,
  flags: number,
  result: number,
): DefinitionCase => ({
  name: `${type} key ${key} value ${value} entries ${entries} flags ${flags}`,
  type,
  key,
  value,
  entries,
  flags,
  result,
});

export const DEFINITION_CASES: readonly DefinitionCase[] = [
  define("array", 4, 8, 1, 0, 0),
  define("array", 8, 8, 1, 0, EINVAL),
  define("array", 4, 0, 1, 0, EINVAL),
  define("array", 4, 8, 0, 0, EINVAL),
  define("array", 4, 0x8000_0000, 1, 0, E2BIG),
  define("array", 4, 8, 1, 1, EINVAL),
  define("array", 4, 8, 1, 1 << 10, 0),
  define("array", 4, 8, 1, 1 << 7, 0),
  define("array", 4, 8, 1, (1 << 7) | (1 << 8), EINVAL),
  define("percpu_array", 4, 8, 1, 0, 0),
  define("percpu_array", 4, 32768, 1, 0, 0),
  define("percpu_array", 4, 32769, 1, 0, E2BIG),
  define("percpu_array", 4, 8, 1, 1 << 10, EINVAL),
  define("hash", 4, 8, 1, 0, 0),
  define("hash", 0, 8, 1, 0, EINVAL),
  define("hash", 4, 0, 1, 0, EINVAL),
  define("hash", 4, 8, 0, 0, EINVAL),
  define("hash", 512, 8, 1, 0, 0),
  define("hash", 513, 8, 1, 0, 0),
  define("hash", 5_000_000, 8, 1, 0, E2BIG),
  define("array", 4, 8, 1, (1 << 3) | (1 << 4), EINVAL),
  define("hash", 8, 5_000_000, 1, 0, E2BIG),
  define("hash", 4, 8, 1, 1, 0),
  define("hash", 4, 8, 1, 2, EINVAL),
  define("hash", 4, 8, 1, 1 << 10, EINVAL),
  define("lru_hash", 4, 8, 1, 0, 0),
  define("lru_hash", 4, 8, 1, 1, -524),
  define("lru_hash", 4, 8, 64, 2, 0),
  define("percpu_hash", 4, 8, 1, 0, 0),
  define("percpu_hash", 4, 32769, 1, 0, E2BIG),
  define("prog_array", 4, 4, 8, 0, 0),
  define("prog_array", 4, 8, 8, 0, EINVAL),
  define("prog_array", 8, 4, 8, 0, EINVAL),
  define("prog_array", 4, 4, 0, 0, EINVAL),
  define("sockmap", 4, 4, 8, 0, 0),
  define("sockmap", 4, 8, 8, 0, 0),
  define("sockmap", 4, 16, 8, 0, EINVAL),
  define("sockmap", 8, 4, 8, 0, EINVAL),
  define("sockmap", 4, 4, 0, 0, EINVAL),
  define("sockhash", 16, 4, 8, 0, 0),
  define("sockhash", 16, 8, 8, 0, 0),
  define("sockhash", 0, 8, 8, 0, EINVAL),
  define("sockhash", 513, 8, 8, 0, E2BIG),
  define("sockhash", 16, 12, 8, 0, EINVAL),
];
