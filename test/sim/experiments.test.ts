import { describe, expect, test } from "vitest";
import { configNames, configPath, readJson } from "../../src/cli/config-files.ts";
import { loadExperiment, profileCache } from "../../src/cli/simulate.ts";
import { Lab, type Report } from "../../src/sim/experiment.ts";
import { chooseParams, parseExperiment } from "../../src/sim/experiment-file.ts";
import { KINDS } from "../../src/sim/experiments/kinds.ts";
import { renderCsv, renderReport } from "../../src/sim/report.ts";
import { renderSvg } from "../../src/sim/svg.ts";

const profile = profileCache();
const profiles = configNames("profiles");
/** All but `replay`, which needs a trace: traces.test.ts runs it. */
const names = configNames("experiments").filter((name) => name !== "replay");

function runExperiment(name: string, requests: number, sets: string[] = [], preset?: string): Report {
  const experiment = loadExperiment(name);
  const params = chooseParams(experiment, preset, sets, profiles);
  const lab = new Lab(experiment, { params, seed: experiment.seed, requests, profile });
  for (const _ of KINDS[experiment.kind]!.run(lab)) void _;
  return lab.report(true);
}
const reports = new Map<string, Report>();
const report = (name: string) => {
  const known = reports.get(name) ?? runExperiment(name, 60_000);
  reports.set(name, known);
  return known;
};
const error = (name: string, id: string) => report(name).comparisons.find((c) => c.id === id)!.error;

describe.each(names)("%s", (name) => {
  test("holds every published figure against ours, finds no NaN, draws its plots", () => {
    const { comparisons, tables, plots } = report(name);
    // The three of policies' preset need 100 M keys: they are compared when it runs.
    const ofPreset = ["direct.0.01894", "direct.0.0325", "direct.0.063"];
    const ids = Object.keys(loadExperiment(name).published).filter((id) => !ofPreset.includes(id));
    expect(new Set(comparisons.map((c) => c.id))).toEqual(new Set(ids));
    for (const { id, ours } of comparisons) expect(ours, id).toBeTypeOf("number");
    for (const { id, ours } of comparisons) expect(ours, id).not.toBeNaN();
    expect(tables.flatMap((t) => t.rows).length).toBeGreaterThan(0);
    expect(plots.length).toBeGreaterThan(0);
    for (const plot of plots) {
      const svg = renderSvg(plot);
      expect(svg).toMatch(/^<svg xmlns[\s\S]*<\/svg>\n$/);
      expect(svg).not.toMatch(/NaN|undefined|Infinity/);
    }
  });

  test("the same seed gives the same bytes", () => {
    const again = runExperiment(name, 2_000);
    expect(JSON.stringify(runExperiment(name, 2_000))).toBe(JSON.stringify(again));
    expect(renderReport(again)).toContain(loadExperiment(name).title);
    expect(renderCsv(again).split("\n").length).toBeGreaterThan(3);
  });
});

describe("what was fitted is met, what is predicted comes near", () => {
  test.each([
    ["partial-offload", "capacityRatio", 0.01],
    ["partial-offload", "capacityTailCalls", 0.05],
    ["partial-offload", "sockets.slow.off.p50", 0.06],
    ["partial-offload", "sockets.slow.on.p50", 0.15],
    ["partial-offload", "sockets.slow.p50Ratio", 0.15],
    ["partial-offload", "afXdp.slow.on.p50", 0.15],
    ["bmc-cores", "vanilla.2", 0.06],
    ["bmc-cores", "vanilla.4", 0.15],
    ["bmc-cores", "vanilla.8", 0.2],
    ["bmc-cores", "sr.8", 0.08],
    ["bmc-cores", "total.4", 0.12],
    ["bmc-cores", "total.8", 0.08],
    ["bmc-cores", "bestOverBestVanilla", 0.15],
    ["bmc-traffic", "sr.50", 0.06],
    ["bmc-traffic", "total.50", 0.2],
    ["bmc-traffic", "total.100", 0.12],
    ["hooks", "tc.echo.p50", 0.02],
    ["hooks", "sk_skb.echo.p50", 0.02],
    ["hooks", "socket.echo.p50", 0.02],
    ["policies", "direct.0.99", 0.01],
  ])("%s: %s within %d", (name, id, tolerance) => {
    expect(Math.abs(error(name, id))).toBeLessThan(tolerance);
  });

  test("the slow flow gets slower with the offload, the fast one's floor lower", () => {
    const ours = (id: string) => report("partial-offload").comparisons.find((c) => c.id === id)!.ours;
    expect(ours("sockets.slow.p50Ratio")).toBeGreaterThan(1.15);
    expect(ours("sockets.slow.on.p1")).toBeGreaterThan(ours("sockets.slow.off.p1"));
  });

  test("vanilla memcached peaks at 4 cores and falls, as published", () => {
    const rates = report("bmc-cores").tables[0]!.rows.map((row) => Number(row[1]));
    expect(rates.indexOf(Math.max(...rates))).toBe(3);
    expect(rates[7]! / rates[3]!).toBeLessThan(0.75);
  });

  test("the law rho < omega decides the sign in every simulated point", () => {
    const law = report("partial-offload").tables.find((t) => t.title.startsWith("The law"))!;
    for (const [rho, omega, speedup] of law.rows as [number, number, number][]) {
      if (rho < omega) expect(speedup).toBeGreaterThan(1);
      if (rho > omega) expect(speedup).toBeLessThan(1);
      expect(Math.abs(speedup * (1 + rho - omega) - 1)).toBeLessThan(0.015);
    }
  });

  test("the preset 'seed' offers 55K + 5K", () => {
    const seed = runExperiment("partial-offload", 2_000, [], "seed");
    expect(seed.params).toMatchObject({ fastRate: 55_000, slowRate: 5_000 });
  });
});

