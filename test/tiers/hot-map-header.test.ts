/** The TypeScript mirrors of src/programs/hot_map.h, held against the header and the built object's BTF sizes. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseObject } from "../../src/bpf/elf/object.ts";
import { HOT_ENTRY, HOT_ENTRY_BYTES, HOT_KEY_MAX, HOT_VALUE_MAX } from "../../src/tiers/hot/layout.ts";
import { LRU_SLOTS_PER_ENTRY } from "../../src/tiers/hot/policy.ts";
import {
  RUN_INFO_WORD,
  RUN_REASONS,
  STAT_COUNT,
  STAT_VALUE_LOG2,
  STATS,
} from "../../src/tiers/hot/run-info.ts";

const PROGRAMS = new URL("../../src/programs/", import.meta.url);
/** Without comments; of the LRU policy's struct hot_entry, which has a stamp for the lock, nothing is left. */
const header = readFileSync(new URL("hot_map.h", PROGRAMS), "utf8")
  .replace(/\/\*[\s\S]*?\*\//g, "")
  .replace("\tu32 stamp;\n", "");

/** Constants of one C enum. */
function enumOf(name: string): Map<string, number> {
  const body = new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(header)![1]!;
  return new Map([...body.matchAll(/(\w+) = (\d+)/g)].map(([, key, value]) => [key!, Number(value)]));
}

/** Byte offsets of a C struct's fields: all are naturally aligned. */
function structOf(name: string): { offsets: Map<string, number>; bytes: number } {
  const body = new RegExp(`struct ${name} \\{([^}]*)\\}`).exec(header)![1]!;
  const sizes: Record<string, number> = { u8: 1, u16: 2, u32: 4, u64: 8, "struct bpf_spin_lock": 4 };
  const offsets = new Map<string, number>();
  let at = 0;
  for (const [, type, field, count] of body.matchAll(/(struct bpf_spin_lock|u\d+) (\w+)(?:\[(\d+)\])?;/g)) {
    const size = sizes[type!]!;
    at = Math.ceil(at / size) * size;
    offsets.set(field!, at);
    at += size * Number(count ?? 1);
  }
  return { offsets, bytes: Math.ceil(at / 8) * 8 };
}

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const define = (name: string) => Number(new RegExp(`#define ${name} (\\d+)`).exec(header)![1]);

describe("hot_map.h and its mirrors", () => {
  test("struct hot_entry lies as layout.ts says", () => {
    const { offsets, bytes } = structOf("hot_entry");
    expect(bytes).toBe(HOT_ENTRY_BYTES);
    expect(Object.entries(HOT_ENTRY).map(([field, at]) => [snake(field), at])).toEqual([...offsets]);
    expect([define("HOT_KEY_MAX"), define("HOT_VALUE_MAX")]).toEqual([HOT_KEY_MAX, HOT_VALUE_MAX]);
    expect(define("HOT_SLOTS_PER_ENTRY")).toBe(LRU_SLOTS_PER_ENTRY);
  });

  test("struct run_info lies as run-info.ts says", () => {
    const { offsets } = structOf("run_info");
    for (const [field, word] of Object.entries(RUN_INFO_WORD)) {
      expect(offsets.get(snake(field)), field).toBe(4 * word);
    }
  });

  test("reasons and counters have their numbers", () => {
    const reasons = enumOf("run_reason");
    reasons.delete("RUN_UNFRAMED"); // a bound, not a reason
    expect(new Map(RUN_REASONS.map(({ name, code }) => [`RUN_${name}`, code]))).toEqual(reasons);
    const stats = enumOf("hot_stat");
    expect([stats.get("STAT_VALUE_LOG2"), stats.get("STAT_COUNT")]).toEqual([STAT_VALUE_LOG2, STAT_COUNT]);
    stats.delete("STAT_VALUE_LOG2");
    stats.delete("STAT_COUNT");
    expect(new Map(STATS.map(({ name, index }) => [`STAT_${name}`, index]))).toEqual(stats);
  });

  test("the built object's maps have those sizes", () => {
    const parsed = parseObject(readFileSync(new URL("http_kv.bpf.o", PROGRAMS)));
    if (!parsed.ok) throw new Error(parsed.error.message);
    const bytes = Object.fromEntries(parsed.object.maps.map((map) => [map.name, map.valueBytes]));
    expect(bytes).toMatchObject({
      hot_map: HOT_ENTRY_BYTES,
      stats: 8 * STAT_COUNT,
      run_info: structOf("run_info").bytes,
    });
  });
});
