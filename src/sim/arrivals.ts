/**
 * When requests come. Open-loop processes draw the gap to the next request; a closed loop is run by the
 * machine itself (a client sends again after its answer). Times are integer picoseconds.
 * - poisson: memoryless
 * - fixed: a metronome
 * - mmpp: two-state Markov-modulated Poisson, calm and burst
 * - batch: Poisson groups of requests `gapNs` apart, their size geometric with the given mean: what an
 *   epoll-driven client emits
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
  | { readonly kind: "batch"; readonly rate: number; readonly meanSize: number; readonly gapNs: number }
  | { readonly kind: "closed"; readonly clients: number; readonly thinkUs: number };

const PS = 1e12;

/** @returns the gap in ps to the next request of an open-loop process. */
export type GapSource = () => number;

export function gapSource(spec: Exclude<ArrivalSpec, { kind: "closed" }>, rng: Prng): GapSource {
  const meanGap = PS / spec.rate;
  if (spec.kind === "fixed") return () => Math.round(meanGap);
  if (spec.kind === "poisson") return () => Math.round(rng.exponential(meanGap));
  if (spec.kind === "batch") {
    const more = 1 - 1 / spec.meanSize; // chance that another one follows in the group
    const inner = Math.round(spec.gapNs * 1000);
    const outer = meanGap * spec.meanSize - (spec.meanSize - 1) * inner;
    return () => (rng.unit() < more ? inner : Math.round(rng.exponential(Math.max(1, outer))));
  }
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
