import { describe, expect, test } from "vitest";
import { loadProfile } from "../../src/cli/config-files.ts";
import { type Advice, advise, nearestFlips, type Query } from "../../src/sim/advisor.ts";
import { observedWorkload, parseMetrics } from "../../src/sim/prometheus.ts";

const base: Query = {
  rate: 60_000,
  hitRatio: 0.92,
  readRatio: 0.95,
  keyBytes: 16,
  valueBytes: 300,
  cores: 1,
  profile: loadProfile("xdp-native"),
  plain: loadProfile("userspace-only"),
  slo: null,
  seed: 1,
  requests: 30_000,
};
const ask = (change: Partial<Query>) => advise({ ...base, ...change });

describe("verdicts", () => {
  test("high hit ratio at XDP is a solution, and capacity follows from the mean cost", () => {
    const a = ask({});
    expect(a.verdict).toBe("solution");
    expect(a.share).toBeCloseTo(0.874, 6);
    expect(a.on.capacity).toBeCloseTo(1e9 / (a.share * a.ways.hitNs + (1 - a.share) * a.ways.coldNs), 6);
    expect(a.costs.reduce((sum, c) => sum + c.ns, 0)).toBeCloseTo(1e9 / a.on.capacity, 6);
  });

  test.each<[string, Partial<Query>, Advice["verdict"], RegExp]>([
    ["no hits", { hitRatio: 0 }, "trap", /capacity falls/],
    ["a value the hot tier never holds", { valueBytes: 1001 }, "trap", /capacity falls/],
    ["writes only", { readRatio: 0 }, "trap", /capacity falls/],
    [
      "SK_SKB under its break-even",
      { profile: loadProfile("sk_skb"), hitRatio: 0.3 },
      "trap",
      /capacity falls/,
    ],
    ["a rate that only fits with it", { rate: 300_000 }, "solution", /fit only with it/],
    ["a rate that fits nowhere", { rate: 5_000_000 }, "depends", /neither with nor without/],
    [
      "an SLO met only with it",
      { rate: 120_000, slo: { quantile: 0.99, limitUs: 60 } },
      "solution",
      /missed without and met with/,
    ],
    [
      "an SLO missed both ways",
      { slo: { quantile: 0.99, limitUs: 1 } },
      "depends",
      /missed with and without/,
    ],
  ])("%s", (_, change, verdict, reason) => {
    const a = ask(change);
    expect(a.verdict).toBe(verdict);
    expect(a.reasons.join("; ")).toMatch(reason);
  });

  test("just above and below the break-even hit ratio capacity grows and falls", () => {
    for (const name of ["xdp-native", "tc", "sk_skb", "netkit", "xdp-generic", "kernel-module"]) {
      const profile = loadProfile(name);
      const even = ask({ profile }).breakEvenHitRatio!;
      const gain = (hitRatio: number) => {
        const { on, off } = ask({ profile, hitRatio });
        return on.capacity / off.capacity;
      };
      expect(gain(even * 1.01)).toBeGreaterThan(1);
      expect(gain(even * 0.99)).toBeLessThan(1);
    }
  });

  test("a NIC that answers takes no core: it pays from the first hit on", () => {
    expect(ask({ profile: loadProfile("xdp-offload") }).breakEvenHitRatio).toBe(0);
  });

  test("one request an hour is no load, and no trouble", () => {
    const a = ask({ rate: 1 / 3600 });
    expect(a.off.load).toBeLessThan(1e-8);
    expect(a.off.all!.p99).toBeCloseTo(a.ways.plainNs / 1000, 0);
  });

  test("more cores carry more at the same load", () => {
    expect(ask({ cores: 4, rate: 240_000 }).off.load).toBeCloseTo(ask({}).off.load, 9);
  });
});

describe("the nearest flip", () => {
  const flips = nearestFlips(base, "solution");
  test("flips when asked again", () => {
    expect(flips.length).toBeGreaterThan(0);
    const change = {
      "hit ratio": "hitRatio",
      "read ratio": "readRatio",
      "value size": "valueBytes",
      rate: "rate",
      cores: "cores",
    } as const;
    for (const flip of flips) {
      const key = change[flip.what as keyof typeof change];
      expect(ask({ [key]: flip.to }).verdict).toBe(flip.verdict);
      expect(flip.verdict).not.toBe("solution");
    }
  });
  test("comes nearest first, and knows the hot tier's limit", () => {
    expect(flips.map((f) => f.factor)).toEqual([...flips.map((f) => f.factor)].sort((a, b) => a - b));
    const size = flips.find((f) => f.what === "value size")!;
    expect(size.to).toBeGreaterThan(1000);
    expect(size.to).toBeLessThan(1015);
  });
});

describe("a workload off a service's metrics", () => {
  const text = (hot: number, cold: number, writes: number) =>
    [
      "# HELP bmc_lookups_total Look-ups",
      "# TYPE bmc_lookups_total counter",
      `bmc_lookups_total{tier="hot",result="hit"} ${hot}`,
      `bmc_lookups_total{tier="cold",result="hit"} ${cold - 1}`,
      `bmc_lookups_total{tier="cold",result="miss"} 1`,
      `bmc_crossings_total{reason="miss"} ${cold}`,
      `bmc_crossings_total{reason="method"} ${writes}`,
      `bmc_copied_bytes_total{place="ebpf"} ${hot * 493}`,
      "",
    ].join("\n");
  test("two scrapes give rates, ratios and sizes of what came between", () => {
    const before = parseMetrics(text(1000, 50, 10), "x");
    const after = parseMetrics(text(10_000, 1050, 10 + 2000), "x");
    expect(observedWorkload(before, after, 10, "x")).toEqual({
      requests: 12_000,
      rate: 1200,
      hitRatio: 0.9,
      readRatio: 10_000 / 12_000,
      valueBytes: 300,
    });
  });
  test("no hit at the hook tells no hit ratio; no traffic and other pages are refused", () => {
    const idle = parseMetrics(text(0, 50, 10), "x");
    expect(observedWorkload(null, idle, 10, "x").hitRatio).toBeNull();
    expect(() => observedWorkload(idle, idle, 2, "x")).toThrow("x: no request in 2.0 s");
    expect(() => observedWorkload(null, parseMetrics("up 1\n", "x"), 2, "x")).toThrow("no bmc_lookups_total");
    expect(() => parseMetrics("<html>", "x")).toThrow("x: not Prometheus text");
  });
});
