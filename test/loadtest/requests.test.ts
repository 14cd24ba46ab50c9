import { describe, expect, it } from "vitest";
import { tierOf } from "../../loadtest/http/drive.ts";
import { requestsOf } from "../../loadtest/http/requests.ts";

const hot = { prefix: "h", count: 10, valueBytes: 1 };
const cold = { prefix: "c", count: 10, valueBytes: 1 };

describe("requestsOf", () => {
  it.each([0, 1, 30, 55, 60])("sends %i of every 60 requests to the hot keys", (hotOf60) => {
    const paths = requestsOf({ kind: "mix", hot, cold, hotOf60 }, 3).map((r) => r.path);
    expect(paths.filter((p) => p.startsWith("/kv/h")).length * 60).toBe(hotOf60 * paths.length);
  });

  it("gives each connection its own order, and the same one each time", () => {
    const pick = { kind: "uniform", keys: hot } as const;
    expect(requestsOf(pick, 1)).toEqual(requestsOf(pick, 1));
    expect(requestsOf(pick, 1)).not.toEqual(requestsOf(pick, 2));
  });
});

describe("Zipf keys", () => {
  it("ask for rank r about 1 / (r + 1)^s as often as for rank 0", () => {
    const keys = { prefix: "z", count: 1_000, valueBytes: 1 };
    const counts = new Map<string, number>();
    for (let connection = 0; connection < 170; connection++) {
      for (const { path } of requestsOf({ kind: "zipf", keys, skew: 1 }, connection)) {
        counts.set(path, (counts.get(path) ?? 0) + 1);
      }
    }
    const first = counts.get("/kv/z0") ?? 0;
    expect((counts.get("/kv/z1") ?? 0) / first).toBeCloseTo(1 / 2, 1);
    expect((counts.get("/kv/z9") ?? 0) / first).toBeCloseTo(1 / 10, 1);
  });
});

describe("tierOf", () => {
  it.each([
    [["Cache-Status", "bmc-hot; hit"], "hot"],
    [["cache-status", "bmc-hot; fwd=uri-miss; detail=not-admitted, bmc-cold; hit"], "cold"],
    [["content-length", "1"], "cold"],
  ] as const)("reads %j as %s", (headers, tier) => {
    expect(tierOf(headers)).toBe(tier);
  });
});
