/** The same on two nodes that share one Redis: a write through either is seen by all protocols of both. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCoherence } from "../../loadtest/coherence/run.ts";
import { HotCounters } from "../../src/metrics/hot-counters.ts";
import type { HotMachine } from "../../src/tiers/hot/machine.ts";
import { hasRedis, REDIS_MISSING, RedisServer } from "../support/redis-server.ts";
import { type SharedNode, startNodes } from "../support/shared-nodes.ts";

const OPERATIONS = Number(process.env.BMC_COHERENCE_OPERATIONS ?? 10_000);
const SEED = Number(process.env.BMC_COHERENCE_SEED ?? Date.now() % 2 ** 31);
const why = hasRedis ? "" : ` (skipped: ${REDIS_MISSING})`;

describe.skipIf(!hasRedis)(`two nodes on one Redis, seed ${SEED}${why}`, () => {
  let redis: RedisServer;
  let nodes: SharedNode[] = [];
  beforeAll(async () => {
    redis = await RedisServer.start();
    // Both nodes and all clients share this process: a call may have to wait for much that is not Redis.
    nodes = await startNodes({ redisPort: redis.port, nodes: 2, store: { deadlineMs: 5_000 } });
  }, 120_000);
  afterAll(async () => {
    for (const node of nodes) await node.close();
    await redis.kill();
  }, 60_000);

  test(
    `${OPERATIONS} operations over all protocols are linearizable, key by key`,
    async () => {
      const result = await runCoherence({
        nodes: nodes.map(({ port, memcachedPort }) => ({ httpPort: port, memcachedPort })),
        clientsOfEach: 2,
        keysOfEach: 16,
        seed: SEED,
        operations: OPERATIONS,
      });
      expect(result.violations.join("\n\n")).toBe("");
      expect(result.operations).toBeGreaterThanOrEqual(OPERATIONS);
      // What is lost may have been done or not, which proves little.
      expect(result.lost).toBeLessThan(OPERATIONS / 20);
      for (const { service } of nodes) {
        expect(new HotCounters(service.machine as HotMachine).hits()).toBeGreaterThan(OPERATIONS / 100);
      }
    },
    180_000 + OPERATIONS,
  );
});
