import { describe, expect, it } from "vitest";
import { quantileBetween, Scrape } from "../../loadtest/prometheus-text.ts";

const text = (a: number, b: number, c: number) => `# HELP x_seconds help
# TYPE x_seconds histogram
x_seconds_bucket{tier="hot",le="0.1"} ${a}
x_seconds_bucket{tier="hot",le="0.2"} ${b}
x_seconds_bucket{tier="hot",le="+Inf"} ${c}
x_seconds_count{tier="hot"} ${c}
y_total{reason="a \\"b\\""} 3
y_total{reason="c"} 4
`;

describe("Scrape", () => {
  it("sums the samples whose labels match", () => {
    const scrape = new Scrape(text(1, 2, 3));
    expect(scrape.sum("y_total")).toBe(7);
    expect(scrape.sum("y_total", { reason: 'a "b"' })).toBe(3);
    expect(scrape.sum("y_total", { reason: "none" })).toBe(0);
    expect(scrape.has("z_total")).toBe(false);
  });
});

describe("quantileBetween", () => {
  const quantile = (q: number) =>
    quantileBetween(new Scrape(text(5, 5, 5)), new Scrape(text(15, 25, 25)), "x_seconds", { tier: "hot" }, q);

  it("interpolates within the bucket, over the difference of two scrapes", () => {
    expect(quantile(0.25)).toBeCloseTo(0.05);
    expect(quantile(0.75)).toBeCloseTo(0.15);
  });

  it("is NaN where nothing was counted", () => {
    const scrape = new Scrape(text(5, 5, 5));
    expect(quantileBetween(scrape, scrape, "x_seconds", { tier: "hot" }, 0.5)).toBeNaN();
  });
});
