/**
 * What goes wrong around a shared cold tier, on purpose, under load: whatever it is, no read is stale, no
 * acknowledged write is lost, every refusal is clear, and all comes back by itself.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import net from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { hasRedis, REDIS_MISSING, RedisServer, scratch } from "../support/redis-server.ts";
import { RegisterLoad } from "../support/register-load.ts";
import { sleep } from "../support/service.ts";
import { metric, type SharedNode, startNodes } from "../support/shared-nodes.ts";

/** The long run multiplies each trouble's time: BMC_SOAK_FACTOR=20 takes some minutes. */
const LONGER = Number(process.env.BMC_SOAK_FACTOR ?? 1);
vi.setConfig({ testTimeout: 60_000 + 10_000 * LONGER });
const LEASE_MS = 800;
const PATIENCE = { timeout: 20_000, interval: 50 };
const why = hasRedis ? "" : ` (skipped: ${REDIS_MISSING})`;

async function memcached(node: SharedNode, command: string): Promise<string> {
  const socket = net.connect({ port: node.memcachedPort, host: "127.0.0.1" });
  socket.write(command);
  const [answer] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return answer.toString("latin1");
}

const CLI = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));

describe.skipIf(!hasRedis)(`a node that is told to end under load${why}`, () => {
  it("answers what it began, ends by itself, and all it acknowledged is in Redis", async () => {
    const redis = await RedisServer.start();
    const child = spawn(process.execPath, [
      ...[CLI, "serve", "--port", "0", "--costs-scale", "0", "--log-level", "fatal"],
      ...["--cold", redis.url],
    ]);
    const died = once(child, "exit").then(([code]) =>
      Promise.reject(new Error(`bmc serve ended with ${code}`)),
    );
    const [banner] = (await Promise.race([once(child.stdout, "data"), died])) as [Buffer];
    died.catch(() => {});
    const url = /http:\S+/.exec(banner.toString())?.[0];
    const acknowledged = new Map<string, number>();
    const client = async (key: string) => {
      for (let value = 1; ; value++) {
        const response = await fetch(`${url}/kv/${key}`, { method: "PUT", body: String(value) }).catch(
          () => null,
        );
        if (response === null) return;
        if (response.ok) acknowledged.set(key, value);
      }
    };
    const clients = ["a", "b", "c", "d"].map(client);
    await expect.poll(() => acknowledged.size, PATIENCE).toBe(4);
    child.kill("SIGTERM");
    const [code] = await once(child, "exit");
    await Promise.all(clients);
    expect(code).toBe(0);
    for (const [key, value] of acknowledged) {
      expect(Number(await redis.cli("HGET", `bmc:${key}`, "v"))).toBeGreaterThanOrEqual(value);
    }
    // It left the list, so that the next one waits for nobody.
    expect(await redis.cli("HLEN", "{bmc:nodes@0}")).toBe("0");
    await redis.kill();
  }, 60_000);
});

