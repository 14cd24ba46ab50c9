import { describe, expect, it } from "vitest";
import { runPublished } from "../../src/lab/what-if/published.ts";

describe("a published experiment, run again", () => {
  it.each([
    ["traffic", 5, 10],
    ["sockets", 13, 26],
    ["af-xdp", 13, 8],
  ] as const)(
    "%s has simulated lines and published points on the same axes",
    (name, lineLength, pointCount) => {
      const { curve, points } = runPublished(name);
      const [xs, without, withIt] = curve;
      expect([xs.length, without.length, withIt.length]).toEqual([lineLength, lineLength, lineLength]);
      expect(points).toHaveLength(pointCount);
      for (const { x } of points) expect(xs).toContain(x);
      expect([...without, ...withIt].every((y) => y !== null && y > 0)).toBe(true);
    },
  );
});