test("golden figures: seed 1, 60,000 requests a point", () => {
  const figures = (name: string, ids: string[]) =>
    ids.map((id) => `${name} ${id} ${report(name).comparisons.find((c) => c.id === id)!.ours}`);
  expect([
    ...figures("partial-offload", ["capacityHot", "sockets.slow.off.p50", "sockets.slow.on.p99"]),
    ...figures("bmc-cores", ["vanilla.8", "total.8"]),
    ...figures("bmc-traffic", ["total.50"]),
    ...figures("isolation", ["echo.on.p50"]),
    ...figures("policies", ["direct.0.99"]),
  ]).toMatchInlineSnapshot(`
    [
      "partial-offload capacityHot 318.02043726538045",
      "partial-offload sockets.slow.off.p50 41.342431594936706",
      "partial-offload sockets.slow.on.p99 335.2926617600002",
      "bmc-cores vanilla.8 222211.00646088208",
      "bmc-cores total.8 7286318.920861915",
      "bmc-traffic total.50 2332614.9975515297",
      "isolation echo.on.p50 75.82860126315789",
      "policies direct.0.99 73.065",
    ]
  `);
});

test("a stopped run reports what it has", () => {
  const experiment = loadExperiment("bmc-cores");
  const lab = new Lab(experiment, { params: experiment.params, seed: 1, requests: 20_000, profile });
  let steps = 0;
  for (const _ of KINDS["bmc-cores"]!.run(lab)) if (++steps === 8) lab.stopped = true;
  const { comparisons, tables } = lab.report(false);
  expect(tables[0]!.rows.length).toBeGreaterThan(0);
  expect(tables[0]!.rows.length).toBeLessThan(8);
  expect(comparisons.length).toBeGreaterThan(0);
});

describe("bad experiment files are one line naming the key", () => {
  const broken = (change: (json: Record<string, never>) => void) => () => {
    const json = structuredClone(readJson(configPath("experiments", "bmc-cores.json"))) as Record<
      string,
      never
    >;
    change(json);
    parseExperiment(json, "x", profiles);
  };
  type Loose = Record<string, Record<string, unknown>>;
  test.each<[string, (json: Loose) => void, string]>([
    [
      "hit ratio 1.2",
      (j) => (j.params!.hitRatio = 1.2),
      "experiment 'x': params.hitRatio is 1.2; allowed: a number from 0 to 1",
    ],
    [
      "negative rate",
      (j) => (j.params!.offeredRate = -5),
      "params.offeredRate is -5; allowed: a number >= 1",
    ],
    [
      "unknown parameter",
      (j) => (j.params!.colour = 1),
      "experiment 'x': params: unknown key 'colour'; allowed: offeredRate",
    ],
    ["missing parameter", (j) => delete j.params!.serverNs, "params.serverNs is missing"],
    ["unknown key", (j) => ((j as Record<string, unknown>).speed = 1), "experiment 'x': unknown key 'speed'"],
    [
      "unknown kind",
      (j) => ((j as Record<string, unknown>).kind = "magic"),
      `kind is "magic"; allowed: partial-offload`,
    ],
    [
      "wrong type",
      (j) => (j.params!.maxCores = "8"),
      `params.maxCores is "8"; allowed: a whole number from 1 to 64`,
    ],
    ["half a core", (j) => (j.params!.maxCores = 2.5), "params.maxCores is 2.5"],
    [
      "role of a figure",
      (j) => ((j.published!["sr.1"] as Record<string, unknown>).use = "guess"),
      "published.sr.1.use",
    ],
  ])("%s", (_, change, message) => {
    const parse = broken(change as never);
    expect(parse).toThrow(message);
    expect(parse).not.toThrow(/\n/);
  });
  test.each([
    ["hitRatio=1.2", "--set.hitRatio is 1.2"],
    ["hitRatio=", "--set.hitRatio is missing"],
    ["hitRatio=abc", "--set.hitRatio is NaN"],
    ["warp=1", "--set warp: unknown parameter"],
    ["hitRatio", "--set 'hitRatio' is not key=value"],
  ])("--set %s", (set, message) => {
    expect(() => chooseParams(loadExperiment("bmc-cores"), undefined, [set], profiles)).toThrow(message);
  });
});
