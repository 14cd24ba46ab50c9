/** The in-memory store behind message ports, as workers use it; here all ends are in one thread. */
import { MessageChannel } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { MemoryStore } from "../../../src/tiers/cold/memory.ts";
import { PortStore, StoreOwner, sharedStats } from "../../../src/tiers/cold/shared-store.ts";
import { type Change, type Item, ItemTooLarge, StoreUnavailable } from "../../../src/tiers/cold/store.ts";

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

function rig(askers: number, { maxPending = 100, maxBytes = 1e6 } = {}) {
  const store = new MemoryStore({ maxBytes, maxEntries: 1000 });
  const stats = sharedStats();
  const owner = new StoreOwner(store, stats);
  const ends = Array.from({ length: askers }, () => {
    const { port1, port2 } = new MessageChannel();
    owner.serve(port1);
    const asker = new PortStore({ port: port2, stats, maxPending });
    open.push(
      () => port1.close(),
      () => void asker.close(),
    );
    return { asker, hangUp: () => port1.close() };
  });
  return { store, ends, askers: ends.map(({ asker }) => asker) };
}

const text = (item: Item | null) => item && Buffer.from(item.value).toString("latin1");
const put =
  (value: string, more: Partial<Item> = {}) =>
  (old: Item | null): Change<Item | null> => ({
    next: { value: Buffer.from(value), flags: 0, expiresAtMs: 0, ...more },
    result: old,
  });

describe("one store asked over ports", () => {
  it("what one stored the other reads: value, flags, expiry, cas, marks", async () => {
    const { askers, store } = rig(2);
    const [a, b] = askers;
    let cas = 0n;
    const stored = (given: bigint) => {
      cas = given;
    };
    const more = { flags: 7, expiresAtMs: Date.now() + 60_000, marks: 3 };
    expect(await a!.update("k", (old) => ({ ...put("v", more)(old), stored }))).toBeNull();
    const item = await b!.get("k");
    expect(text(item)).toBe("v");
    expect(Buffer.isBuffer(item?.value)).toBe(true);
    expect(item).toMatchObject({ ...more, cas });
    expect(cas).toBe(store.get("k")?.cas);
    expect(b!.stats()).toEqual(store.stats());
  });

  it("increments from all at once are all counted", async () => {
    const { askers } = rig(4, { maxPending: 1000 });
    const more = (old: Item | null): Change<number> => {
      const n = Number(text(old) ?? 0) + 1;
      return { next: { value: Buffer.from(String(n)), flags: 0, expiresAtMs: 0 }, result: n };
    };
    const all = await Promise.all(
      askers.flatMap((a) => Array.from({ length: 50 }, () => a.update("n", more))),
    );
    expect([...all].sort((x, y) => x - y)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
  });

  it("a touch keeps the cas, a delete deletes, keep keeps, clear empties", async () => {
    const [a] = rig(1).askers;
    await a!.update("k", put("v"));
    const cas = (await a!.get("k"))?.cas;
    await a!.update("k", (old) => ({ next: { ...(old as Item), expiresAtMs: 1e15 }, result: null }));
    expect(await a!.get("k")).toMatchObject({ cas, expiresAtMs: 1e15 });
    expect(await a!.update("k", () => ({ next: "keep", result: 5 }))).toBe(5);
    await a!.update("k", () => ({ next: "delete", result: null }));
    expect(await a!.get("k")).toBeNull();
    await a!.update("k", put("v"));
    await a!.clear();
    expect(a!.stats().items).toBe(0);
  });

  it("a value that is a slice of a large buffer goes alone", async () => {
    const { askers, store } = rig(1);
    const large = Buffer.alloc(100_000, "x");
    await askers[0]!.update("k", () => ({
      next: { value: large.subarray(10, 13), flags: 0, expiresAtMs: 0 },
      result: null,
    }));
    expect((store.get("k") as Item).value.buffer.byteLength).toBe(3);
  });

  it("refuses what does not fit, what is beyond the bound, and a change that fails, and goes on", async () => {
    const { askers } = rig(1, { maxPending: 2, maxBytes: 1000 });
    const [a] = askers;
    await expect(a!.update("big", put("x".repeat(2000)))).rejects.toBeInstanceOf(ItemTooLarge);
    const three = await Promise.allSettled([a!.get("a"), a!.get("b"), a!.get("c")]);
    expect(three.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
    expect((three[2] as PromiseRejectedResult).reason).toBeInstanceOf(StoreUnavailable);
    const broken = a!.update("k", () => {
      throw new Error("no");
    });
    await expect(broken).rejects.toThrow("no");
    await a!.update("k", put("fine"));
    expect(text(await a!.get("k"))).toBe("fine");
  });

  it("nothing that was asked is done once the owner has hung up", async () => {
    const { ends, store } = rig(1);
    const { asker, hangUp } = ends[0]!;
    await asker.update("k", put("old"));
    void asker.update("k", put("new")).catch(() => {});
    hangUp();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(text(store.get("k"))).toBe("old");
  });
});
