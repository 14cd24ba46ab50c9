/**
 * The requests of one connection: a seeded draw from a key set, long enough that its repetition does not
 * show. Each connection has its own seed, so that connections do not march in step.
 */
import type { RequestSpec } from "autocannon";
import { Prng } from "../../src/sim/prng.ts";
import { Zipf } from "../../src/sim/zipf.ts";
import type { KeyPick, KeySet } from "./scenarios.ts";

const REQUESTS_PER_CONNECTION = 1_200; // a multiple of 60, so that a mix repeats whole

export function keyPath(keys: KeySet, index: number): string {
  return `/kv/${keys.prefix}${index}`;
}

export function requestsOf(pick: KeyPick, connection: number): readonly RequestSpec[] {
  const rng = new Prng(connection * 7_919 + 1);
  const uniformOf = (keys: KeySet) => keyPath(keys, Math.floor(rng.unit() * keys.count));
  const next = nextPath(pick, rng, uniformOf);
  return Array.from({ length: REQUESTS_PER_CONNECTION }, (_, n) => ({ method: "GET", path: next(n) }));
}

function nextPath(pick: KeyPick, rng: Prng, uniformOf: (keys: KeySet) => string): (n: number) => string {
  switch (pick.kind) {
    case "uniform":
      return () => uniformOf(pick.keys);
    case "zipf": {
      const zipf = new Zipf(pick.keys.count, pick.skew);
      return () => keyPath(pick.keys, zipf.sample(rng));
    }
    case "mix":
      // Bresenham's line: the n-th of 60 is hot when the running share steps over an integer.
      return (n) => {
        const isHot = Math.floor(((n + 1) * pick.hotOf60) / 60) > Math.floor((n * pick.hotOf60) / 60);
        return uniformOf(isHot ? pick.hot : pick.cold);
      };
  }
}
