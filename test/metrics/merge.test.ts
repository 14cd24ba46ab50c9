import { describe, expect, it } from "vitest";
import { derived, type Family, sample, valueAt } from "../../src/metrics/family.ts";
import { countsOf, mergeSamples, samplesOf } from "../../src/metrics/merge.ts";

const family = (name: string, type: Family["type"], across?: Family["across"]): Family => ({
  name,
  help: name,
  type,
  read: () => [],
  ...(across && { across }),
});

describe("samples of several workers", () => {
  it.each([
    ["counters", family("n", "counter"), [3, 4], 7],
    ["gauges of their own", family("n", "gauge"), [3, 4], 7],
    ["what lies in shared memory", family("n", "gauge", "once"), [5, 5], 5],
    ["a flag that any raises", family("n", "gauge", "max"), [0, 1], 1],
    ["a flag that all must keep", family("n", "gauge", "min"), [0, 1], 0],
  ])("join: %s", (_what, one, values, joined) => {
    const parts = values.map((value) => ({ n: [sample(value)] }));
    expect(mergeSamples([one], parts)).toEqual({ n: [expect.objectContaining({ value: joined })] });
  });

  it("are told apart by their labels, in any order, and by the part of a histogram", () => {
    const parts = [
      { n: [sample(1, { a: "x", b: "y" }), { ...sample(10, { le: "1" }), metricName: "n_bucket" }] },
      { n: [sample(2, { b: "y", a: "x" }), { ...sample(20), metricName: "n_sum" }] },
    ];
    expect(mergeSamples([family("n", "histogram")], parts).n?.map(({ value }) => value)).toEqual([3, 10, 20]);
  });

  it("ratios come from the sums, and are never averaged", () => {
    const counts = family("n", "counter");
    const ratio = derived(
      {
        name: "ratio",
        help: "",
        type: "gauge",
        derive: (samples) => {
          const [hits, all] = ["hit", "all"].map((what) => valueAt(samples("n"), { what }));
          return [sample((hits ?? 0) / (all ?? 1))];
        },
      },
      [counts],
    );
    const worker = (hits: number, all: number) => ({
      n: [sample(hits, { what: "hit" }), sample(all, { what: "all" })],
      ratio: [sample(hits / all)],
    });
    const merged = mergeSamples([counts, ratio], [worker(1, 1), worker(0, 99)]);
    expect(merged.ratio?.[0]?.value).toBe(0.01);
  });

  it("of a worker that has gone, counts stay and gauges go; what is shared is not counted twice", () => {
    const families = [family("n", "counter"), family("open", "gauge"), family("shared", "counter", "once")];
    const gone = { n: [sample(5)], open: [sample(2)], shared: [sample(9)] };
    const left = countsOf(families, gone);
    const merged = mergeSamples(families, [{ n: [sample(1)], open: [sample(3)], shared: [sample(9)] }, left]);
    expect(Object.fromEntries(Object.entries(merged).map(([name, all]) => [name, all[0]?.value]))).toEqual({
      n: 6,
      open: 3,
      shared: 9,
    });
  });

  it("are read from the families a worker has", () => {
    expect(samplesOf([{ ...family("n", "counter"), read: () => [sample(4)] }])).toEqual({ n: [sample(4)] });
  });
});
