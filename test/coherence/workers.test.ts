/** The same on two workers over one hot tier: the kernel spreads the clients of all protocols over them. */
import { afterEach, describe, expect, test } from "vitest";
import { runCoherence } from "../../loadtest/coherence/run.ts";
import { newerNode, whyNot } from "../support/newer-node.ts";
import { ServeProcess } from "../support/serve-process.ts";

const OPERATIONS = Number(process.env.BMC_COHERENCE_OPERATIONS ?? 10_000);
const SEED = Number(process.env.BMC_COHERENCE_SEED ?? Date.now() % 2 ** 31);

let service: ServeProcess | null = null;
afterEach(() => {
  service?.remove();
  service = null;
});

async function serve(fillRace: "safe" | "unsafe"): Promise<ServeProcess> {
  const flags = ["--workers", "2", "--hot-entries", "256", "--admission", "always", "--fill-race", fillRace];
  service = await ServeProcess.start(newerNode ?? "", [...flags, "--memcached", "127.0.0.1:0"]);
  return service;
}

function planFor({ port, memcachedPort }: ServeProcess) {
  return { nodes: [{ httpPort: port, memcachedPort }], clientsOfEach: 6, keysOfEach: 8, seed: SEED };
}

describe.skipIf(newerNode === null)(`coherence over two workers, seed ${SEED}${whyNot}`, () => {
  test(
    `${OPERATIONS} operations over all protocols are linearizable, key by key`,
    async () => {
      const running = await serve("safe");
      const result = await runCoherence({ ...planFor(running), operations: OPERATIONS });
      expect(result.violations.join("\n\n")).toBe("");
      expect(result.lostWhy).toEqual({});
      expect(result.operations).toBeGreaterThanOrEqual(OPERATIONS);
      // A history that never met the programs, or a race, would prove nothing.
      expect(await running.metric("bmc_lookups_total", '{tier="hot",result="hit"}')).toBeGreaterThan(
        OPERATIONS / 40,
      );
      const raced = await running.metric("bmc_hot_fills_rejected_total", '{reason="raced"}');
      expect(raced).toBeGreaterThan(0);
      const busy = ["0", "1"].map((cpu) =>
        running.metric("bmc_worker_busy_seconds_total", `{worker="${cpu}"}`),
      );
      for (const seconds of await Promise.all(busy)) expect(seconds).toBeGreaterThan(0);
    },
    60_000 + OPERATIONS,
  );

  test("without the generation check the same run is not", async () => {
    const running = await serve("unsafe");
    const result = await runCoherence({ ...planFor(running), operations: 200_000 });
    expect(result.violations.join("\n")).toMatch(/no order of its operations explains/);
  }, 180_000);
});
