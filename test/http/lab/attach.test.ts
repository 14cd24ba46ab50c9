/** Attach: a program from the lab into the running service, with `--lab-write` only, verified elsewhere first. */
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type ServeFlags, serveConfig } from "../../../src/cli/serve.ts";
import { Service } from "../../../src/cli/service.ts";
import type { ServingProgram, Snapshot } from "../../../src/http/lab/backend.ts";
import { fnv1a } from "../../../src/tiers/hot/layout.ts";

const SHIPPED = readFileSync(new URL("../../../src/programs/http_kv.bpf.o", import.meta.url));
/** Everything crosses into userspace. */
const PASS_ALL = '.type "sk_skb/stream_verdict"\nr0 = 1\nexit\n';
/** Turns a datagram round as it is, and counts it. */
const REFLECT = `
.type xdp
.map seen array key=4 value=8 entries=1
r9 = r1
*(u32 *)(r10 - 4) = 0
r2 = r10
r2 += -4
r1 = map[seen]
call bpf_map_lookup_elem
if r0 == 0 goto pass
r1 = 1
lock *(u64 *)(r0 + 0) += r1
r2 = *(u32 *)(r9 + 0)
r3 = *(u32 *)(r9 + 4)
r4 = r2
r4 += 42
if r4 > r3 goto pass
r5 = *(u32 *)(r2 + 26)
r6 = *(u32 *)(r2 + 30)
*(u32 *)(r2 + 26) = r6
*(u32 *)(r2 + 30) = r5
r5 = *(u16 *)(r2 + 34)
r6 = *(u16 *)(r2 + 36)
*(u16 *)(r2 + 34) = r6
*(u16 *)(r2 + 36) = r5
r0 = 3
exit
pass: r0 = 2
exit
`;
/** Passes everything, and lets a slot of the hot map look as if writes without end were under way. */
const SPOIL = (slot: number) => `
.type "sk_skb/stream_verdict"
.map hot_map array key=4 value=1320 entries=65536
*(u32 *)(r10 - 4) = ${slot}
r2 = r10
r2 += -4
r1 = map[hot_map]
call bpf_map_lookup_elem
if r0 == 0 goto out
*(u32 *)(r0 + 12) = 77
out: r0 = 1
exit
`;
/** Accepted, but only after a million instructions less a few were walked. */
const LONG = `.type xdp\nr1 = 0\nloop: r1 += 1\n${"r2 = r1\n".repeat(40)}if r1 < 20000 goto loop\nr0 = 2\nexit\n`;

type Lab = Awaited<ReturnType<typeof start>>;

/** @param verifyTimeMs generous where it is not what is tested: others may want this machine too */
async function start(extra: ServeFlags = {}, verifyTimeMs = 120_000) {
  const config = serveConfig({ port: "0", "costs-scale": "0", "lab-write": true, ...extra }, {});
  const lab = { ...config.lab, verifyTimeMs };
  const made = new Service({ ...config, lab }, { logger: pino({ level: "silent" }) });
  const { url } = await made.listen();
  const session = (await (await fetch(`${url}/api/lab/session`)).json()) as {
    token: string;
    whyNotAttach: string | null;
    places: string[];
  };
  const send = (path: string, type: string, body: string | Uint8Array<ArrayBuffer>, more = {}) =>
    fetch(`${url}/api/lab/${path}`, {
      method: "POST",
      headers: { "content-type": type, "x-bmc-token": session.token, ...more },
      body,
    });
  const attach = async (text: string) => answer(await send("attach", "text/plain", text));
  const attachObject = async (bytes: Uint8Array<ArrayBuffer>, program: string) =>
    answer(await send(`attach?program=${program}`, "application/octet-stream", bytes));
  const place = async (path: string, where: string) =>
    answer(await send(path, "application/json", JSON.stringify({ place: where })));
  const serving = async (): Promise<readonly ServingProgram[]> => {
    const response = await fetch(`${url}/api/lab/events`);
    const reader = response.body?.getReader();
    const { value } = (await reader?.read()) ?? {};
    await reader?.cancel();
    const text = Buffer.from(value ?? []).toString();
    return (JSON.parse(text.replace(/^data: /, "")) as Snapshot).programs;
  };
  /** On a connection of its own: one given up to userspace stays there. */
  const tier = () =>
    new Promise<string>((resolve, reject) => {
      const agent = new Agent({ keepAlive: true });
      const request = get(`${url}/kv/k`, { agent }, (response) => {
        response.resume().on("end", () => {
          agent.destroy();
          resolve(response.headers["cache-status"] === "bmc-hot; hit" ? "hot" : "cold");
        });
      });
      request.on("error", reject);
    });
  return { service: made, url, session, send, attach, attachObject, place, serving, tier };
}

async function answer(response: Response): Promise<string> {
  const text = await response.text();
  return text === ""
    ? String(response.status)
    : `${response.status} ${(JSON.parse(text) as { message: string }).message}`;
}

