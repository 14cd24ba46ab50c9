import { expect, it } from "vitest";
import { benchmark, format } from "../../loadtest/bench/machine.ts";

it("npm run bench:machine measures every part", () => {
  const figures = benchmark(0.01);
  expect(figures).toHaveLength(13);
  for (const { value } of figures) expect(value).toBeGreaterThan(0);
  expect(format(figures).split("\n")).toHaveLength(15);
});
