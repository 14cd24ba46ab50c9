/**
 * Random operations over HTTP, memcached TCP and UDP at once, fast path on, over a cold tier that is slow
 * and answers out of turn; every key's history has to be linearizable. BMC_COHERENCE_OPERATIONS makes it long.
 */
import { afterEach, describe, expect, test } from "vitest";
import { runCoherence } from "../../loadtest/coherence/run.ts";
import { SlowStore } from "../../loadtest/coherence/slow-store.ts";
import { HotCounters } from "../../src/metrics/hot-counters.ts";
import type { HotMachine } from "../../src/tiers/hot/machine.ts";
import { type Running, start } from "../support/service.ts";

const OPERATIONS = Number(process.env.BMC_COHERENCE_OPERATIONS ?? 10_000);
const SEED = Number(process.env.BMC_COHERENCE_SEED ?? Date.now() % 2 ** 31);

let running: Running | null = null;
afterEach(async () => {
  await running?.service.close();
  running = null;
});

async function serve(fillRace: "safe" | "unsafe"): Promise<Running> {
  running = await start(
    { admission: "always", "hot-entries": "256", "fill-race": fillRace, memcached: "127.0.0.1:0" },
    {},
    { cold: new SlowStore(SEED, 6) },
  );
  return running;
}

function planFor({ service, port }: Running) {
  const memcachedPort = service.memcached?.server?.port ?? null;
  return { nodes: [{ httpPort: port, memcachedPort }], clientsOfEach: 4, keysOfEach: 16, seed: SEED };
}

describe(`coherence over all protocols, seed ${SEED}`, () => {
  test(
    `${OPERATIONS} operations are linearizable, key by key`,
    async () => {
      const node = await serve("safe");
      const result = await runCoherence({ ...planFor(node), operations: OPERATIONS });
      expect(result.violations.join("\n\n")).toBe("");
      expect(result.lostWhy).toEqual({});
      expect(result.operations).toBeGreaterThanOrEqual(OPERATIONS);
      // A history that never met the programs would prove nothing.
      const { service } = node;
      expect(new HotCounters(service.machine as HotMachine).hits()).toBeGreaterThan(OPERATIONS / 40);
      expect(service.cache.hot?.rejected.raced).toBeGreaterThan(0);
      for (const answers of Object.values(result.answersBy)) expect(answers).toBeGreaterThan(OPERATIONS / 10);
    },
    60_000 + OPERATIONS,
  );

  test("without the generation check the same run is not", async () => {
    const node = await serve("unsafe");
    const result = await runCoherence({ ...planFor(node), operations: 200_000 });
    expect(result.violations.join("\n")).toMatch(/no order of its operations explains/);
  }, 120_000);
});
