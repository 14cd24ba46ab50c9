import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { RedisStore } from "../../../src/tiers/cold/redis.ts";
import type { Item, Key, StoreListener } from "../../../src/tiers/cold/store.ts";
import { hasRedis, REDIS_MISSING, RedisCluster, redisCli, until } from "../../support/redis-server.ts";

const put = (store: RedisStore, key: Key, text: string) =>
  store.update(key, () => ({
    next: { value: Buffer.from(text, "latin1"), flags: 7, expiresAtMs: 0 },
    result: "stored",
  }));
const textOf = (found: Item | null) => found && Buffer.from(found.value).toString("latin1");

/** Enough that every master has some. */
const KEYS = Array.from({ length: 30 }, (_, i) => `key-${i}`);

class Listener implements StoreListener {
  readonly heard: (Key | null)[] = [];
  readonly trust: boolean[] = [];
  remoteWrite(key: Key | null) {
    this.heard.push(key);
  }
  trusted(trusted: boolean) {
    this.trust.push(trusted);
  }
  hold() {
    return () => {};
  }
}

const why = hasRedis ? "" : ` (skipped: ${REDIS_MISSING})`;

describe.skipIf(!hasRedis)(`RedisStore on a Cluster of three masters${why}`, () => {
  let cluster: RedisCluster;
  let stores: [RedisStore, RedisStore];
  beforeAll(async () => {
    cluster = await RedisCluster.start();
    const one = () => RedisStore.connect({ url: cluster.url });
    stores = [await one(), await one()];
  }, 60_000);
  afterAll(async () => {
    for (const store of stores) await store.close();
    await cluster.kill();
  });
  beforeEach(() => stores[0].clear());

  it("keeps items on the masters their slots are of, whole", async () => {
    const [a, b] = stores;
    for (const key of KEYS) expect(await put(a, key, `of ${key}\xff`)).toBe("stored");
    for (const key of KEYS) {
      const found = await b.get(key);
      expect(textOf(found)).toBe(`of ${key}\xff`);
      expect(found?.flags).toBe(7);
    }
    for (const server of cluster.servers) expect(Number(await server.cli("DBSIZE"))).toBeGreaterThan(0);
    await expect.poll(() => a.stats().items).toBeGreaterThanOrEqual(KEYS.length);
  });

  it("is cleared on every master", async () => {
    const [a, b] = stores;
    for (const key of [...KEYS, "\xe4\xff"]) await put(a, key, "x");
    await b.clear();
    for (const key of [...KEYS, "\xe4\xff"]) expect(await a.get(key)).toBeNull();
  });

  it("hears of foreign writes of what it read, from each master", async () => {
    const [a] = stores;
    const listener = new Listener();
    for (const key of KEYS) await put(a, key, "x");
    a.watch(listener);
    for (const key of KEYS) await a.get(key);
    listener.heard.length = 0;
    for (const key of KEYS)
      await redisCli(cluster.servers[0]!.port, "-c", "HSET", `bmc:${key}`, "v", "foreign");
    await expect.poll(() => new Set(listener.heard).size).toBe(KEYS.length);
    expect(listener.trust.at(-1)).toBe(true);
  });

  it("loses no increment between two nodes", async () => {
    const increment = (store: RedisStore, key: Key) =>
      store.update(key, (old) => ({
        next: { value: Buffer.from(String(Number(textOf(old) ?? 0) + 1)), flags: 0, expiresAtMs: 0 },
        result: true,
      }));
    const keys = KEYS.slice(0, 6);
    await Promise.all(
      stores.map(async (store) => {
        for (let i = 0; i < 10; i++) await Promise.all(keys.map((key) => increment(store, key)));
      }),
    );
    for (const key of keys) expect(textOf(await stores[0].get(key))).toBe("20");
    expect(stores[0].sharedStats().nodes).toMatchObject({ others: 1, isIn: true });
  });

  it("follows a slot that moves, and does not trust its hot tier while it looks for it", async () => {
    const [a, b] = stores;
    const [first, second] = cluster.servers as [(typeof cluster.servers)[0], (typeof cluster.servers)[0]];
    let [key, slot] = ["", "16383"];
    for (let i = 0; Number(slot) > 5_000; i++) {
      key = `moves-${i}`;
      slot = await first.cli("CLUSTER", "KEYSLOT", `bmc:${key}`);
    }
    await put(a, key, "before");
    const listener = new Listener();
    b.watch(listener);
    expect(textOf(await b.get(key))).toBe("before");
    const [from, to] = [await first.cli("CLUSTER", "MYID"), await second.cli("CLUSTER", "MYID")];
    await second.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", from);
    await first.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", to);
    await first.cli("MIGRATE", "127.0.0.1", String(second.port), `bmc:${key}`, "0", "1000");
    for (const server of [second, first]) await server.cli("CLUSTER", "SETSLOT", slot, "NODE", to);
    await expect.poll(() => listener.heard).toContain(key);
    expect(await put(a, key, "after")).toBe("stored");
    expect(textOf(await b.get(key))).toBe("after");
    expect(listener.trust).toContain(false);
    await expect.poll(() => listener.trust.at(-1), { timeout: 10_000 }).toBe(true);
  });
});

/** A failover takes its time: only in the long run. */
const isLong = process.env.BMC_SOAK_FACTOR !== undefined;
const whyShort = hasRedis && !isLong ? " (skipped: takes 15 s; set BMC_SOAK_FACTOR)" : why;

describe.skipIf(!hasRedis || !isLong)(`RedisStore on a Cluster whose master dies${whyShort}`, () => {
  it("goes on with the replica that takes over, by itself, and trusts nothing in between", async () => {
    const cluster = await RedisCluster.start(1);
    const [first] = cluster.servers as [(typeof cluster.servers)[0]];
    const replica = cluster.servers[3]!;
    const [a, b] = [
      await RedisStore.connect({ url: cluster.url }),
      await RedisStore.connect({ url: cluster.url }),
    ];
    let [key, slot] = ["", "16383"];
    for (let i = 0; Number(slot) > 5_000; i++) {
      key = `falls-${i}`;
      slot = await first.cli("CLUSTER", "KEYSLOT", `bmc:${key}`);
    }
    const listener = new Listener();
    b.watch(listener);
    await put(a, key, "before");
    expect(textOf(await b.get(key))).toBe("before");
    await until(async () => (await replica.cli("INFO", "keyspace")).includes("keys="));
    await first.kill();
    const options = { timeout: 30_000, interval: 100 };
    await expect.poll(() => listener.trust, options).toContain(false);
    await expect.poll(() => put(a, key, "after").catch(() => "unavailable"), options).toBe("stored");
    await expect.poll(() => b.get(key).then(textOf, () => "unavailable"), options).toBe("after");
    await expect.poll(() => listener.trust.at(-1), options).toBe(true);
    await expect.poll(() => a.sharedStats().nodes?.others, options).toBe(1);
    await a.close();
    await b.close();
    await cluster.kill();
  }, 90_000);
});
