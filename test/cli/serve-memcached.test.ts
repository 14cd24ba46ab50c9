/** `bmc serve --memcached` as a user has it: one service in this process, real sockets on loopback. */
import { connect } from "node:net";
import { pino } from "pino";
import { afterEach, describe, expect, test } from "vitest";
import { Refusal, UsageError } from "../../src/cli/exit.ts";
import { type ServeFlags, serveConfig } from "../../src/cli/serve.ts";
import { Service } from "../../src/cli/service.ts";
import { ConfigError } from "../../src/config.ts";
import { ask, frame, talk } from "../memcached/peers.ts";

const BYO = new URL("../fixtures/bpf/byo.bpf.o", import.meta.url).pathname;
const QUIET = { port: "0", memcached: "127.0.0.1:0", "log-level": "silent", "costs-scale": "0" };
const running: Service[] = [];

async function serve(flags: ServeFlags) {
  const service = new Service(serveConfig({ ...QUIET, ...flags }, {}), { logger: pino({ level: "silent" }) });
  const { port: httpPort } = await service.listen();
  running.push(service);
  const port = service.memcached?.server?.port ?? 0;
  return { service, port, http: `http://127.0.0.1:${httpPort}` };
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((service) => service.close()));
});

describe("bmc serve --memcached", () => {
  test("serves TCP and UDP on one port over the cache that HTTP serves", async () => {
    const { port, http } = await serve({ offload: "off" });
    await fetch(`${http}/kv/shared`, { method: "PUT", body: "from http" });
    expect(await talk(port, ["get shared\r\n"])).toContain("VALUE shared 0 9\r\nfrom http\r\n");
    await talk(port, ["set shared 0 0 8\r\nfrom tcp\r\n"]);
    expect(await (await fetch(`${http}/kv/shared`)).text()).toBe("from tcp");
    const [reply] = await ask(port, frame(77, "get shared\r\n"), 60, 10_000);
    expect(reply?.toString("latin1", 8)).toBe("VALUE shared 0 8\r\nfrom tcp\r\nEND\r\n");
  });

  test("its counters are in /metrics", async () => {
    const { port, http } = await serve({ offload: "off" });
    await talk(port, ["set k 0 0 1\r\nx\r\nget k\r\nget nope\r\n"]);
    const metrics = await (await fetch(`${http}/metrics`)).text();
    expect(metrics).toMatch(/bmc_memcached_events_total\{event="get_hits"\} 1\n/);
    expect(metrics).toMatch(/bmc_memcached_events_total\{event="cmd_set"\} 1\n/);
  });

  test("stats bmc says that no programs are there", async () => {
    const { port } = await serve({ offload: "off" });
    expect(await talk(port, ["stats bmc\r\n"])).toContain("STAT programs off\r\nEND\r\n");
  });

  test("what a client sent before its FIN is answered", async () => {
    const { port } = await serve({ offload: "off" });
    const all = await new Promise<string>((resolve) => {
      let text = "";
      const socket = connect(port, "127.0.0.1", () => socket.end("set a 0 0 1\r\nx\r\nget a\r\n"));
      socket.on("data", (chunk) => {
        text += chunk;
      });
      socket.on("close", () => resolve(text));
    });
    expect(all).toBe("STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
  });

  test.each([
    ["0.0.0.0:0", Refusal, /--allow-public-udp/],
    ["nonsense", ConfigError, /allowed: null or HOST:PORT/],
    ["127.0.0.1:99999", ConfigError, /allowed: null or HOST:PORT/],
  ])("--memcached %s is refused in one line", async (memcached, kind, message) => {
    const refused = await serve({ offload: "off", memcached }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(kind);
    expect((refused as Error).message).toMatch(message);
  });

  test("a taken port is refused", async () => {
    const first = await serve({ offload: "off" });
    const second = serve({ offload: "off", memcached: `127.0.0.1:${first.port}` });
    await expect(second).rejects.toThrow(/EADDRINUSE/);
  });
});

describe("bring your own program", () => {
  const tailCalls = { "tail-call": ["progs[0]=byo_write_reply"] };

  test("legacy maps, bare section names and tail calls load; the answers come from the programs", async () => {
    const { port, service } = await serve({
      xdp: `${BYO}:byo_rx_filter`,
      tc: `${BYO}:byo_tx_filter`,
      ...tailCalls,
    });
    const [pong] = await ask(port, frame(9, "get ping\r\n"), 500, 10_000); // the first run compiles
    expect(pong).toEqual(frame(9, "VALUE ping 0 4\r\npong\r\nEND\r\n"));
    const [other] = await ask(port, frame(10, "get pong\r\n"), 60, 10_000);
    expect(other).toEqual(frame(10, "END\r\n"));
    const hook = service.memcached?.datagrams;
    expect([hook?.verdicts[3], hook?.verdicts[2], hook?.egressRuns]).toEqual([1, 1, 1]);
    // Both programs count in one map, as they would after one libbpf loader.
    const seen = [...(service.machine?.kernel.maps ?? [])].find(({ def }) => def.name === "seen");
    expect(seen?.get(new Uint8Array([0, 0, 0, 0]))?.[0]).toBe(1);
    expect(seen?.get(new Uint8Array([1, 0, 0, 0]))?.[0]).toBe(1);
  });

  test.each([
    [{ xdp: "no-such-file.o" }, /cannot read no-such-file.o: no such file/],
    [{ xdp: `${BYO}:nope` }, /has no xdp program 'nope'; it has: byo_rx_filter/],
    [{ xdp: BYO }, /several xdp programs; name one/],
    [{ xdp: `${BYO}:byo_rx_filter`, "tail-call": ["progs[0]=nope"] }, /has no program 'nope'/],
    [{ xdp: `${BYO}:byo_rx_filter`, "tail-call": ["other[0]=byo_write_reply"] }, /no attached object has/],
    [{ xdp: `${BYO}:byo_rx_filter`, "tail-call": ["progs[7]=byo_write_reply"] }, /slot 7/],
    // Loaded as tc, the XDP program reads fields a __sk_buff does not have.
    [{ tc: `${BYO}:byo_write_reply` }, /rejected/],
  ] as const)("%o is refused in one line", async (flags, message) => {
    const refused = await serve(flags as ServeFlags).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Refusal);
    expect((refused as Error).message).toMatch(message);
  });

  test("a tail call that is not MAP[INDEX]=PROGRAM is a user's mistake", async () => {
    const refused = serve({ xdp: `${BYO}:byo_rx_filter`, "tail-call": ["progs"] });
    await expect(refused).rejects.toThrow(UsageError);
  });
});
