import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RedisStore } from "../../../src/tiers/cold/redis.ts";
import type { Item } from "../../../src/tiers/cold/store.ts";
import {
  freePort,
  hasRedis,
  REDIS_MISSING,
  RedisServer,
  redisCli,
  scratch,
  until,
} from "../../support/redis-server.ts";

const hasSentinel = hasRedis && spawnSync("redis-sentinel", ["--version"]).status === 0;
const missing = hasRedis ? "needs redis-sentinel (Debian package redis-sentinel)" : REDIS_MISSING;
const why = hasSentinel ? "" : ` (skipped: ${missing})`;

const put = (store: RedisStore, key: string, text: string) =>
  store.update(key, () => ({
    next: { value: Buffer.from(text), flags: 0, expiresAtMs: 0 },
    result: "stored",
  }));
const textOf = (found: Item | null) => found && Buffer.from(found.value).toString();

describe.skipIf(!hasSentinel)(`RedisStore behind Sentinel${why}`, () => {
  const directory = scratch();
  let master: RedisServer;
  let replica: RedisServer;
  let sentinel: ChildProcess;
  let sentinelPort: number;
  beforeAll(async () => {
    master = await RedisServer.start();
    replica = await RedisServer.start(undefined, ["--replicaof", "127.0.0.1", String(master.port)]);
    await until(async () => (await master.cli("INFO", "replication")).includes("state=online"));
    sentinelPort = await freePort();
    const file = join(directory, "sentinel.conf");
    const lines = [
      `port ${sentinelPort}`,
      "bind 127.0.0.1",
      `dir ${directory}`,
      `sentinel monitor mine 127.0.0.1 ${master.port} 1`,
      "sentinel down-after-milliseconds mine 700",
      "sentinel failover-timeout mine 5000",
    ];
    writeFileSync(file, `${lines.join("\n")}\n`);
    sentinel = spawn("redis-sentinel", [file], { stdio: "ignore" });
    const replicas = () => redisCli(sentinelPort, "SENTINEL", "REPLICAS", "mine");
    await until(async () => (await replicas()).includes(String(replica.port)));
  }, 60_000);
  afterAll(async () => {
    sentinel.kill("SIGKILL");
    await replica.kill();
    await master.kill();
    rmSync(directory, { recursive: true, force: true });
  });

  it("goes on with the new master after a failover, by itself, and trusts nothing in between", async () => {
    const url = `redis+sentinel://127.0.0.1:${sentinelPort}/mine`;
    const stores = await Promise.all([1, 2].map(() => RedisStore.connect({ url })));
    const [a, b] = stores as [RedisStore, RedisStore];
    const trust: boolean[] = [];
    b.watch({ remoteWrite: () => {}, hold: () => () => {}, trusted: (now) => trust.push(now) });
    expect(await put(a, "k", "before")).toBe("stored");
    expect(textOf(await b.get("k"))).toBe("before");
    await until(async () => (await replica.cli("HGET", "bmc:k", "v")) === "before");
    await master.kill();
    await expect.poll(() => trust.at(-1)).toBe(false);
    await expect(put(a, "k", "nobody")).rejects.toThrow();
    const options = { timeout: 25_000, interval: 100 };
    await expect.poll(() => put(a, "k", "after").catch(() => "unavailable"), options).toBe("stored");
    await expect.poll(() => b.get("k").then(textOf, () => "unavailable"), options).toBe("after");
    await expect.poll(() => trust.at(-1), options).toBe(true);
    expect(await replica.cli("HGET", "bmc:k", "v")).toBe("after");
    // The nodes found each other again, at the new master.
    await expect.poll(() => a.sharedStats().nodes?.others, options).toBe(1);
    for (const store of stores) await store.close();
  }, 60_000);
});
