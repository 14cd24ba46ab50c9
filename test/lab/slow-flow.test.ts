import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { slowFlow } from "../../src/lab/lessons/slow-flow.ts";

// The page bundles the profiles with the builder's own glob.
vi.mock("../../src/lab/profiles.ts", async () => {
  const { parseProfile } = await import("../../src/costs/profile.ts");
  const directory = new URL("../../config/profiles/", import.meta.url);
  const names = readdirSync(directory).map((file) => file.replace(/\.json$/, ""));
  const read = (name: string) =>
    parseProfile(JSON.parse(readFileSync(new URL(`${name}.json`, directory), "utf8")), name);
  return { PROFILES: new Map(names.map((name) => [name, read(name)])), profile: read };
});

describe("the slow flow of lesson 5", () => {
  it("is slower at the median with the program in front, as published", () => {
    const median = slowFlow(50_000).find((row) => row.quantile === "p50");
    expect(median?.on).toBeGreaterThan(median?.off ?? Number.POSITIVE_INFINITY);
    expect(median?.publishedOff).toBeCloseTo(40.6, 0);
  });
});
