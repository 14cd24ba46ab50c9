/**
 * Exact answers to hold the simulator against.
 * - direct-mapped, replace-always cache: a slot holds the key last asked for among its own, so the steady
 *   hit ratio is the sum over slots of (sum of p_i^2) / (sum of p_i) over the keys i of the slot
 * - the best any cache of M entries can do: the mass of the M most popular keys
 * - the law of partial offloading: it pays where the program's extra cost is below the share it answers
 */
import { keyHash } from "./keys.ts";
import { exp, ln } from "./math.ts";
import { harmonic } from "./zipf.ts";

/** Keys whose slot is computed one by one; those beyond are spread evenly over the slots. */
const EXACT_KEYS = 2_000_000;

/** Steady hit ratio of a direct-mapped cache with our keys' own hash under Zipf. */
export function directMappedHitRatio(keys: number, slots: number, skew: number): number {
  const total = harmonic(keys, skew);
  const exact = Math.min(keys, Math.max(EXACT_KEYS, slots * 2));
  const mass = new Float64Array(slots);
  const squares = new Float64Array(slots);
  for (let id = 0; id < exact; id++) {
    const p = exp(-skew * ln(id + 1)) / total;
    const slot = keyHash(id) % slots;
    mass[slot]! += p;
    squares[slot]! += p * p;
  }
  const restMass = (total - harmonic(exact, skew)) / total / slots;
  const restSquares =
    keys > exact ? (harmonic(keys, 2 * skew) - harmonic(exact, 2 * skew)) / (total * total) / slots : 0;
  let hit = 0;
  for (let slot = 0; slot < slots; slot++) {
    const m = mass[slot]! + restMass;
    if (m > 0) hit += (squares[slot]! + restSquares) / m;
  }
  return hit;
}

/** Mass of the `entries` most popular of `keys` under Zipf. */
export function idealHitRatio(keys: number, entries: number, skew: number): number {
  return harmonic(Math.min(keys, entries), skew) / harmonic(keys, skew);
}

/**
 * Throughput with partial offload over without (DEM §3.2).
 * @param extra program cost over the cost of a request without it (rho)
 * @param share of requests answered by the program (omega)
 */
export function offloadSpeedup(extra: number, share: number): number {
  return 1 / (1 + extra - share);
}
