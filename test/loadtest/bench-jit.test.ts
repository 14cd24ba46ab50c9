import { describe, expect, it } from "vitest";
import { benchmark, format } from "../../loadtest/bench/jit.ts";

describe("npm run bench:jit", () => {
  it("times every program on every engine and prints a ratio where Linux can be asked", () => {
    const report = benchmark(500, 1);
    expect(report.rows).toHaveLength(3);
    for (const { ns, instructions } of report.rows) {
      expect(instructions).toBeGreaterThan(100);
      expect(ns.jit).toBeGreaterThan(0);
      expect(ns.interpreter).toBeGreaterThan(0);
      expect(ns.kernel === null).toBe(report.whyNoKernel !== null);
    }
    expect(format(report).split("\n").length).toBeGreaterThan(3);
  });
});
