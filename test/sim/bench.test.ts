import { expect, test } from "vitest";
import { runBench } from "../../loadtest/bench/sim.ts";

test("the simulator's benchmark runs", () => {
  const rows = runBench(20_000);
  expect(rows.length).toBe(6);
  for (const { perSecond } of rows) expect(perSecond).toBeGreaterThan(0);
});
