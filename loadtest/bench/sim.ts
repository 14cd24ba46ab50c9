/**
 * Simulated requests per second of wall clock, one core: `npm run bench:sim [-- --requests N]`. Rows are the
 * machine of `partial-offload` (both flows, offload on and off) and the Zipf cache of `policies`.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { loadExperiment, profileCache } from "../../src/cli/simulate.ts";
import { Lab } from "../../src/sim/experiment.ts";
import { measureHitRatio } from "../../src/sim/experiments/caches.ts";
import { burstyArrivals, ownSockets, randomSteering } from "../../src/sim/experiments/rig.ts";
import { createHotTier, type Policy } from "../../src/sim/hot-tier.ts";
import { Machine } from "../../src/sim/machine.ts";
import { coldPath, hotPath, plainPath, waysOf } from "../../src/sim/server-model.ts";

export type Row = { readonly what: string; readonly perSecond: number; readonly heapGrowthBytes: number };

export function runBench(requests: number): Row[] {
  const experiment = loadExperiment("partial-offload");
  const profile = profileCache();
  const lab = new Lab(experiment, { params: experiment.params, seed: 1, requests, profile });
  const ways = waysOf(profile("xdp-native"), profile("userspace-only"), { keyBytes: 200, valueBytes: 24 });
  const rows: Row[] = [];
  const time = (what: string, count: number, work: () => void) => {
    const heap = process.memoryUsage().heapUsed;
    const start = process.hrtime.bigint();
    work();
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    rows.push({
      what,
      perSecond: Math.round(count / seconds),
      heapGrowthBytes: process.memoryUsage().heapUsed - heap,
    });
  };
  for (const [mode, paths] of [
    ["off", [plainPath(ways), plainPath(ways)]],
    ["on", [hotPath(ways, lab.number("hitExtraNs")), coldPath(ways)]],
  ] as const) {
    const arrival = burstyArrivals(lab, 55_000);
    const flow = { name: mode, arrival, queue: 0, paths };
    const machine = new Machine(ownSockets(1), [flow], randomSteering([10 / 11, 1 / 11], 1), 1);
    machine.run(Math.ceil(requests / 10));
    time(`partial-offload, offload ${mode}`, requests, () => machine.run(requests));
  }
  for (const policy of ["direct", "set", "lru"] as const satisfies readonly Policy[]) {
    const tier = createHotTier(policy, 100_000);
    time(`Zipf 0.99 over 1 M keys, ${policy} of 100,000`, Math.ceil(requests * 1.5), () => {
      for (const _ of measureHitRatio(lab, policy, tier, 1_000_000, 0.99)) void _;
    });
  }
  const huge = createHotTier("direct", 6_300_000);
  time("Zipf 0.99 over 100 M keys, direct of 6.3 M (with its prefill)", Math.ceil(requests * 1.5), () => {
    for (const _ of measureHitRatio(lab, "huge", huge, 100_000_000, 0.99)) void _;
  });
  return rows;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { requests: { type: "string", default: "3000000" } } });
  console.log(`Node ${process.version}, ${values.requests} requests a row`);
  for (const { what, perSecond, heapGrowthBytes } of runBench(Number(values.requests))) {
    const rate = perSecond.toLocaleString("en");
    console.log(
      `${what.padEnd(62)} ${rate.padStart(12)} requests/s   heap ${(heapGrowthBytes / 1e6).toFixed(1)} MB`,
    );
  }
}
