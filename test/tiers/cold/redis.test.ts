import { createClient } from "redis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { RedisStore } from "../../../src/tiers/cold/redis.ts";
import {
  type Item,
  type NewItem,
  type StoreListener,
  StoreUnavailable,
} from "../../../src/tiers/cold/store.ts";
import { hasRedis, REDIS_MISSING, RedisServer } from "../../support/redis-server.ts";

const bytes = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));
const item = (text: string, more: Partial<NewItem> = {}): NewItem => ({
  value: bytes(text),
  flags: 0,
  expiresAtMs: 0,
  ...more,
});
const put = (store: RedisStore, key: string, next: NewItem) =>
  store.update(key, () => ({ next, result: undefined }));
const textOf = (found: Item | null) => found && Buffer.from(found.value).toString("latin1");

const why = hasRedis ? "" : ` (skipped: ${REDIS_MISSING})`;

describe.skipIf(!hasRedis)(`RedisStore against a real server${why}`, () => {
  let server: RedisServer;
  let store: RedisStore;
  beforeAll(async () => {
    server = await RedisServer.start();
    store = await RedisStore.connect({ url: server.url, deadlineMs: 500 });
  });
  afterAll(async () => {
    await store.close();
    await server.kill();
  });
  beforeEach(() => store.clear());

  it("keeps any key and value byte, flags and marks", async () => {
    const every = Uint8Array.from({ length: 256 }, (_, i) => i);
    const key = String.fromCharCode(...every.slice(1, 250));
    await put(store, key, { value: every, flags: 0xffff_ffff, expiresAtMs: 0, marks: 5 });
    const found = await store.get(key);
    expect(found).toMatchObject({ flags: 0xffff_ffff, expiresAtMs: 0, marks: 5 });
    expect(new Uint8Array(found?.value ?? [])).toEqual(every);
  });

  it("gives each write of a key a new cas, also over a delete", async () => {
    const seen = new Set<bigint>();
    for (let i = 0; i < 50; i++) {
      await put(store, "k", item(String(i)));
      seen.add((await store.get("k"))?.cas ?? 0n);
      if (i % 3 === 0) await store.update("k", () => ({ next: "delete", result: undefined }));
    }
    expect(seen.size).toBe(50);
  });

  it("keeps a cas that the writer names", async () => {
    await put(store, "k", item("v", { cas: 18_446_744_073_709_551_615n }));
    expect((await store.get("k"))?.cas).toBe(18_446_744_073_709_551_615n);
  });

  it("loses no increment among 4 connections writing one key at once", async () => {
    const others = await Promise.all([1, 2, 3].map(() => RedisStore.connect({ url: server.url })));
    const increment = (s: RedisStore) =>
      s.update("n", (old) => ({ next: item(String(Number(textOf(old) ?? 0) + 1)), result: undefined }));
    await Promise.all(
      [store, ...others].map(async (s) => {
        for (let i = 0; i < 25; i++) await increment(s);
      }),
    );
    expect(textOf(await store.get("n"))).toBe("100");
    await Promise.all(others.map((s) => s.close()));
  });

  it("returns no expired item, and lets a writer replace one that Redis has not dropped yet", async () => {
    let nowMs = Date.now();
    const ahead = await RedisStore.connect({ url: server.url, now: () => nowMs });
    await put(ahead, "k", item("old", { expiresAtMs: nowMs + 60_000 }));
    expect(textOf(await ahead.get("k"))).toBe("old");
    nowMs += 60_001;
    expect(await ahead.get("k")).toBeNull();
    const seen = await ahead.update("k", (old) => ({ next: item("new"), result: old }));
    expect(seen).toBeNull();
    expect(textOf(await ahead.get("k"))).toBe("new");
    await ahead.close();
  });

  it("can be read and written by other Redis clients", async () => {
    const other = createClient({ url: server.url });
    await other.connect();
    await put(store, "shared", item("hello", { expiresAtMs: Date.now() + 60_000 }));
    expect(await other.hGet("bmc:shared", "v")).toBe("hello");
    expect(await other.pTTL("bmc:shared")).toBeGreaterThan(50_000);
    other.destroy();
  });

  it("leaves other users' keys alone when it is cleared", async () => {
    const other = createClient({ url: server.url });
    await other.connect();
    await other.set("theirs", "1");
    await put(store, "ours", item("1"));
    await store.clear();
    expect(await store.get("ours")).toBeNull();
    expect(await other.get("theirs")).toBe("1");
    other.destroy();
  });

  it("hears of a key it has read being written through another connection", async () => {
    const heard: (string | null)[] = [];
    const listener: StoreListener = {
      remoteWrite: (key) => heard.push(key),
      hold: () => () => {},
      trusted: () => {},
    };
    const [reader, writer] = await Promise.all([1, 2].map(() => RedisStore.connect({ url: server.url })));
    if (!reader || !writer) throw new Error("no connection");
    await put(writer, "watched", item("1"));
    reader.watch(listener);
    await reader.get("watched");
    await put(writer, "unread", item("1"));
    await put(writer, "watched", item("2"));
    await expect.poll(() => heard).toContain("watched");
    expect(heard).not.toContain("unread");
    await Promise.all([reader.close(), writer.close()]);
  });
});

describe.skipIf(!hasRedis)(`RedisStore in trouble${why}`, () => {
  it("refuses an address nobody listens at", async () => {
    const server = await RedisServer.start();
    const { url } = server;
    await server.kill();
    await expect(RedisStore.connect({ url })).rejects.toThrow(/ECONNREFUSED/);
  });

  it("fails within its deadline while Redis is frozen, and goes on when it thaws", async () => {
    const server = await RedisServer.start();
    const store = await RedisStore.connect({ url: server.url, deadlineMs: 200 });
    await put(store, "k", item("v"));
    server.freeze();
    // Frozen until the answer is there: without a deadline the test would not end.
    await expect(store.get("k")).rejects.toBeInstanceOf(StoreUnavailable);
    server.thaw();
    await expect.poll(() => store.get("k").then(textOf, () => "unavailable")).toBe("v");
    await store.close();
    await server.kill();
  });

  it("refuses calls over its bound at once", async () => {
    const server = await RedisServer.start();
    const store = await RedisStore.connect({ url: server.url, deadlineMs: 300, maxPending: 4 });
    server.freeze();
    const calls = Array.from({ length: 10 }, (_, i) =>
      store.get(`k${i}`).catch((error: Error) => error.message),
    );
    const refused = (await Promise.all(calls)).filter((m) => String(m).includes("waiting for Redis already"));
    expect(refused).toHaveLength(6);
    server.thaw();
    await store.close();
    await server.kill();
  });

  it("loses trust when Redis dies, fails clearly, and regains it after a restart", async () => {
    const server = await RedisServer.start();
    const errors: string[] = [];
    const store = await RedisStore.connect({ url: server.url, onError: (e) => errors.push(e.message) });
    const trust: boolean[] = [];
    store.watch({ remoteWrite: () => {}, hold: () => () => {}, trusted: (now) => trust.push(now) });
    expect(trust).toEqual([true]);
    await server.kill();
    await expect.poll(() => trust.at(-1)).toBe(false);
    await expect(store.get("k")).rejects.toBeInstanceOf(StoreUnavailable);
    await server.restart();
    await expect.poll(() => trust.at(-1), { timeout: 10_000 }).toBe(true);
    await put(store, "k", item("again"));
    expect(textOf(await store.get("k"))).toBe("again");
    await store.close();
    await server.kill();
  });
});
