import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { serveConfig } from "../../src/cli/serve.ts";
import { Service } from "../../src/cli/service.ts";
import { RedisStore } from "../../src/tiers/cold/redis.ts";
import { hasRedis, REDIS_MISSING, RedisServer } from "../support/redis-server.ts";

const why = hasRedis ? "" : ` (skipped: ${REDIS_MISSING})`;

describe.skipIf(!hasRedis)(`two services on one Redis${why}`, () => {
  let redis: RedisServer;
  const nodes: { service: Service; url: string }[] = [];
  beforeAll(async () => {
    redis = await RedisServer.start();
    for (let i = 0; i < 2; i++) {
      const config = serveConfig(
        { port: "0", "costs-scale": "0", admission: "always", "hot-entries": "512" },
        {},
      );
      const cold = await RedisStore.connect({ url: redis.url, deadlineMs: 500 });
      const service = new Service(config, { logger: pino({ level: "silent" }), cold });
      nodes.push({ service, url: (await service.listen()).url });
    }
    // Building a service keeps the other one's event loop, so its lease ran out.
    for (const node of [0, 1]) {
      await vi.waitUntil(async () => (await metric(node, "bmc_coherence_peers")) === 1, { timeout: 20_000 });
    }
  }, 60_000);
  afterAll(async () => {
    for (const { service } of nodes) await service.close();
    await redis.kill();
  });

  const at = (node: number, key: string, init?: RequestInit) => fetch(`${nodes[node]?.url}/kv/${key}`, init);
  const read = async (node: number, key: string) => {
    const response = await at(node, key);
    return { text: await response.text(), status: response.headers.get("cache-status") };
  };
  const metric = async (node: number, name: string) => {
    const text = await (await fetch(`${nodes[node]?.url}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\S+)`, "m").exec(text)?.[1]);
  };

  it("answer from their own hot tiers, and forget what the other wrote", async () => {
    expect((await at(0, "k", { method: "PUT", body: "one" })).status).toBe(201);
    for (const node of [0, 1]) {
      await read(node, "k");
      expect(await read(node, "k")).toEqual({ text: "one", status: "bmc-hot; hit" });
    }
    expect((await at(1, "k", { method: "PUT", body: "two" })).status).toBe(204);
    // At once, not after a while: the write waited until node 0 held the key.
    expect((await read(0, "k")).text).toBe("two");
    await read(0, "k");
    expect((await at(1, "k", { method: "DELETE" })).status).toBe(204);
    expect((await at(0, "k")).status).toBe(404);
    expect(await metric(1, "bmc_coherence_peers")).toBe(1);
    expect(await metric(1, "bmc_coherence_rounds_total")).toBeGreaterThan(0);
  });

  it("bypass the hot tier while Redis is away, refuse clearly, and recover by themselves", async () => {
    await at(0, "held", { method: "PUT", body: "v" });
    await read(0, "held");
    expect((await read(0, "held")).status).toBe("bmc-hot; hit");
    await redis.kill();
    await expect.poll(() => at(0, "held").then((r) => r.status)).toBe(503);
    expect((await at(0, "held")).headers.get("retry-after")).toBe("1");
    expect((await at(0, "held", { method: "PUT", body: "x" })).status).toBe(503);
    expect(await metric(0, "bmc_hot_untrusted_seconds_total")).toBeGreaterThan(0);
    await redis.restart();
    await expect
      .poll(() => at(0, "held", { method: "PUT", body: "again" }).then((r) => r.status), { timeout: 10_000 })
      .toBe(201);
    await read(0, "held");
    await expect.poll(() => read(0, "held").then((r) => r.status)).toBe("bmc-hot; hit");
    const before = await metric(0, "bmc_hot_untrusted_seconds_total");
    expect(await metric(0, "bmc_hot_untrusted_seconds_total")).toBe(before);
  });
});
