/**
 * When requests come. Open-loop processes draw the gap to the next request; a closed loop is run by the
 * machine itself (a client sends again after its answer). Times are integer picoseconds.
 * - poisson: memoryless
 * - fixed: a metronome
 * - mmpp: two-state Markov-modulated Poisson, calm and burst
 * - batch: Poisson groups of requests `gapNs` apart, their size geometric with the given mean, and
 *   a share of them in large groups: what an epoll-driven client emits
 */
import type { Prng } from "./prng.ts";

export type ArrivalSpec =
  | { readonly kind: "poisson"; readonly rate: number }
  | { readonly kind: "fixed"; readonly rate: number }
  | {
      readonly kind: "mmpp";
      /** Mean requests per second over both states. */
      readonly rate: number;
      /** Rate in the burst state over the mean rate, > 1. */
      readonly burstFactor: number;
      /** Mean stay in the burst state. */
      readonly burstUs: number;
      /** Share of the time in the burst state; burstFactor * burstShare < 1. */
      readonly burstShare: number;
    }
  | {
      readonly kind: "batch";
      readonly rate: number;
      readonly meanSize: number;
      readonly gapNs: number;
      /** A share of the requests comes in groups of just this size instead. */
      readonly largeSize?: number;
      readonly largeShare?: number;
    }
  | { readonly kind: "closed"; readonly clients: number; readonly thinkUs: number };

const PS = 1e12;

/** @returns the gap in ps to the next request of an open-loop process. */
export type GapSource = () => number;

export function gapSource(spec: Exclude<ArrivalSpec, { kind: "closed" }>, rng: Prng): GapSource {
  const meanGap = PS / spec.rate;
  if (spec.kind === "fixed") return () => Math.round(meanGap);
  if (spec.kind === "poisson") return () => Math.round(rng.exponential(meanGap));
  if (spec.kind === "batch") return batchGaps(spec, meanGap, rng);
  const { rate, burstFactor, burstShare, burstUs } = spec;
  const burstGap = PS / (rate * burstFactor);
  const calmRate = (rate * (1 - burstFactor * burstShare)) / (1 - burstShare);
  const calmGap = PS / calmRate;
  const burstStay = burstUs * 1e6;
  const calmStay = (burstStay * (1 - burstShare)) / burstShare;
  let burst = false;
  let left = rng.exponential(calmStay);
  return () => {
    let gap = 0;
    for (;;) {
      const draw = rng.exponential(burst ? burstGap : calmGap);
      if (draw < left) {
        left -= draw;
        return Math.round(gap + draw);
      }
      gap += left;
      burst = !burst;
      left = rng.exponential(burst ? burstStay : calmStay);
    }
  };
}

function batchGaps(
  { meanSize, gapNs, largeSize = 1, largeShare = 0 }: Extract<ArrivalSpec, { kind: "batch" }>,
  meanGap: number,
  rng: Prng,
): GapSource {
  const more = 1 - 1 / meanSize; // chance that another one follows in a small group
  const inner = Math.round(gapNs * 1000);
  const groupsPerRequest = largeShare / largeSize + (1 - largeShare) / meanSize;
  const largeGroups = largeShare / largeSize / groupsPerRequest;
  // What the gaps inside the groups leave of the mean goes between them.
  const outer = Math.max(1, (meanGap - (1 - groupsPerRequest) * inner) / groupsPerRequest);
  let left = 0;
  return () => {
    if (left > 0) {
      left--;
      return inner;
    }
    if (rng.unit() < largeGroups) left = largeSize - 1;
    else while (rng.unit() < more) left++;
    return Math.round(rng.exponential(outer));
  };
}
