/** The published 50 K + 5 K experiment, run with fewer requests: quantiles of its slow flow. */
import file from "../../../config/experiments/partial-offload.json" with { type: "json" };
import { Lab } from "../../sim/experiment.ts";
import { parseExperiment } from "../../sim/experiment-file.ts";
import { partialOffload } from "../../sim/experiments/partial-offload.ts";
import { PROFILES, profile } from "../profiles.ts";

export type SlowFlow = {
  readonly quantile: string;
  readonly off: number;
  readonly on: number;
  readonly publishedOff: number;
  readonly publishedOn: number;
};

/** A tenth of them are slow: enough for their p99. */
const REQUESTS = 60_000;
const QUANTILES = ["p10", "p50", "p90", "p99"] as const;

/** @param fastRate requests/s of the flow the hook can answer. Microseconds, wire included. */
export function slowFlow(fastRate: number): SlowFlow[] {
  const experiment = parseExperiment(file, "partial-offload", [...PROFILES.keys()]);
  const params = { ...experiment.params, fastRate };
  const lab = new Lab(experiment, { params, seed: experiment.seed, requests: REQUESTS, profile });
  for (const _ of partialOffload.run(lab));
  const { comparisons } = lab.report(true);
  const row = (mode: string, quantile: string) => {
    const found = comparisons.find(({ id }) => id === `sockets.slow.${mode}.${quantile}`);
    return { ours: found?.ours ?? Number.NaN, published: found?.value ?? Number.NaN };
  };
  return QUANTILES.map((quantile) => {
    const off = row("off", quantile);
    const on = row("on", quantile);
    return { quantile, off: off.ours, on: on.ours, publishedOff: off.published, publishedOn: on.published };
  });
}
