import net from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { answers, exchange, get, put, type Running, sleep, start, tier } from "../support/service.ts";

let running: Running | null = null;
afterEach(async () => {
  await running?.service.close();
  running = null;
});

/** Times as short as a test can wait; the program's own Keep-Alive text is then wrong, which is not tested here. */
const TIMES = {
  headersTimeoutMs: 300,
  requestTimeoutMs: 600,
  keepAliveTimeoutMs: 72_000,
  timeoutCheckMs: 50,
};

async function connect(port: number) {
  const socket = net.connect({ port, host: "127.0.0.1" });
  const seen = { text: "", closedAfterMs: 0 };
  const since = Date.now();
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    seen.text += chunk.toString("latin1");
  });
  const closed = new Promise<void>((resolve) =>
    socket.once("close", () => {
      seen.closedAfterMs = Date.now() - since;
      resolve();
    }),
  );
  await new Promise((resolve) => socket.once("connect", resolve));
  return { socket, seen, closed };
}

describe("timeouts of connections the HTTP server has not been given", () => {
  test("one that never sends a byte gets 408, as with offload off", async () => {
    const texts: string[] = [];
    for (const offload of ["on", "off"]) {
      running = await start({ offload }, { server: TIMES });
      const { seen, closed } = await connect(running.port);
      await closed;
      expect(seen.closedAfterMs).toBeGreaterThanOrEqual(290);
      texts.push(seen.text);
      await running.service.close();
    }
    expect(texts[0]).toMatch(/^HTTP\/1.1 408 /);
    expect(texts[0]).toBe(texts[1]);
  });

  test("one that sends half a head gets 408", async () => {
    running = await start({}, { server: TIMES });
    const { socket, seen, closed } = await connect(running.port);
    socket.write("GET /kv/a HTTP/1.1\r\nHo");
    await closed;
    expect(seen.text).toMatch(/^HTTP\/1.1 408 /);
  });

  test("one answered only at the hook outlives headersTimeout and requestTimeout", async () => {
    running = await start({ admission: "always" }, { server: TIMES });
    await exchange(running.port, [put("k", "v") + get("k")], { enough: 2 });
    const { socket, seen } = await connect(running.port);
    for (let i = 0; i < 15; i++) {
      socket.write(get("k"));
      await sleep(60);
    }
    const all = answers(seen.text);
    expect(all.length).toBe(15);
    expect(all.every((a) => tier(a) === "hot")).toBe(true);
    // Given to the HTTP server now, late in its life: it must not be taken for a slow head.
    socket.write(get("cold"));
    await sleep(400);
    socket.write(get("k"));
    await sleep(60);
    expect(
      answers(seen.text)
        .map((a) => a.status)
        .slice(-2),
    ).toEqual([404, 200]);
    socket.destroy();
  });
});

describe("a fault of the program at run time", () => {
  test("detaches it, is told once, and the service goes on in userspace", async () => {
    const faults: unknown[] = [];
    running = await start({ admission: "always" });
    const { service, port } = running;
    await exchange(port, [put("k", "v") + get("k")], { enough: 2 });
    const { socket, seen } = await connect(port);
    socket.write(get("k"));
    await sleep(40);
    // What an unsound verifier would let happen: the compiled program traps.
    const { verdict } = service.hook!.programs as unknown as {
      verdict: { executable: { run: () => number } };
    };
    verdict.executable.run = () => {
      faults.push(1);
      throw new WebAssembly.RuntimeError("memory access out of bounds");
    };
    socket.write(get("k") + get("k"));
    await sleep(60);
    socket.write(get("k"));
    await sleep(60);
    const all = answers(seen.text);
    expect(all.map((a) => [a.status, a.body])).toEqual(Array(4).fill([200, "v"]));
    expect(all.map(tier)).toEqual(["hot", "cold", "cold", "cold"]);
    expect(faults.length).toBe(1);
    expect(service.hook!.attached).toBe(false);
    const metrics = await (await fetch(`${running.url}/metrics`)).text();
    expect(metrics).toContain('bmc_hook_faults_total{hook="sk_skb",server="http"} 1');
    expect((await fetch(`${running.url}/kv/k`)).headers.get("cache-status")).toContain("detail=fault");
    socket.destroy();
  });
});
