import { describe, expect, test } from "vitest";
import { MemoryStore } from "../../src/tiers/cold/memory.ts";
import type { Change, ColdStore, Item, Key } from "../../src/tiers/cold/store.ts";
import { Admission } from "../../src/tiers/hot/admission.ts";
import type { FillRace } from "../../src/tiers/hot/hot-tier.ts";
import { fnv1a, HOT_ENTRY } from "../../src/tiers/hot/layout.ts";
import { HotMachine } from "../../src/tiers/hot/machine.ts";
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

function tiers(fillRace: FillRace = "safe") {
  const store = new SteppedStore();
  const { hot, kernel } = new HotMachine({ entries: 64, engine: "jit", fillRace });
  const cache = new TieredCache(store, hot, new Admission("always", 1000));
  const served = (key: Key): string | null => {
    const slot = hot.slotOf(fnv1a(key));
    const { view, bytes } = kernel.rt.memory;
    if ((view.getUint8(slot + HOT_ENTRY.state) & 1) === 0) return null;
    const at = slot + HOT_ENTRY.value;
    return Buffer.from(bytes.slice(at, at + view.getUint16(slot + HOT_ENTRY.valueLen, true))).toString();
  };
  const put = (key: Key, value: string) =>
    cache.update(key, () => ({
      next: { value: Buffer.from(value), flags: 0, expiresAtMs: 0 },
      result: true,
    }));
  return { store, cache, hot, served, put };
}

async function oldReadMeetsNewWrite(fillRace: FillRace) {
  const { store, cache, served, put, hot } = tiers(fillRace);
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

describe("coherence of the two tiers over a slow cold tier", () => {
  test("a fill that lost a race with a write is dropped", async () => {
    expect(await oldReadMeetsNewWrite("safe")).toEqual({ served: null, raced: 1 });
  });

  test("without the generation check the same steps serve a stale value", async () => {
    expect(await oldReadMeetsNewWrite("unsafe")).toEqual({ served: "old", raced: 0 });
  });

  test("a read that begins and ends inside a write does not fill", async () => {
    const { store, cache, served, put } = tiers();
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
    const { hot } = new HotMachine({ entries: 64, engine: "jit" });
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
    const { store, cache, served, put } = tiers();
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
    const { store, cache, served, put } = tiers();
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
