/** What is over a limit is turned away clearly, what is hot is answered all the same, and afterwards all is as before. */
import net from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { MemoryStore } from "../../src/tiers/cold/memory.ts";
import type { Change, ColdStore, Item, Key } from "../../src/tiers/cold/store.ts";
import { answers, exchange, get, put, type Running, start, tier } from "../support/service.ts";

/** Answers nothing while the gate is shut. */
class GatedStore implements ColdStore {
  readonly name = "gated";
  readonly #inner = new MemoryStore({ maxBytes: 1e6, maxEntries: 100 });
  #shut = false;
  #waiting: (() => void)[] = [];

  shut(): void {
    this.#shut = true;
  }

  open(): void {
    this.#shut = false;
    for (const go of this.#waiting.splice(0)) go();
  }

  async get(key: Key): Promise<Item | null> {
    await this.#pass();
    return this.#inner.get(key);
  }

  async update<T>(key: Key, change: (old: Item | null) => Change<T>): Promise<T> {
    await this.#pass();
    return this.#inner.update(key, change);
  }

  clear() {
    this.#inner.clear();
  }
  stats() {
    return this.#inner.stats();
  }
  close() {
    this.open();
  }

  async #pass(): Promise<void> {
    if (this.#shut) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

const running: Running[] = [];
afterEach(async () => {
  for (const { service } of running.splice(0)) await service.close();
});
async function serve(...parts: Parameters<typeof start>): Promise<Running> {
  const started = await start(...parts);
  running.push(started);
  return started;
}

async function metric({ url }: Running, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)`, "m").exec(text)?.[1]);
}

describe("cold.maxPending", () => {
  test("refuses what is over it with 503 and SERVER_ERROR, and hot keys are answered meanwhile", async () => {
    const cold = new GatedStore();
    const node = await serve(
      { admission: "always", memcached: "127.0.0.1:0" },
      { cold: { maxPending: 4 } },
      { cold },
    );
    for (const request of [put("hot", "v"), get("hot"), get("hot")])
      await exchange(node.port, [request], { enough: 1 });
    cold.shut();
    const all = Array.from({ length: 10 }, (_, i) =>
      exchange(node.port, [get(`k${i}`)], { enough: 1, quietMs: 2_000 }),
    );
    await expect.poll(() => metric(node, "bmc_shed_total")).toBe(6);
    const [meanwhile] = answers((await exchange(node.port, [get("hot")], { enough: 1 })).text);
    expect([meanwhile?.status, meanwhile && tier(meanwhile)]).toEqual([200, "hot"]);
    const memcachedPort = node.service.memcached?.server?.port ?? 0;
    const said = await exchange(memcachedPort, ["get k\r\nset k 0 0 1\r\nx\r\n"]);
    expect(said.text).toMatch(
      /^(SERVER_ERROR 4 operations are under way; try again \(cold\.maxPending\)\r\n){2}$/,
    );

    cold.open();
    const answered = (await Promise.all(all)).flatMap(({ text }) => answers(text));
    expect(answered.map(({ status }) => status).sort()).toEqual([404, 404, 404, 404, ...Array(6).fill(503)]);
    const refused = answered.find(({ status }) => status === 503);
    expect(refused?.head).toMatch(/^retry-after: 1$/im);
    expect(refused?.body).toContain("4 operations are under way; try again");
    const [after] = answers((await exchange(node.port, [put("k1", "v")], { enough: 1 })).text);
    expect(after?.status).toBe(201);
  });

  test("bounds what one turn of the event loop takes on, so that a backlog does not hold it", async () => {
    const node = await serve({}, { cold: { maxPending: 8 } });
    const { text } = await exchange(node.port, [get("none").repeat(50)], { enough: 50 });
    const statuses = answers(text).map(({ status }) => status);
    expect(statuses).toHaveLength(50);
    expect(statuses.filter((status) => status === 404).length).toBeGreaterThanOrEqual(8);
    expect(statuses.filter((status) => status === 503).length).toBe(await metric(node, "bmc_shed_total"));
    expect(await metric(node, "bmc_shed_total")).toBeGreaterThan(0);
    const [after] = answers((await exchange(node.port, [get("none")], { enough: 1 })).text);
    expect(after?.status).toBe(404);
  });
});

test("connections over server.maxConnections are closed at once and counted", async () => {
  const node = await serve({}, { server: { maxConnections: 2 } });
  const open = async () => {
    const socket = net.connect(node.port, "127.0.0.1");
    const closed = new Promise<boolean>((resolve) => {
      socket.on("error", () => {});
      socket.once("close", () => resolve(true));
      socket.once("data", () => resolve(false));
    });
    socket.write(get("none"));
    return { socket, closed };
  };
  const first = await open();
  expect(await first.closed).toBe(false);
  const second = await open();
  expect(await second.closed).toBe(false);
  const third = await open();
  expect(await third.closed).toBe(true);
  first.socket.destroy();
  await expect.poll(async () => (await open()).closed).toBe(false);
  second.socket.destroy();
  await expect
    .poll(() => metric(node, "bmc_dropped_connections_total").catch(() => 0))
    .toBeGreaterThanOrEqual(1);
});

test.each(["on", "off"])("a head over server.maxHeaderBytes is answered 431, offload %s", async (offload) => {
  const node = await serve({ offload }, { server: { maxHeaderBytes: 2_048 } });
  const { text, closed } = await exchange(node.port, [get("k", `X: ${"v".repeat(3_000)}\r\n`)]);
  expect(answers(text)[0]?.status).toBe(431);
  expect(closed).toBe(true);
  const [fine] = answers(
    (await exchange(node.port, [get("k", `X: ${"v".repeat(1_000)}\r\n`)], { enough: 1 })).text,
  );
  expect(fine?.status).toBe(404);
});
