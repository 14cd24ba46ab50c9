import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from "vitest";
import { serveConfig } from "../../../src/cli/serve.ts";
import { Service } from "../../../src/cli/service.ts";
import type { Snapshot } from "../../../src/http/lab/backend.ts";
import type { OPENAPI } from "../../../src/http/openapi.ts";
import type { Snapshot as PageSnapshot } from "../../../src/lab/live/snapshot.ts";

const start = async (flags: Record<string, string> = {}) => {
  const config = serveConfig({ port: "0", "costs-scale": "0", ...flags }, {});
  const service = new Service(config, { logger: pino({ level: "silent" }) });
  const { url } = await service.listen();
  return { service, url };
};

describe("the lab's endpoints", () => {
  let service: Service;
  let url: string;
  let token: string;
  beforeAll(async () => {
    ({ service, url } = await start());
    ({ token } = (await (await fetch(`${url}/api/lab/session`)).json()) as { token: string });
  });
  afterAll(() => service.close());

  const post = (path: string, body: unknown, headers: Record<string, string> = { "x-bmc-token": token }) =>
    fetch(url + path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  const snapshot = async (): Promise<Snapshot> => {
    const response = await fetch(`${url}/api/lab/events`);
    const reader = response.body?.getReader();
    const { value } = (await reader?.read()) ?? {};
    await reader?.cancel();
    return JSON.parse(
      Buffer.from(value ?? [])
        .toString()
        .replace(/^data: /, ""),
    ) as Snapshot;
  };

  it("tell the page what the page expects", () => {
    expectTypeOf<Snapshot>().toEqualTypeOf<PageSnapshot>();
  });

  it("are all in /openapi.json", async () => {
    const document = (await (await fetch(`${url}/openapi.json`)).json()) as typeof OPENAPI;
    for (const path of [
      "session",
      "events",
      "requests",
      "settings",
      "load",
      "load/stop",
      "clear",
      "attach",
      "detach",
      "restore",
    ]) {
      expect(document.paths).toHaveProperty([`/api/lab/${path}`]);
    }
  });

  it.each([
    ["no token", {}],
    ["another token", { "x-bmc-token": "nope" }],
  ])("refuse a change with %s", async (_name, headers) => {
    const response = await post("/api/lab/clear", {}, headers);
    expect(response.status).toBe(403);
  });

  it.each([
    ["another origin", { origin: "http://evil.example" }],
    ["another site", { "sec-fetch-site": "cross-site" }],
    ["a rebound name", { host: "evil.example" }],
  ])("refuse %s even to read the token", async (_name, headers) => {
    const { statusCode } = await service.app.inject({ url: "/api/lab/session", headers });
    expect(statusCode).toBe(403);
  });

  it.each([
    ["/api/lab/load", { keys: 0 }, 400, /keys/],
    ["/api/lab/settings", { costsScale: -1 }, 400, /costsScale/],
    ["/api/lab/settings", { colour: "red" }, 400, /colour/],
    ["/api/lab/settings", { profile: "none-such" }, 409, /none-such/],
  ])("answer %s %j with %i and the reason", async (path, body, status, message) => {
    const response = await post(path, body);
    expect(response.status).toBe(status);
    expect(await response.text()).toMatch(message);
  });

  it("exchange no program unless started with --lab-write, and say so", async () => {
    const session = (await (await fetch(`${url}/api/lab/session`)).json()) as { whyNotAttach: string };
    expect(session.whyNotAttach).toMatch(/--lab-write/);
    expect((await post("/api/lab/attach", {})).status).toBe(403);
    expect((await post("/api/lab/restore", { place: "sk_skb" })).status).toBe(403);
    expect((await snapshot()).programs.map(({ name, from }) => [name, from])).toEqual([
      ["http_kv_parser", "start"],
      ["http_kv_verdict", "start"],
    ]);
  });

  it.each([
    [{ workers: "2" }, /--lab-write.*allowed with it: server\.workers 1/],
    [{ lab: "off" }, /allowed with it: lab\.mode on/],
  ] as const)("exchange no program where the lab is not there: %j is refused", (flags, message) => {
    const config = serveConfig({ port: "0", "costs-scale": "0", "lab-write": true, ...flags }, {});
    expect(() => new Service(config, { logger: pino({ level: "silent" }) })).toThrow(message);
  });

  it("change profile, dilation and offload while serving", async () => {
    const put = () => fetch(`${url}/kv/k`, { method: "PUT", body: "v", headers: { connection: "close" } });
    const get = async () => {
      const response = await fetch(`${url}/kv/k`, { headers: { connection: "close" } });
      return [await response.text(), response.headers.get("cache-status")];
    };
    expect((await post("/api/lab/settings", { offload: "off", profile: "tc", costsScale: 2 })).status).toBe(
      204,
    );
    expect(await snapshot()).toMatchObject({ offload: "off", profile: "tc", costsScale: 2 });
    await put();
    expect(await get()).toEqual(["v", "bmc-cold; hit"]);
    await post("/api/lab/settings", { offload: "on", costsScale: 0 });
    expect(await snapshot()).toMatchObject({ offload: "on", costsScale: 0 });
    expect((await get())[0]).toBe("v");
  });

  it("run a bounded load on this service, whose counters move", async () => {
    const load = { keys: 20, skew: 0, valueBytes: 10, writeShare: 0, ratePerSecond: 1_000, seconds: 30 };
    expect((await post("/api/lab/load", load)).status).toBe(204);
    await expect.poll(async () => (await snapshot()).answered.hot, { timeout: 10_000 }).toBeGreaterThan(50);
    expect((await snapshot()).load).toMatchObject({ running: true, settings: load });
    await fetch(`${url}/api/lab/requests`);
    const sampled = async () =>
      (await (await fetch(`${url}/api/lab/requests`)).json()) as {
        tier: string;
        key: string;
        ledger: { ns: number }[];
      }[];
    await expect.poll(async () => (await sampled()).some((s) => s.tier === "hot")).toBe(true);
    const [first] = await sampled();
    expect(first?.key).toMatch(/^lab-\d+$/);
    expect(first?.ledger.length).toBeGreaterThan(2);
    await post("/api/lab/load/stop", {});
    expect((await snapshot()).load.running).toBe(false);
  });

  it("clear both tiers", async () => {
    await fetch(`${url}/kv/gone`, { method: "PUT", body: "v" });
    expect((await post("/api/lab/clear", {})).status).toBe(204);
    expect((await fetch(`${url}/kv/gone`)).status).toBe(404);
    expect((await snapshot()).hot.live).toBe(0);
  });

  it("lead / to the page, which keeps itself to itself", async () => {
    const root = await fetch(url, { redirect: "manual" });
    expect([root.status, root.headers.get("location")]).toEqual([302, "/lab/"]);
    const page = await fetch(`${url}/lab/`);
    expect(page.headers.get("content-security-policy")).toMatch(/default-src 'none'; script-src 'self'/);
  });
});

describe("the lab beyond loopback", () => {
  it("is off unless asked for", async () => {
    const { service, url } = await start({ host: "0.0.0.0" });
    const local = url.replace("0.0.0.0", "127.0.0.1");
    expect((await fetch(`${local}/lab/`)).status).toBe(404);
    expect((await fetch(`${local}/api/lab/session`)).ok).toBe(false);
    await service.close();
  });
});