describe.skipIf(!hasRedis)(`two nodes on one Redis, in trouble${why}`, () => {
  const directory = scratch();
  let redis: RedisServer;
  let nodes: [SharedNode, SharedNode];
  let load: RegisterLoad | null = null;
  let run = 0;

  beforeAll(async () => {
    const aof = ["--appendonly", "yes", "--appendfsync", "always", "--dir", directory];
    redis = await RedisServer.start(undefined, aof);
    const store = { leaseMs: LEASE_MS, deadlineMs: 500, maxPending: 60 };
    nodes = (await startNodes({ redisPort: redis.port, nodes: 2, store })) as typeof nodes;
  }, 120_000);
  afterAll(async () => {
    for (const node of nodes) await node.close();
    await redis.kill();
    rmSync(directory, { recursive: true, force: true });
  }, 60_000);
  afterEach(async () => {
    vi.restoreAllMocks();
    await load?.stop();
    load = null;
  });

  const put = (node: SharedNode, key: string, body: string) =>
    fetch(`${node.url}/kv/${key}`, { method: "PUT", body });
  const status = async (node: SharedNode, key: string) => {
    const response = await fetch(`${node.url}/kv/${key}`);
    await response.text();
    return response.headers.get("cache-status") ?? "";
  };
  const begin = () => {
    run++;
    load = new RegisterLoad(nodes, [`a${run}`, `b${run}`, `c${run}`]);
    return load;
  };
  /** Both nodes write, and answer hot, again. */
  const recovered = async () => {
    for (const node of nodes) {
      await expect.poll(() => put(node, `r${run}`, "x").then((r) => r.ok), PATIENCE).toBe(true);
    }
    for (const node of nodes) {
      await expect.poll(() => status(node, `r${run}`), PATIENCE).toBe("bmc-hot; hit");
    }
  };
  const settle = async (under: RegisterLoad) => {
    await recovered();
    await under.stop();
    expect(under.seen.stale).toBe(0);
    expect(under.seen.unclear).toEqual([]);
    expect(under.seen.broken).toBe(0);
    expect(await under.lost()).toEqual([]);
    expect(under.seen.writes).toBeGreaterThan(0);
    expect(under.seen.hot).toBeGreaterThan(0);
    return under.seen;
  };

  it("none: reads are linearizable over both, hot ones too", async () => {
    const under = begin();
    await sleep(1_000 * LONGER);
    await settle(under);
    expect(await metric(nodes[0], "bmc_coherence_peers")).toBe(1);
  });

  it("kill -9 of Redis and a restart", async () => {
    const under = begin();
    await sleep(400 * LONGER);
    const before = await metric(nodes[0], "bmc_hot_untrusted_seconds_total");
    await redis.kill();
    await sleep(300 * LONGER);
    expect(await memcached(nodes[0], "get k\r\n")).toMatch(/^SERVER_ERROR /);
    expect(await memcached(nodes[0], "set k 0 0 1\r\nx\r\n")).toMatch(/^SERVER_ERROR /);
    await redis.restart();
    expect((await settle(under)).refused).toBeGreaterThan(0);
    expect(await metric(nodes[0], "bmc_hot_untrusted_seconds_total")).toBeGreaterThan(before);
  });

  it("a node that neither hears nor is heard: the other writes on after its lease", async () => {
    const under = begin();
    await sleep(400 * LONGER);
    const { acknowledged } = under.registers.get(`a${run}`)!;
    nodes[1].proxy.stall("up", "down");
    await expect
      .poll(() => under.registers.get(`a${run}`)!.acknowledged, PATIENCE)
      .toBeGreaterThan(acknowledged + 1);
    expect(await metric(nodes[0], "bmc_coherence_peers")).toBe(0);
    expect(await status(nodes[1], `r${run}`)).not.toBe("bmc-hot; hit");
    await sleep(200 * LONGER);
    nodes[1].proxy.resume();
    await settle(under);
    await expect.poll(() => metric(nodes[0], "bmc_coherence_peers"), PATIENCE).toBe(1);
  });

  it.each(["up", "down"] as const)("a node whose connection is stalled one way: %s", async (direction) => {
    const under = begin();
    await sleep(300 * LONGER);
    nodes[0].proxy.stall(direction);
    await sleep(1_000 * LONGER);
    nodes[0].proxy.resume();
    await settle(under);
  });

  it("connections that break and are refused for a while", async () => {
    const under = begin();
    for (const node of nodes) {
      await sleep(300 * LONGER);
      node.proxy.cut();
      await sleep(200 * LONGER);
      node.proxy.resume();
    }
    await settle(under);
  });

  it("a slow Redis: hot answers go on", async () => {
    const under = begin();
    for (const node of nodes) node.proxy.delayMs = 15;
    await sleep(1_200 * LONGER);
    for (const node of nodes) node.proxy.delayMs = 0;
    await settle(under);
  });

  it("a frozen Redis: what waits is bounded, the rest is refused at once", async () => {
    redis.freeze();
    const calls = await Promise.all(
      Array.from({ length: 150 }, async (_, i) => (await fetch(`${nodes[0].url}/kv/frozen-${i}`)).text()),
    );
    const { pending } = nodes[0].store.sharedStats();
    redis.thaw();
    expect(calls.filter((text) => text.includes("waiting for Redis already")).length).toBeGreaterThan(0);
    expect(calls.filter((text) => !text.includes('"statusCode":503'))).toEqual([]);
    expect(pending).toBeLessThanOrEqual(60);
    await recovered();
  });

  it("full memory: a write is refused with Redis's reason, what is there is served", async () => {
    await put(nodes[0], "full", "here");
    await redis.cli("CONFIG", "SET", "maxmemory", "1");
    const refused = await put(nodes[0], "full", "more");
    expect(refused.status).toBe(503);
    expect(await refused.text()).toContain("OOM");
    expect(await memcached(nodes[1], "set full 0 0 1\r\nx\r\n")).toMatch(/^SERVER_ERROR .*OOM/);
    expect(await (await fetch(`${nodes[1].url}/kv/full`)).text()).toBe("here");
    await redis.cli("CONFIG", "SET", "maxmemory", "0");
    await recovered();
  });

  it.each([3_600_000, -3_600_000])(
    "a node's wall clock that jumps by %i ms: leases do not mind",
    async (jumpMs) => {
      const under = begin();
      await sleep(300 * LONGER);
      const untrusted = await metric(nodes[0], "bmc_hot_untrusted_seconds_total");
      const real = Date.now;
      vi.spyOn(Date, "now").mockImplementation(() => real() + jumpMs);
      await sleep(400 * LONGER);
      vi.restoreAllMocks();
      await settle(under);
      expect(Math.abs((await metric(nodes[0], "bmc_hot_untrusted_seconds_total")) - untrusted)).toBeLessThan(
        60,
      );
    },
  );
});
