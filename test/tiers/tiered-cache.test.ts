import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseObject } from "../../src/bpf/elf/object.ts";
import type { BpfMap } from "../../src/bpf/maps/map.ts";
import { MemoryStore } from "../../src/tiers/cold/memory.ts";
import type { Change, ColdStore, Item, Key } from "../../src/tiers/cold/store.ts";
import { Admission } from "../../src/tiers/hot/admission.ts";
import type { FillRace } from "../../src/tiers/hot/hot-tier.ts";
import { fnv1a, HOT_ENTRY } from "../../src/tiers/hot/layout.ts";
import { HotMachine } from "../../src/tiers/hot/machine.ts";
import { HOT_POLICIES, type HotPolicy, POLICY_TABLE } from "../../src/tiers/hot/policy.ts";
import { TieredCache } from "../../src/tiers/tiered-cache.ts";

/** A store whose every step waits until the test lets it go, in the order the test likes. */
class SteppedStore implements ColdStore {
  readonly name = "stepped";
  readonly inner = new MemoryStore({ maxBytes: 1e6, maxEntries: 100 });
  readonly #steps: (() => void)[] = [];
  failNext = false;
  #later<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) =>
      this.#steps.push(() => {
        if (this.failNext) reject(new Error("the store failed"));
        else resolve(work());
        this.failNext = false;
      }),
    );
  }
  /** Answers the oldest read or write that waits. */
  async step(index = 0): Promise<void> {
    this.#steps.splice(index, 1)[0]!();
    await new Promise((resolve) => setImmediate(resolve));
  }
  get(key: Key) {
    const item = this.inner.get(key); // read now, told later
    return this.#later(() => item);
  }
  update<T>(key: Key, change: (old: Item | null) => Change<T>) {
    return this.#later(() => this.inner.update(key, change));
  }
  clear() {
    return this.#later(() => this.inner.clear());
  }
  stats() {
    return this.inner.stats();
  }
  close() {}
}

const u32 = (n: number): Uint8Array => new Uint8Array(new Uint32Array([n]).buffer);

/** The live entry of a hash as programs find it, or null. */
function liveEntry(machine: HotMachine, hash: number): Buffer | null {
  const { entryMap, slotMap, ways } = POLICY_TABLE[machine.policy];
  const entries = machine.map(entryMap.name)!;
  const at = (map: BpfMap, index: number): Buffer | null => {
    const bytes = map.get(u32(index));
    return bytes && Buffer.from(bytes);
  };
  if (slotMap !== null) {
    const guards = machine.map(slotMap.name)!;
    const generation = at(guards, hash % guards.def.maxEntries)!.readUInt32LE(HOT_ENTRY.generation);
    const entry = at(entries, hash);
    return entry?.readUInt32LE(HOT_ENTRY.generation) === generation ? entry : null;
  }
  const first = (hash % (machine.hot.entries / ways)) * ways;
  for (let way = 0; way < ways; way++) {
    const entry = at(entries, first + way)!;
    if ((entry.readUInt8(HOT_ENTRY.state) & 1) === 1 && entry.readUInt32LE(HOT_ENTRY.hash) === hash)
      return entry;
  }
  return null;
}

function tiers(policy: HotPolicy, fillRace: FillRace = "safe") {
  const store = new SteppedStore();
  const machine = new HotMachine({ entries: 64, engine: "jit", policy, fillRace });
  const { hot } = machine;
  const cache = new TieredCache(store, hot, new Admission("always", 1000));
  const served = (key: Key): string | null => {
    const entry = liveEntry(machine, fnv1a(key));
    const end = HOT_ENTRY.value + (entry?.readUInt16LE(HOT_ENTRY.valueLen) ?? 0);
    return entry?.toString("latin1", HOT_ENTRY.value, end) ?? null;
  };
  const put = (key: Key, value: string) =>
    cache.update(key, () => ({
      next: { value: Buffer.from(value), flags: 0, expiresAtMs: 0 },
      result: true,
    }));
  const overwriteWriters = (key: Key, writers: number): void =>
    machine.kernel.rt.memory.view.setUint32(hot.slotOf(fnv1a(key)) + HOT_ENTRY.writers, writers, true);
  return { store, cache, hot, served, put, overwriteWriters };
}

async function oldReadMeetsNewWrite(policy: HotPolicy, fillRace: FillRace) {
  const { store, cache, served, put, hot } = tiers(policy, fillRace);
  const first = put("k", "old");
  await store.step();
  await first;
  const read = cache.get("k"); // has read "old", not told yet
  const write = put("k", "new");
  await store.step(1);
  await write; // acknowledged: from here on "old" must not be served
  await store.step(0);
  await read;
  return { served: served("k"), raced: hot.rejected.raced };
}

