import { describe, expect, test } from "vitest";
import { directMappedHitRatio, idealHitRatio } from "../../src/sim/closed-form.ts";
import { createHotTier, type Policy } from "../../src/sim/hot-tier.ts";
import { keyHash } from "../../src/sim/keys.ts";
import { Prng } from "../../src/sim/prng.ts";
import { Zipf } from "../../src/sim/zipf.ts";

/** The plainest possible LRU: Map keeps insertion order. */
class NaiveLru {
  readonly #map = new Map<number, true>();
  readonly entries: number;
  constructor(entries: number) {
    this.entries = entries;
  }
  lookup(id: number): boolean {
    if (!this.#map.delete(id)) return false;
    this.#map.set(id, true);
    return true;
  }
  fill(id: number): void {
    if (!this.lookup(id) && this.#map.size >= this.entries)
      this.#map.delete(this.#map.keys().next().value as number);
    this.#map.set(id, true);
  }
  invalidate(id: number): boolean {
    return this.#map.delete(id);
  }
}

describe("hot tier", () => {
  test("lru equals a naive one over a random walk of look-ups, fills and invalidations", () => {
    const rng = new Prng(5);
    const fast = createHotTier("lru", 64);
    const naive = new NaiveLru(64);
    for (let i = 0; i < 60_000; i++) {
      const id = rng.below(150);
      const hash = keyHash(id);
      const action = rng.below(10);
      if (action < 6) expect(fast.lookup(id, hash)).toBe(naive.lookup(id));
      else if (action < 9) {
        fast.fill(id, hash);
        naive.fill(id);
      } else expect(fast.invalidate(id, hash)).toBe(naive.invalidate(id));
    }
  });

  test("set of all ways: a referenced entry gets its second chance", () => {
    const set = createHotTier("set", 4, 4);
    for (const id of [1, 2, 3, 4]) set.fill(id, 0);
    set.lookup(1, 0);
    set.fill(5, 0); // the hand passes 1 (referenced) and takes 2
    expect([1, 2, 3, 4, 5].map((id) => set.lookup(id, 0))).toEqual([true, false, true, true, true]);
  });

  test("direct: equal slot replaces; a write drops whatever sits in its slot", () => {
    const direct = createHotTier("direct", 8);
    direct.fill(1, 3);
    direct.fill(2, 11);
    expect([direct.lookup(1, 3), direct.lookup(2, 11)]).toEqual([false, true]);
    expect(direct.invalidate(7, 19)).toBe(true);
    expect(direct.lookup(2, 11)).toBe(false);
    expect(direct.invalidate(7, 19)).toBe(false);
  });

  const simulated = (policy: Policy, keys: number, entries: number, skew: number) => {
    const tier = createHotTier(policy, entries);
    const zipf = new Zipf(keys, skew);
    const rng = new Prng(12);
    let hits = 0;
    const warm = 300_000;
    const n = 600_000;
    for (let i = 0; i < warm + n; i++) {
      const id = zipf.sample(rng);
      const hash = keyHash(id);
      if (tier.lookup(id, hash)) hits += i >= warm ? 1 : 0;
      else tier.fill(id, hash);
    }
    return hits / n;
  };

  // facts: N 16,384, M 4,096, three exponents; computed here, compared with the published column.
  test.each([
    [0.99, 0.7316, 0.8591],
    [0.8, 0.547, 0.723],
    [1.2, 0.89, 0.953],
  ])("16,384 keys in 4,096 slots, skew %d: simulation = closed form = published", (skew, direct, ideal) => {
    const closed = directMappedHitRatio(16_384, 4_096, skew);
    expect(Math.abs(closed - direct)).toBeLessThan(0.012);
    expect(idealHitRatio(16_384, 4_096, skew)).toBeCloseTo(ideal, 3);
    expect(Math.abs(simulated("direct", 16_384, 4_096, skew) - closed)).toBeLessThan(0.003);
  });

  test.each([
    [1_894_000, 0.67, 0.775],
    [3_250_000, 0.705, 0.805],
    [6_300_000, 0.749, 0.842],
    [7_576, 0.343, 0.477],
    [75_757, 0.473, 0.599],
  ])(
    "100 M keys in %i slots, skew 0.99: closed form agrees with the published one",
    (slots, direct, ideal) => {
      expect(Math.abs(directMappedHitRatio(1e8, slots, 0.99) - direct)).toBeLessThan(0.004);
      expect(Math.abs(idealHitRatio(1e8, slots, 0.99) - ideal)).toBeLessThan(0.001);
    },
    60_000,
  );

  test("direct <= set-associative <= LRU, and all under the ideal", () => {
    const [direct, set, lru] = (["direct", "set", "lru"] as const).map((p) =>
      simulated(p, 16_384, 4_096, 0.99),
    );
    expect(direct).toBeLessThan(set!);
    expect(set).toBeLessThan(lru! + 0.02);
    expect(lru).toBeLessThan(idealHitRatio(16_384, 4_096, 0.99));
  });
});
