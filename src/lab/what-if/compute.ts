/** What the sliders ask of the simulator: the advisor's verdict, capacity curves, latency over the rate. */
import type { Profile } from "../../costs/profile.ts";
import { type Advice, advise, fits, type Query } from "../../sim/advisor.ts";
import { waysOf } from "../../sim/server-model.ts";

export type Question = {
  readonly rate: number;
  readonly hitRatio: number;
  readonly readRatio: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly cores: number;
};

export type Curve = readonly [
  x: readonly number[],
  without: readonly (number | null)[],
  withIt: readonly (number | null)[],
];
export type Outcome = {
  readonly advice: Advice;
  /** Requests/s over the hit ratio. */
  readonly overHits: Curve;
  /** Requests/s over the number of cores. */
  readonly overCores: Curve;
  /** p99 in microseconds over the offered rate; null beyond capacity. */
  readonly overRate: Curve;
};

/** Simulated requests for each point: enough for a steady p99, few enough to follow a slider. */
const REQUESTS = 12_000;
const POINT_REQUESTS = 5_000;
const RATE_POINTS = 8;
const MAX_CORES = 8;

export function compute(question: Question, profile: Profile, plain: Profile): Outcome {
  const query: Query = { ...question, profile, plain, slo: null, seed: 1, requests: REQUESTS };
  const advice = advise(query);
  const { off, on } = advice;
  const hits = Array.from({ length: 51 }, (_, i) => i / 50);
  const cores = Array.from({ length: MAX_CORES }, (_, i) => i + 1);
  const top = Math.max(off.capacity, on.capacity, question.rate);
  const rates = Array.from({ length: RATE_POINTS }, (_, i) => (top * (i + 0.5)) / RATE_POINTS);
  const sides = rates.map((rate) => advise({ ...query, rate, requests: POINT_REQUESTS }));
  return {
    advice,
    overHits: [hits, hits.map(() => off.capacity), hits.map((h) => capacity({ ...query, hitRatio: h }))],
    overCores: [
      cores,
      cores.map((n) => (off.capacity / question.cores) * n),
      cores.map((n) => (on.capacity / question.cores) * n),
    ],
    overRate: [rates, sides.map((s) => s.off.all?.p99 ?? null), sides.map((s) => s.on.all?.p99 ?? null)],
  };
}

/** As the advisor reckons it, without the simulation. Requests/s of all cores. */
function capacity(query: Query): number {
  const ways = waysOf(query.profile, query.plain, query);
  const share = fits(query) ? query.hitRatio * query.readRatio : 0;
  const hitNs = query.profile.runsOn === "nic" ? 0 : ways.hitNs;
  // No hit at all: a profile without an answer at the hook has no price for one.
  const mean = (share === 0 ? 0 : share * hitNs) + (1 - share) * ways.coldNs;
  return (query.cores * 1e9) / mean;
}