describe.each(HOT_POLICIES)("coherence of the two tiers over a slow cold tier, policy %s", (policy) => {
  test("a fill that lost a race with a write is dropped", async () => {
    expect(await oldReadMeetsNewWrite(policy, "safe")).toEqual({ served: null, raced: 1 });
  });

  test("without the generation check the same steps serve a stale value", async () => {
    expect(await oldReadMeetsNewWrite(policy, "unsafe")).toEqual({ served: "old", raced: 0 });
  });

  test("a read that begins and ends inside a write does not fill", async () => {
    const { store, cache, served, put } = tiers(policy);
    const first = put("k", "old");
    await store.step();
    await first;
    const write = put("k", "new");
    const read = cache.get("k");
    await store.step(1);
    await read;
    expect(served("k")).toBeNull();
    await store.step(0);
    await write;
    const again = cache.get("k");
    await store.step();
    await again;
    expect(served("k")).toBe("new");
  });

  test.each([
    [
      "an item that expires moves the slot's generation, so that no reply without its expiry fills",
      60_000,
      1,
    ],
    ["an item that never expires leaves it", 0, 0],
  ])("on a read, %s", async (_, ttlMs, moved) => {
    const store = new MemoryStore({ maxBytes: 1e6, maxEntries: 100 });
    const { hot } = new HotMachine({ entries: 64, engine: "jit", policy });
    const cache = new TieredCache(store, hot, new Admission("never", 1000));
    const expiresAtMs = ttlMs === 0 ? 0 : Date.now() + ttlMs;
    await cache.update("k" as Key, () => ({
      next: { value: Buffer.from("v"), flags: 0, expiresAtMs },
      result: true,
    }));
    const slot = hot.slotOf(fnv1a("k" as Key));
    const before = hot.generation(slot);
    expect(await cache.get("k" as Key)).not.toBeNull();
    expect(hot.generation(slot) - before).toBe(moved);
  });

  test("a cold write that fails ends the write: later reads fill again", async () => {
    const { store, cache, served, put } = tiers(policy);
    const first = put("k", "old");
    await store.step();
    await first;
    store.failNext = true;
    const failed = expect(put("k", "new")).rejects.toThrow("the store failed");
    await store.step();
    await failed;
    expect(served("k")).toBeNull();
    const read = cache.get("k");
    await store.step();
    await read;
    expect(served("k")).toBe("old");
  });

  test("clear empties the hot tier and stops fills under way", async () => {
    const { store, cache, served, put } = tiers(policy);
    const first = put("k", "old");
    await store.step();
    await first;
    const read = cache.get("k");
    const cleared = cache.clear();
    await store.step(1);
    await cleared;
    await store.step(0);
    await read;
    expect(served("k")).toBeNull();
  });

  test("clear counts the writes under way anew, whatever a program made of their number", async () => {
    const { store, cache, served, put, hot, overwriteWriters } = tiers(policy);
    const first = put("k", "old");
    await store.step();
    await first;
    const write = put("k", "new");
    overwriteWriters("k", 7);
    hot.clear();
    const early = cache.get("k");
    await store.step(1);
    await early;
    expect(served("k")).toBeNull(); // the write is still waited for
    overwriteWriters("k", 0xffff_ffff);
    hot.clear();
    await store.step();
    await write;
    const read = cache.get("k");
    await store.step();
    await read;
    expect(served("k")).toBe("new");
  });
});

describe.each([
  ["direct", 1],
  ["set", 2],
  ["lru", 2],
] as const)("two keys of one slot, policy %s", (policy, kept) => {
  test(`${kept} of them stay hot, the fill that pushes one out is counted, a write ends its own key`, async () => {
    const machine = new HotMachine({ entries: 4, engine: "jit", policy });
    const store = new MemoryStore({ maxBytes: 1e6, maxEntries: 100 });
    const cache = new TieredCache(store, machine.hot, new Admission("always", 1000));
    // Equal modulo 4, and so in one slot or set; of different guards under lru.
    const names = Array.from({ length: 100 }, (_, i) => `key${i}` as Key);
    const [one, two] = names.filter((key) => fnv1a(key) % 4 === 1) as [Key, Key];
    const isLive = (key: Key): boolean => liveEntry(machine, fnv1a(key)) !== null;
    for (const key of [one, two]) {
      const next = { value: Buffer.from(key), flags: 0, expiresAtMs: 0 };
      await cache.update(key, () => ({ next, result: true }));
    }
    for (const key of [one, two]) await cache.get(key);
    expect([one, two].filter(isLive)).toHaveLength(kept);
    expect([machine.hot.countValid(), machine.hot.collisions]).toEqual([kept, 2 - kept]);
    expect(machine.hot.keyOf(fnv1a(two))).toBe(two);
    machine.hot.invalidate(two);
    expect([isLive(one), isLive(two)]).toEqual([kept === 2, false]);
    machine.hot.clear();
    expect(machine.hot.countValid()).toBe(0);
  });
});

test("a program built for another policy is refused by name", () => {
  const parsed = parseObject(readFileSync("src/programs/memcached_set.bpf.o"));
  if (!parsed.ok) throw new Error(parsed.error.message);
  const machine = new HotMachine({ entries: 64, engine: "jit", policy: "lru" });
  expect(() => machine.loadWithTailCalls(parsed.object, "rx_filter")).toThrow(
    "keeps its entries in 'hot_set4', which is policy set; this hot tier is lru. Build it with -DHOT_LRU, or serve with --hot-policy set",
  );
});

describe("admission", () => {
  test("second-request admits at the second read within the window", () => {
    const rule = new Admission("second-request", 1000);
    expect([
      rule.admits(7, 5000),
      rule.admits(7, 5999),
      rule.admits(7, 9000),
      rule.admits(7, 10_001),
    ]).toEqual([false, true, false, false]);
  });

  test("always and never do as they say", () => {
    expect(new Admission("always", 1).admits(1, 1)).toBe(true);
    expect(new Admission("never", 1).admits(1, 1)).toBe(false);
  });
});