describe("attaching from the lab", () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await start({ admission: "always", memcached: "127.0.0.1:0" });
  }, 120_000);
  afterEach(async () => {
    for (const place of lab.session.places) await lab.place("restore", place);
  });
  afterAll(() => lab.service.close(), 60_000);

  it("shows every program that serves, memcached's pair too, which nothing here exchanges", async () => {
    const shown = await lab.serving();
    expect(shown.map(({ at, name, place, attached }) => `${at}: ${name}, ${place}, ${attached}`)).toEqual([
      "sk_skb/stream_parser: http_kv_parser, sk_skb, true",
      "sk_skb/stream_verdict: http_kv_verdict, sk_skb, true",
      "xdp: rx_filter, xdp, true",
      "tc: tx_filter, tc, true",
      "sk_skb/stream_parser, memcached over TCP: mc_parser, null, true",
      "sk_skb/stream_verdict, memcached over TCP: mc_verdict, null, true",
    ]);
  });

  it.each([
    ["no token", { "x-bmc-token": "" }],
    ["another origin", { origin: "http://evil.example" }],
    ["another site", { "sec-fetch-site": "cross-site" }],
    ["a proxy on this machine", { "x-forwarded-for": "192.0.2.7" }],
  ])("is refused with %s", async (_name, headers) => {
    expect((await lab.send("attach", "text/plain", PASS_ALL, headers)).status).toBe(403);
  });

  it.each([
    ["another machine", { remoteAddress: "192.0.2.7" }],
    ["a rebound name", { headers: { host: "evil.example" } }],
  ])("is refused from %s", async (_name, change) => {
    const { service: made, session } = lab;
    const { headers = {}, ...rest } = change as { headers?: object; remoteAddress?: string };
    const { statusCode } = await made.app.inject({
      method: "POST",
      url: "/api/lab/attach",
      headers: { host: "127.0.0.1", "content-type": "text/plain", "x-bmc-token": session.token, ...headers },
      payload: PASS_ALL,
      ...rest,
    });
    expect(statusCode).toBe(403);
  });

  it("lets a verdict program serve beside the shipped parser, and the shipped pair again", async () => {
    await fetch(`${lab.url}/kv/k`, { method: "PUT", body: "v" });
    await lab.tier();
    expect(await lab.tier()).toBe("hot");
    expect(await lab.attach(PASS_ALL)).toBe("204");
    const [parser, verdict] = await lab.serving();
    expect(parser).toMatchObject({ at: "sk_skb/stream_parser", from: "start", attached: true });
    expect(verdict).toMatchObject({
      at: "sk_skb/stream_verdict",
      from: "lab",
      attached: true,
      instructions: 2,
    });
    await lab.tier();
    expect(await lab.tier()).toBe("cold");
    expect((await lab.serving())[1]?.runs).toBeGreaterThan(1);
    expect(await lab.place("restore", "sk_skb")).toBe("204");
    await lab.tier();
    expect(await lab.tier()).toBe("hot");
    expect((await lab.serving()).every(({ from }) => from === "start")).toBe(true);
  });

  it("brings both halves of an object's pair, over the same hot map", async () => {
    await fetch(`${lab.url}/kv/k`, { method: "PUT", body: "v" });
    expect(await lab.attachObject(Uint8Array.from(SHIPPED), "http_kv_verdict")).toBe("204");
    const pair = async () => (await lab.serving()).filter(({ place }) => place === "sk_skb");
    expect((await pair()).map(({ from }) => from)).toEqual(["lab", "lab"]);
    await lab.tier();
    expect(await lab.tier()).toBe("hot");
    // Two loads of programs of one name must not make a metric twice.
    const metrics = await (await fetch(`${lab.url}/metrics`)).text();
    expect(metrics.match(/^bmc_program_runs_total\{program="http_kv_verdict"/gm)).toHaveLength(1);
    expect(await lab.place("detach", "sk_skb")).toBe("204");
    expect((await pair()).map(({ attached }) => attached)).toEqual([false, false]);
    expect(await lab.tier()).toBe("cold");
  }, 120_000);

  it("lets an XDP program answer memcached's datagrams, and ours again", async () => {
    expect(lab.session.places).toEqual(["sk_skb", "xdp", "tc"]);
    const port = lab.service.memcached?.server?.port ?? 0;
    const ask = () =>
      new Promise<string>((resolve) => {
        const socket = createSocket("udp4");
        socket.once("message", (message) => {
          socket.close();
          resolve(message.subarray(8).toString());
        });
        socket.send(Buffer.from("\0\x01\0\0\0\x01\0\0get nobody\r\n", "latin1"), port, "127.0.0.1");
      });
    expect(await ask()).toBe("END\r\n");
    expect(await lab.attach(REFLECT)).toBe("204");
    expect(await ask()).toBe("get nobody\r\n");
    expect((await lab.serving()).find(({ at }) => at === "xdp")).toMatchObject({
      from: "lab",
      attached: true,
      runs: 1,
    });
    expect(await lab.place("detach", "xdp")).toBe("204");
    expect(await ask()).toBe("END\r\n");
    expect(await lab.place("restore", "xdp")).toBe("204");
    expect(await ask()).toBe("END\r\n");
    expect((await lab.serving()).find(({ at }) => at === "xdp")).toMatchObject({
      from: "start",
      attached: true,
    });
  });

  it.each([
    [
      "a program the verifier refuses, in its words",
      ".type xdp\nr0 = *(u64 *)(r1 + 400)\nexit\n",
      /invalid bpf_context access/,
    ],
    ["a text that is no program", "r0 = rr\n", /line 1/],
    ["a type that no hook takes", ".type socket_filter\nr0 = 0\nexit\n", /no hook here takes one/],
    [
      "maps that are too large",
      '.type "sk_skb/stream_verdict"\n.map m array key=4 value=1024 entries=1000000\nr1 = map[m]\nr0 = 1\nexit\n',
      /bytes/,
    ],
  ])("refuses %s", async (_name, text, message) => {
    const told = await lab.attach(text);
    expect(told).toMatch(/^409/);
    expect(told).toMatch(message);
    expect((await lab.serving()).every(({ from, attached }) => from === "start" && attached)).toBe(true);
  });

  it("refuses an upload that is too large, empty, or names no program", async () => {
    expect(await lab.attach(";".repeat(2 ** 20 + 1))).toMatch(/^413/);
    expect(await lab.attach("")).toMatch(/^400 .*empty/);
    expect(
      await answer(await lab.send("attach", "application/octet-stream", Uint8Array.from(SHIPPED))),
    ).toMatch(/^400 .*program/);
    expect(await lab.attachObject(Uint8Array.from(SHIPPED), "none")).toMatch(/^409 .*http_kv_verdict/);
    expect(await lab.attachObject(Uint8Array.from(Buffer.from("\x7fELF...")), "x")).toMatch(/^409/);
  });

  it("refuses a program that takes too long to verify, and goes on serving meanwhile", async () => {
    const slow = await start({}, 150);
    const refused = slow.attach(LONG).then((told) => ({ told }));
    let served = 0;
    for (;;) {
      const first = await Promise.race([refused, fetch(`${slow.url}/healthz`)]);
      if ("told" in first) {
        expect(first.told).toMatch(/^409 not verified within 0.15 s/);
        break;
      }
      served += Number(first.ok);
    }
    expect(served).toBeGreaterThan(0);
    expect((await slow.serving()).every(({ from, attached }) => from === "start" && attached)).toBe(true);
    expect(await slow.place("restore", "xdp")).toMatch(/^409 .*--memcached/);
    await slow.service.close();
  }, 120_000);

  it("verifies one program at a time", async () => {
    const both = await Promise.all([lab.attach(PASS_ALL), lab.attach(PASS_ALL)]);
    expect(both.sort()).toEqual(["204", expect.stringMatching(/^409 another program is being verified/)]);
  });

  it.each(["restore", "detach"])(
    "leaves no slot spoiled by a program that wrote into the hot map: %s",
    async (how) => {
      await fetch(`${lab.url}/kv/k`, { method: "PUT", body: "v" });
      const { hot } = lab.service.machine!;
      expect(await lab.attach(SPOIL(fnv1a("k") % hot.entries))).toBe("204");
      const fills = async (): Promise<number> => {
        const before = hot.fills;
        for (let i = 0; i < 3; i++) await lab.tier();
        return hot.fills - before;
      };
      expect(await fills()).toBe(0);
      expect(await lab.place(how, "sk_skb")).toBe("204");
      expect(await fills()).toBeGreaterThan(0);
    },
  );

  it("detaches a program that fails at run time, and can put the shipped one back", async () => {
    await fetch(`${lab.url}/kv/k`, { method: "PUT", body: "v" });
    expect(await lab.attach(PASS_ALL)).toBe("204");
    // What an unsound verifier would let happen.
    const { verdict } = lab.service.hook!.programs as unknown as {
      verdict: { executable: { run(): number } };
    };
    verdict.executable.run = () => {
      throw new WebAssembly.RuntimeError("memory access out of bounds");
    };
    expect(await lab.tier()).toBe("cold");
    const [, failed] = await lab.serving();
    expect(failed).toMatchObject({ attached: false, fault: expect.stringContaining("out of bounds") });
    expect(await lab.attach('.type "sk_skb/stream_parser"\nr0 = *(u32 *)(r1 + 0)\nexit\n')).toMatch(
      /^409 .*bring both/,
    );
    expect(await lab.place("restore", "sk_skb")).toBe("204");
    await lab.tier();
    expect(await lab.tier()).toBe("hot");
  });
});
