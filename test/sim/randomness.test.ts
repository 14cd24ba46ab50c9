import { describe, expect, test } from "vitest";
import { Histogram } from "../../src/sim/histogram.ts";
import { fnv1a32, keyHash, keyText } from "../../src/sim/keys.ts";
import { exp, expm1OverX, ln, log1pOverX, pow } from "../../src/sim/math.ts";
import { Prng } from "../../src/sim/prng.ts";
import { valueSizes, workload, YCSB } from "../../src/sim/workload.ts";
import { harmonic, Zipf } from "../../src/sim/zipf.ts";

describe("math agrees with the platform's to the last bits", () => {
  const rng = new Prng(1);
  const inputs = Array.from({ length: 5_000 }, () => rng.unit() * 10 ** (rng.below(24) - 12));
  test("ln", () => {
    for (const x of inputs)
      expect(Math.abs(ln(x) - Math.log(x))).toBeLessThanOrEqual(4e-16 * Math.max(1, Math.abs(Math.log(x))));
    expect(ln(0)).toBe(Number.NEGATIVE_INFINITY);
    expect(ln(-1)).toBeNaN();
    expect(ln(5e-324)).toBeCloseTo(Math.log(5e-324), 9);
  });
  test("exp and pow", () => {
    for (const x of inputs) {
      const y = (x % 600) - 300;
      expect(exp(y) / Math.exp(y)).toBeCloseTo(1, 13);
      expect(pow(x, 0.99) / x ** 0.99).toBeCloseTo(1, 13);
    }
    expect([exp(0), exp(-1000), exp(1000)]).toEqual([1, 0, Number.POSITIVE_INFINITY]);
  });
  test("the quotients are smooth through 0", () => {
    for (const x of [0, 1e-12, -1e-6, 9.9e-5, 1.01e-4, -0.4, 3]) {
      expect(log1pOverX(x)).toBeCloseTo(x === 0 ? 1 : Math.log1p(x) / x, 11);
      expect(expm1OverX(x)).toBeCloseTo(x === 0 ? 1 : Math.expm1(x) / x, 11);
    }
  });
});

describe("Prng", () => {
  test("the stream of a seed is fixed for ever", () => {
    const rng = new Prng(42);
    expect([rng.u32(), rng.u32(), rng.u32()]).toMatchInlineSnapshot(`
      [
        660444221,
        3652823732,
        77678286,
      ]
    `);
  });
  test("units and bounded integers are uniform", () => {
    const rng = new Prng(3, 5);
    const counts = new Array<number>(10).fill(0);
    let mean = 0;
    for (let i = 0; i < 200_000; i++) {
      counts[rng.below(10)]!++;
      mean += rng.unit() / 200_000;
    }
    const chi = counts.reduce((sum, n) => sum + (n - 20_000) ** 2 / 20_000, 0);
    expect(chi).toBeLessThan(27.9); // 9 degrees of freedom, p = 0.001
    expect(mean).toBeCloseTo(0.5, 2);
  });
});

describe("Zipf", () => {
  test.each([
    [1000, 0.99],
    [1000, 1],
    [1000, 0.5],
    [1000, 2.5],
  ])("%i keys, skew %d: each of the first ranks as often as the law says", (keys, skew) => {
    const zipf = new Zipf(keys, skew);
    const rng = new Prng(8);
    const n = 400_000;
    const counts = new Float64Array(keys);
    for (let i = 0; i < n; i++) counts[zipf.sample(rng)]!++;
    const total = harmonic(keys, skew);
    for (let rank = 1; rank <= 20; rank++) {
      const expected = (n * rank ** -skew) / total;
      expect(Math.abs(counts[rank - 1]! - expected)).toBeLessThan(5 * Math.sqrt(expected) + 1);
    }
    const tail = counts.slice(500).reduce((a, b) => a + b, 0);
    const tailLaw = (n * (total - harmonic(500, skew))) / total;
    expect(Math.abs(tail - tailLaw)).toBeLessThan(5 * Math.sqrt(tailLaw) + 2);
  });
  test("100 M keys stay in range and the harmonic sum follows its integral", () => {
    const zipf = new Zipf(1e8, 0.99);
    const rng = new Prng(8);
    let max = 0;
    for (let i = 0; i < 100_000; i++) max = Math.max(max, zipf.sample(rng));
    expect(max).toBeLessThan(1e8);
    expect(max).toBeGreaterThan(5e7);
    let sum = 0;
    for (let i = 2_000_000; i >= 1; i--) sum += i ** -0.99;
    expect(harmonic(2_000_000, 0.99) / sum).toBeCloseTo(1, 10);
    expect(harmonic(2_000_000, 1)).toBeCloseTo(Math.log(2_000_000) + 0.5772156649, 6);
  });
});

