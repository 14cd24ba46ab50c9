/** Every type of map around its bounds: which definitions the running kernel creates, and which errno it answers. */
import { describe, expect, test } from "vitest";
import { mapProblem } from "../../../src/bpf/maps/define.ts";
import { isMapOfMaps, LINUX_MAP_TYPES, type MapDef, type MapTypeName } from "../../../src/bpf/program.ts";
import { linuxOracle, whySkipped } from "../../oracle/linux-oracle.ts";
import { createLines } from "../verifier/kernel-verdict.ts";

const oracle = linuxOracle();

type Sizes = readonly [keyBytes: number, valueBytes: number, maxEntries: number, flags: number];

/** A definition of each type that Linux takes. */
const TAKEN: Readonly<Record<MapTypeName, Sizes>> = {
  hash: [8, 8, 4, 0],
  array: [4, 8, 4, 0],
  prog_array: [4, 4, 4, 0],
  percpu_hash: [8, 8, 4, 0],
  percpu_array: [4, 8, 4, 0],
  lru_hash: [8, 8, 64, 0],
  sockmap: [4, 4, 4, 0],
  sockhash: [8, 4, 4, 0],
  perf_event_array: [4, 4, 4, 0],
  stack_trace: [4, 32, 4, 0],
  cgroup_array: [4, 4, 4, 0],
  lru_percpu_hash: [8, 8, 64, 0],
  lpm_trie: [8, 8, 4, 1],
  array_of_maps: [4, 4, 4, 0],
  hash_of_maps: [8, 4, 4, 0],
  devmap: [4, 4, 4, 0],
  cpumap: [4, 4, 2, 0],
  xskmap: [4, 4, 4, 0],
  queue: [0, 8, 4, 0],
  stack: [0, 8, 4, 0],
  devmap_hash: [4, 4, 4, 0],
  ringbuf: [0, 0, 4096, 0],
  bloom_filter: [0, 8, 4, 0],
};

const KEYS = [0, 1, 4, 5, 8, 260, 261, 512, 513];
const VALUES = [
  0, 1, 4, 5, 8, 12, 16, 32, 1016, 1024, 4064, 4096, 32_768, 32_769, 4_194_024, 4_194_025, 4_194_247,
  4_194_248, 4_194_304, 4_194_305,
];
const ENTRIES = [0, 1, 3, 4096, 6144, 12_288];
const ZERO_SEED = 1 << 6;
const FLAGS = [
  ...Array.from({ length: 16 }, (_, bit) => 1 << bit),
  (1 << 3) | (1 << 4),
  (1 << 7) | (1 << 8),
  (1 << 1) | (1 << 2),
];

function define(type: MapTypeName, [keyBytes, valueBytes, maxEntries, flags]: Sizes): MapDef {
  const inner = isMapOfMaps(type) ? { inner: define("array", TAKEN.array) } : {};
  return { name: "m", type, keyBytes, valueBytes, maxEntries, flags, ...inner };
}

function around(type: MapTypeName): MapDef[] {
  const [key, value, entries, flags] = TAKEN[type];
  const stackBuildId = 1 << 5;
  const sizes: Sizes[] = [
    [key, value, entries, flags],
    ...KEYS.map((k): Sizes => [k, value, entries, flags]),
    ...VALUES.map((v): Sizes => [key, v, entries, flags]),
    ...ENTRIES.filter((e) => type !== "cpumap" || e < 4).map((e): Sizes => [key, value, e, flags]),
    ...FLAGS.map((f): Sizes => [key, value, entries, flags ^ f]),
    ...(type === "stack_trace" ? VALUES.map((v): Sizes => [key, v, entries, stackBuildId]) : []),
  ];
  // A hash of values this large is as large as its entries say, whatever else is wrong with it.
  return sizes.map((row) => define(type, row)).filter((def) => def.valueBytes * def.maxEntries < 2 ** 26);
}

function agree(defs: readonly MapDef[]): void {
  if (typeof oracle === "string") return;
  const kernel = oracle.ask(defs.map(createLines)).map((lines) => Number(lines.at(-1)?.split(" ")[1]));
  const differing = defs.flatMap((def, i) => {
    const ours = -(mapProblem(def)?.errno ?? 0) + 0;
    return ours === kernel[i] ? [] : [{ ...def, ours, kernel: kernel[i] }];
  });
  expect(differing).toEqual([]);
}

describe.skipIf(typeof oracle === "string")(
  `creating maps as the running kernel does${whySkipped(oracle)}`,
  () => {
    test.each(LINUX_MAP_TYPES)("$name", ({ name }) => {
      agree(around(name));
    });

    test("a map of maps, by what is inside", () => {
      const insides = LINUX_MAP_TYPES.map(({ name }) => define(name, TAKEN[name]));
      agree(insides.map((inner) => ({ ...define("array_of_maps", TAKEN.array_of_maps), inner })));
    });
  },
);

test("a zero seed is for hashes", () => {
  const takes = LINUX_MAP_TYPES.filter(({ name }) => {
    const [key, value, entries, flags] = TAKEN[name];
    return mapProblem(define(name, [key, value, entries, flags | ZERO_SEED])) === null;
  });
  expect(takes.map(({ name }) => name)).toEqual([
    "hash",
    "percpu_hash",
    "lru_hash",
    "lru_percpu_hash",
    "hash_of_maps",
    "bloom_filter",
  ]);
});

test.each([
  [
    define("ringbuf", [0, 0, 5000, 0]),
    "max_entries is 5000; a ring has a power of two of bytes, in whole pages of 4096",
  ],
  [define("ringbuf", [4, 0, 4096, 0]), "key_size is 4; there are no keys"],
  [define("queue", [0, 0, 4, 0]), "value_size is 0; it must be at least 1"],
  [define("lpm_trie", [4, 8, 4, 1]), "key_size is 4; it must be 5 to 260"],
  [define("lpm_trie", [8, 8, 4, 0]), "a trie needs map_flags BPF_F_NO_PREALLOC"],
  [define("devmap", [4, 16, 4, 0]), "value_size is 16; it must be 4 or 8"],
  [define("stack_trace", [4, 12, 4, 0]), "value_size is 12; it must be 1 to 127 frames of 8 bytes"],
  [define("cpumap", [4, 4, 9000, 0]), "max_entries is 9000; at most 8192 CPUs"],
  [
    { ...define("hash_of_maps", TAKEN.hash_of_maps), inner: define("hash", [0, 8, 4, 0]) },
    "the maps inside (hash): key_size is 0; it must be at least 1",
  ],
  [
    { ...define("hash_of_maps", TAKEN.hash_of_maps), inner: define("prog_array", TAKEN.prog_array) },
    "a prog_array cannot be inside: no two are known to be alike",
  ],
] as const)("says what is wrong with a map: %o", (def, message) => {
  expect(mapProblem(def)?.message).toBe(`map 'm' (${def.type}): ${message}`);
});
