/** `bmc stats` against running services: the figures are the programs' own, the errors one line. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { serveConfig } from "../../src/cli/serve.ts";
import { Service } from "../../src/cli/service.ts";
import { run } from "../../src/cli/stats.ts";

const CLI = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));

describe("bmc stats", () => {
  let service: Service;
  let http: string;
  let memcached: string;
  let out = "";
  beforeAll(async () => {
    const flags = {
      port: "0",
      memcached: "127.0.0.1:0",
      "costs-scale": "0",
      "hot-entries": "1",
      admission: "always",
    };
    service = new Service(serveConfig(flags, {}), { logger: pino({ level: "silent" }) });
    http = (await service.listen()).url;
    memcached = `memcached://127.0.0.1:${service.memcached?.server?.port}`;
    // One place: the second key pushes the first out, which then collides.
    for (const key of ["a", "b"]) await fetch(`${http}/kv/${key}`, { method: "PUT", body: "x" });
    for (const key of ["a", "a", "b", "a"]) await (await fetch(`${http}/kv/${key}`)).text();
  }, 60_000);
  afterAll(() => service.close());
  beforeEach(() => {
    out = "";
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      out += text;
      return true;
    });
  });
  afterEach(() => vi.restoreAllMocks());

  test("over HTTP: policy, hits, collisions and their share of the look-ups", async () => {
    expect(await run([http])).toBe(0);
    expect(out).toContain("hot tier  direct (direct-mapped");
    expect(out).toContain("1 of 1 entries live (100.00 %)");
    expect(out).toMatch(/look-ups of a key +4 +0$/m);
    expect(out).toMatch(/^hits +1 +25\.00 % +0 +–$/m);
    expect(out).toMatch(/collisions: another key has the place +2 +50\.00 %/);
    expect(out).toMatch(/pushed a live key out +2 /);
    expect(await run([`${http}/metrics`])).toBe(0);
  });

  test("over memcached: its own counters, and what it does not tell is a dash", async () => {
    expect(await run([memcached])).toBe(0);
    expect(out).toContain("1 of 1 entries live");
    expect(out).toMatch(/look-ups of a key +– +0$/m);
  });

  test.each([
    [["http://127.0.0.1:9"], 1, /^bmc: cannot read http:\/\/127\.0\.0\.1:9\/metrics: /],
    [["memcached://127.0.0.1:9"], 1, /^bmc: cannot ask 127\.0\.0\.1:9: ECONNREFUSED/],
    [["elsewhere"], 2, /^bmc: 'elsewhere': expected http:\/\/HOST:PORT/],
    [["a", "b"], 2, /^bmc: unexpected argument 'b'/],
    [["--wrong"], 2, /^bmc: Unknown option '--wrong'/],
  ])("%j exits %i with one line", (args, status, line) => {
    const ran = spawnSync(process.execPath, [CLI, "stats", ...args], { encoding: "utf8", timeout: 20_000 });
    expect([ran.status, ran.stderr.split("\n").length]).toEqual([status, 2]);
    expect(ran.stderr).toMatch(line);
  });

  test("what is no bmc service is told so", async () => {
    await expect(run([`${http}/healthz`])).rejects.toThrow("it is no bmc service's /metrics");
  });
});