describe("Histogram", () => {
  test("quantiles are right to 1.6 % over twelve decades", () => {
    const rng = new Prng(4);
    const values = Array.from({ length: 50_000 }, () => Math.floor(10 ** (rng.unit() * 12)));
    const histogram = new Histogram();
    for (const v of values) histogram.record(v);
    values.sort((a, b) => a - b);
    for (const q of [0.01, 0.1, 0.5, 0.9, 0.99, 0.999]) {
      const exact = values[Math.floor(q * values.length)]!;
      expect(Math.abs(histogram.quantile(q) - exact)).toBeLessThanOrEqual(Math.max(1, 0.017 * exact));
    }
    expect([histogram.min, histogram.max, histogram.count]).toEqual([values[0], values.at(-1), 50_000]);
    expect(histogram.mean).toBeCloseTo(values.reduce((a, b) => a + b) / 50_000, -3);
  });
  test("merging equals recording together; empty is 0", () => {
    const [a, b, both] = [new Histogram(), new Histogram(), new Histogram()];
    for (let i = 0; i < 1000; i++) {
      (i % 2 ? a : b).record(i * 977);
      both.record(i * 977);
    }
    a.merge(b);
    expect([a.quantile(0.3), a.mean, a.variance]).toEqual([both.quantile(0.3), both.mean, both.variance]);
    expect(new Histogram().quantile(0.5)).toBe(0);
  });
});

describe("keys and sizes", () => {
  test("keyHash is FNV-1a over the key's bytes", () => {
    for (const id of [0, 1, 15, 255, 65_535, 1e8, 0x7fffffff, 0xffffffff]) {
      expect(keyHash(id)).toBe(fnv1a32(new TextEncoder().encode(keyText(id))));
    }
  });
  test("FNV-1a's published vectors, and the pair that BMC's own comment says collides", () => {
    const hash = (text: string) => fnv1a32(new TextEncoder().encode(text));
    expect([hash(""), hash("a"), hash("foobar")]).toEqual([0x811c9dc5, 0xe40c292c, 0xbf9cf968]);
    expect(hash("declinate0123456")).toBe(hash("macallums0123456"));
  });
  test("ETC: 44 % under 15 bytes, over 90 % under 1,000", () => {
    const sizeOf = valueSizes({ kind: "etc" });
    const sizes = Array.from({ length: 100_000 }, (_, key) => sizeOf(key));
    const share = (limit: number) => sizes.filter((s) => s < limit).length / sizes.length;
    expect(share(15)).toBeCloseTo(0.442, 2);
    // Tail of the Pareto part beyond 1,000 B, given 15 B or more.
    const tail = (x: number) => (1 + (0.348238 * x) / 214.476) ** (-1 / 0.348238);
    expect(1 - share(1000)).toBeCloseTo(0.558 * (tail(1000) / tail(15)), 2);
  });
  test.each(Object.entries(YCSB))("YCSB %s keeps its shares", (_, mix) => {
    const { request, next } = workload(
      { key: { kind: "uniform", keys: 100 }, size: { kind: "constant", bytes: 9 }, mix },
      1,
    );
    const seen: Record<string, number> = {};
    for (let i = 0; i < 20_000; i++) {
      next();
      seen[request.operation] = (seen[request.operation] ?? 0) + 1 / 20_000;
    }
    for (const [operation, share] of Object.entries(mix)) {
      expect(seen[operation === "insert" ? "set" : operation]).toBeCloseTo(share, 1);
    }
  });
  test("a hot set drifts: old hot keys cool", () => {
    const { request, next } = workload(
      {
        key: { kind: "hotset", keys: 1e6, hotKeys: 10, hotShare: 0.9, driftEvery: 100 },
        size: { kind: "constant", bytes: 9 },
        mix: { get: 1 },
      },
      1,
    );
    const hot = (from: number) => {
      let n = 0;
      for (let i = 0; i < 1000; i++) {
        next();
        if (request.key >= from && request.key < from + 20) n++;
      }
      return n;
    };
    expect(hot(0)).toBeGreaterThan(800);
    for (let i = 0; i < 10_000; i++) next();
    expect(hot(0)).toBeLessThan(10);
  });
});
