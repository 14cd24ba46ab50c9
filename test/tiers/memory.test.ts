import { describe, expect, test } from "vitest";
import { ITEM_OVERHEAD_BYTES, MemoryStore } from "../../src/tiers/cold/memory.ts";
import { type Item, ItemTooLarge, MARK, type NewItem } from "../../src/tiers/cold/store.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");
const item = (text: string, expiresAtMs = 0, flags = 0): NewItem => ({
  value: bytes(text),
  flags,
  expiresAtMs,
});

function storeAt(clock: { now: number }, bounds: Partial<{ maxBytes: number; maxEntries: number }> = {}) {
  return new MemoryStore({ maxBytes: 10_000, maxEntries: 100, ...bounds, now: () => clock.now });
}
const put = (store: MemoryStore, key: string, next: NewItem) =>
  store.update(key, (old) => ({ next, result: old === null }));

describe("MemoryStore", () => {
  test("an update sees the live item and its result is returned", () => {
    const store = storeAt({ now: 1 });
    expect(put(store, "k", item("v"))).toBe(true);
    expect(put(store, "k", item("w", 0, 7))).toBe(false);
    expect(store.get("k")).toMatchObject({ value: bytes("w"), flags: 7, expiresAtMs: 0 });
    store.update("k", () => ({ next: "keep", result: null }));
    expect(store.get("k")?.value).toEqual(bytes("w"));
    store.update("k", () => ({ next: "delete", result: null }));
    expect(store.get("k")).toBeNull();
  });

  test("cas never repeats, not even after delete and clear", () => {
    const store = storeAt({ now: 1 });
    const seen = new Set<bigint>();
    for (let i = 0; i < 10; i++) {
      put(store, "k", item("v"));
      seen.add(store.get("k")!.cas);
      if (i % 3 === 0) store.update("k", () => ({ next: "delete", result: null }));
      if (i % 4 === 0) store.clear();
    }
    expect(seen.size).toBe(10);
  });

  test("an item is gone at its expiry, to the millisecond", () => {
    const clock = { now: 1000 };
    const store = storeAt(clock);
    put(store, "k", item("v", 1500));
    clock.now = 1499;
    expect(store.get("k")).not.toBeNull();
    clock.now = 1500;
    expect(store.get("k")).toBeNull();
    expect(put(store, "k", item("w"))).toBe(true);
    expect(store.stats().expirations).toBe(1);
  });

  test("an item stored already expired is not there and evicts nothing", () => {
    const store = storeAt({ now: 1000 }, { maxEntries: 1 });
    put(store, "live", item("v"));
    put(store, "dead", item("v", 999));
    expect(store.get("dead")).toBeNull();
    expect(store.get("live")).not.toBeNull();
  });

  test("the entry bound evicts the least recently used", () => {
    const store = storeAt({ now: 1 }, { maxEntries: 2 });
    put(store, "a", item("1"));
    put(store, "b", item("2"));
    store.get("a");
    put(store, "c", item("3"));
    expect(store.get("b")).toBeNull();
    expect(store.get("a")).not.toBeNull();
    expect(store.stats()).toMatchObject({ items: 2, evictions: 1 });
  });

  test("the byte bound counts keys, values and the overhead", () => {
    const one = ITEM_OVERHEAD_BYTES + 1 + 100;
    const store = storeAt({ now: 1 }, { maxBytes: 3 * one });
    for (const key of ["a", "b", "c"]) put(store, key, item("x".repeat(100)));
    expect(store.stats()).toMatchObject({ items: 3, bytes: 3 * one, evictions: 0 });
    put(store, "d", item("x".repeat(101)));
    expect(store.get("a")).toBeNull();
    expect(store.stats().bytes).toBeLessThanOrEqual(3 * one);
  });

  test("an item over the whole bound is refused and the old one stays", () => {
    const store = storeAt({ now: 1 }, { maxBytes: 200 });
    put(store, "k", item("v"));
    expect(() => put(store, "k", item("x".repeat(500)))).toThrow(ItemTooLarge);
    expect(store.get("k")?.value).toEqual(bytes("v"));
  });

  test("an item keeps its cas when told to, and its marks", () => {
    const store = storeAt({ now: 1 });
    put(store, "k", item("v"));
    const cas = store.get("k")?.cas;
    store.update("k", (old) => ({ next: { ...(old as Item), marks: MARK.stale }, result: null }));
    expect(store.get("k")).toMatchObject({ cas, marks: MARK.stale });
    put(store, "k", item("w"));
    expect(store.get("k")?.cas).not.toBe(cas);
  });
});
