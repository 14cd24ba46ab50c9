import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exchange, get, put, type Running, sleep, start } from "../support/service.ts";

const has = (tool: string) => spawnSync(tool, ["--version"]).status === 0;
const CONFIG = new URL("../../config/", import.meta.url).pathname;

let on: Running;
beforeAll(async () => {
  on = await start({ admission: "always", "costs-scale": "1" });
  await exchange(on.port, [put("m", "x".repeat(100)), get("m"), get("m").repeat(7), get("none")], {
    gapMs: 15,
    enough: 10,
  });
});
afterAll(() => on.service.close());

const scrape = async () => (await fetch(`${on.url}/metrics`)).text();

/** Value of a series by its exact name and labels. */
function value(text: string, series: string): number {
  const line = text.split("\n").find((l) => l.startsWith(`${series} `));
  expect(line, series).toBeDefined();
  return Number(line!.slice(series.length + 1));
}

describe("metrics", () => {
  test("count what happened", async () => {
    const text = await scrape();
    const expected: [string, number][] = [
      ['bmc_lookups_total{tier="hot",result="hit"}', 7],
      ['bmc_lookups_total{tier="hot",result="miss"}', 2],
      ['bmc_lookups_total{tier="cold",result="hit"}', 1],
      ['bmc_lookups_total{tier="cold",result="miss"}', 1],
      ['bmc_crossings_total{reason="miss"}', 2],
      ['bmc_crossings_total{reason="method"}', 1],
      ['bmc_request_observed_seconds_count{tier="hot"}', 7],
      ['bmc_request_observed_seconds_count{tier="cold"}', 2],
      ['bmc_request_modelled_seconds_count{tier="hot"}', 7],
      ['bmc_verdicts_total{program="http_kv_verdict",verdict="redirect"}', 7],
      ["bmc_hot_fills_total", 1],
      ["bmc_hot_invalidations_total", 1],
      ["bmc_hot_entries", 1],
      ['bmc_hot_value_bytes_bucket{le="127"}', 7],
      ['bmc_hot_value_bytes_bucket{le="63"}', 0],
    ];
    for (const [series, count] of expected) expect(value(text, series), series).toBe(count);
    expect(value(text, 'bmc_hit_ratio{tier="overall"}')).toBeCloseTo(8 / 9);
    // Modelled: reach and preparation of an sk_skb hook alone are 2,422 ns (facts, Table 1).
    expect(value(text, 'bmc_request_modelled_seconds_sum{tier="hot"}')).toBeGreaterThan(7 * 2422e-9);
  });

  test("every family of the dashboard and the rules is exposed", async () => {
    const text = await scrape();
    const files = ["alerts.yml", "grafana-dashboard.json"].map((f) => readFileSync(CONFIG + f, "utf8"));
    const named = new Set(files.join("\n").match(/(?<![\w:])(?:bmc|nodejs)_[a-z0-9_]+/g));
    named.delete("bmc_emulator");
    for (const name of named) expect(text, name).toMatch(new RegExp(`^${name}[ {]`, "m"));
    expect(named.size).toBeGreaterThan(15);
  });

  test.skipIf(!has("promtool"))("promtool finds nothing to say (skipped without promtool)", async () => {
    const text = await scrape();
    const linted = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
    expect(linted.stderr + linted.stdout).toBe("");
    expect(linted.status).toBe(0);
    execFileSync("promtool", ["check", "rules", join(CONFIG, "alerts.yml")]);
    execFileSync("promtool", ["check", "config", join(CONFIG, "prometheus.yml")]);
  });

  test.skipIf(!has("prometheus"))(
    "a real Prometheus scrapes the service (skipped without prometheus)",
    async () => {
      const dir = mkdtempSync(join(tmpdir(), "bmc-prometheus-"));
      const port = await freePort();
      const config = readFileSync(join(CONFIG, "prometheus.yml"), "utf8")
        .replace("127.0.0.1:8080", `127.0.0.1:${on.port}`)
        .replaceAll("5s", "1s")
        .replace("alerts.yml", join(CONFIG, "alerts.yml"));
      writeFileSync(join(dir, "prometheus.yml"), config);
      const child = spawn(
        "prometheus",
        [
          `--config.file=${dir}/prometheus.yml`,
          `--storage.tsdb.path=${dir}/data`,
          `--web.listen-address=127.0.0.1:${port}`,
        ],
        { stdio: "ignore" },
      );
      try {
        const ask = async (path: string) => (await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)).json();
        const up = async () => {
          const { data } = (await ask("query?query=bmc_lookups_total")) as { data: { result: unknown[] } };
          return data.result.length;
        };
        let series = 0;
        for (let i = 0; i < 100 && series === 0; i++) {
          await sleep(150);
          series = await up().catch(() => 0);
        }
        expect(series).toBe(4);
        const targets = (await ask("targets")) as { data: { activeTargets: { lastError: string }[] } };
        expect(targets.data.activeTargets.map((t) => t.lastError)).toEqual([""]);
      } finally {
        child.kill("SIGKILL");
        await sleep(50);
        rmSync(dir, { recursive: true, force: true });
      }
    },
    30_000,
  );
});

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
