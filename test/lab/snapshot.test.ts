import { describe, expect, it } from "vitest";
import { between, quantileNs, type Snapshot } from "../../src/lab/live/snapshot.ts";

const snapshot = (atMs: number, hot: number, cold: number): Snapshot => ({
  atMs,
  offload: "on",
  profile: "sk_skb",
  costsScale: 1,
  answered: { hot, cold },
  notFound: 0,
  writes: 0,
  observed: { hot: [0, hot], cold: [cold, 0] },
  modelled: { hot: [hot, 0], cold: [0, cold] },
  programs: [],
  crossings: {},
  verdicts: {},
  hot: { entries: 1, live: 0, bytes: 1, fills: 0, invalidations: 0, collisions: 0 },
  cold: { items: 0, bytes: 0 },
  load: {
    running: false,
    settings: { keys: 1, skew: 0, valueBytes: 1, writeShare: 0, ratePerSecond: 1, seconds: 1 },
    achievedPerSecond: 0,
  },
});

describe("between", () => {
  it("gives rates, the hit ratio and the buckets of the time between", () => {
    const window = between(snapshot(1_000, 10, 5), snapshot(3_000, 40, 15));
    expect(window).toMatchObject({
      seconds: 2,
      perSecond: { hot: 15, cold: 5 },
      hitRatio: 0.75,
      observed: { hot: [0, 30], cold: [10, 0] },
    });
  });

  it("is null when the counters began again", () => {
    expect(between(snapshot(1_000, 10, 5), snapshot(2_000, 0, 0))).toBeNull();
  });
});

describe("quantileNs", () => {
  it("names the upper bound of the bucket", () => {
    expect(quantileNs([0, 0, 50, 49, 1], 0.5)).toBe(4);
    expect(quantileNs([0, 0, 50, 49, 1], 0.99)).toBe(8);
    expect(quantileNs([0, 0, 50, 49, 1], 1)).toBe(16);
    expect(quantileNs([0, 0], 0.5)).toBeNaN();
  });
});
