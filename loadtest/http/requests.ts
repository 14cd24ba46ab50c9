/**
 * The requests of one connection: a seeded draw from a key set, long enough that its repetition does not
 * show. Each connection has its own seed, so that connections do not march in step.
 */
import type { RequestSpec } from "autocannon";
import type { KeyPick, KeySet } from "./scenarios.ts";

const REQUESTS_PER_CONNECTION = 1_200; // a multiple of 60, so that a mix repeats whole

/** mulberry32: a full-period 32-bit generator, enough to spread keys. @returns uniform in [0, 1) */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Ranks 0..count-1 with probability proportional to 1 / (rank + 1)^skew, by the inverse of the sum. */
export function zipfSampler(count: number, skew: number, random: () => number): () => number {
  const cumulative = new Float64Array(count);
  let sum = 0;
  for (let rank = 0; rank < count; rank++) {
    sum += (rank + 1) ** -skew;
    cumulative[rank] = sum;
  }
  return () => {
    const target = random() * sum;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((cumulative[middle] ?? 0) < target) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

export function keyPath(keys: KeySet, index: number): string {
  return `/kv/${keys.prefix}${index}`;
}

export function requestsOf(pick: KeyPick, connection: number): readonly RequestSpec[] {
  const random = seededRandom(connection * 7_919 + 1);
  const uniformOf = (keys: KeySet) => keyPath(keys, Math.floor(random() * keys.count));
  const next = nextPath(pick, random, uniformOf);
  return Array.from({ length: REQUESTS_PER_CONNECTION }, (_, n) => ({ method: "GET", path: next(n) }));
}

function nextPath(
  pick: KeyPick,
  random: () => number,
  uniformOf: (keys: KeySet) => string,
): (n: number) => string {
  switch (pick.kind) {
    case "uniform":
      return () => uniformOf(pick.keys);
    case "zipf": {
      const rank = zipfSampler(pick.keys.count, pick.skew, random);
      return () => keyPath(pick.keys, rank());
    }
    case "mix":
      // Bresenham's line: the n-th of 60 is hot when the running share steps over an integer.
      return (n) => {
        const isHot = Math.floor(((n + 1) * pick.hotOf60) / 60) > Math.floor((n * pick.hotOf60) / 60);
        return uniformOf(isHot ? pick.hot : pick.cold);
      };
  }
}
