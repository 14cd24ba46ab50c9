/**
 * What goes wrong in a service of several workers, on purpose, under load: a worker's death at the worst moment, the
 * order to end, a wall clock that jumps. Whatever it is, no read is stale, no acknowledged write is lost, nobody
 * waits for ever, and all comes back by itself.
 */
import net from "node:net";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { DEATHS } from "../support/harms.ts";
import { newerNode, whyNot } from "../support/newer-node.ts";
import { hasRedis, REDIS_MISSING, RedisServer } from "../support/redis-server.ts";
import { RegisterLoad } from "../support/register-load.ts";
import { ServeProcess } from "../support/serve-process.ts";
import { TurnClient } from "../support/turn-client.ts";

const TIMEOUT_MS = 120_000;
vi.setConfig({ testTimeout: TIMEOUT_MS, hookTimeout: TIMEOUT_MS });
const PATIENCE = { timeout: 30_000, interval: 50 };
/** The kernel spreads connections by itself: so many reach both workers. */
const CONNECTIONS = 16;
const HOUR_MS = 3_600_000;
const MEMCACHED = ["--memcached", "127.0.0.1:0"];
const times = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i));

function serve(workers: number, flags: readonly string[] = []): Promise<ServeProcess> {
  const node = workers > 1 ? (newerNode ?? "") : process.execPath;
  const shared = ["--hot-entries", "256", "--admission", "always", "--workers", String(workers)];
  return ServeProcess.start(node, [...shared, ...flags]);
}

const restartsOf = (service: ServeProcess) => service.metric("bmc_worker_restarts_total");
const workersOf = (service: ServeProcess) => service.metric("bmc_workers");

let loads = 0;
/** Clients that write and read registers nobody wrote before, twice as many readers as registers. */
function begin(service: ServeProcess): RegisterLoad {
  const load = ++loads;
  return new RegisterLoad(
    [service, service],
    ["a", "b", "c", "d"].map((name) => `${name}-${load}`),
  );
}

async function settle(load: RegisterLoad, service: ServeProcess): Promise<void> {
  await load.stop();
  expect(load.seen.stale).toBe(0);
  expect(load.seen.unclear, service.log).toEqual([]);
  expect(await load.lost()).toEqual([]);
  expect(load.seen.writes).toBeGreaterThan(0);
  // Nothing stays locked, or waited for: every key gets hot again.
  for (const key of load.registers.keys()) {
    const status = async () => (await fetch(`${service.url}/kv/${key}`)).headers.get("cache-status");
    await expect.poll(status, PATIENCE).toBe("bmc-hot; hit");
  }
}

/** A request whose head is with the service, and whose body is still to come. */
async function halfPut(port: number, key: string): Promise<TurnClient> {
  const client = new TurnClient(port);
  const head = `PUT /kv/${key} HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`;
  expect(await client.ask(head, (text) => text.indexOf("\r\n\r\n") + 4)).toMatch(/^HTTP\/1\.1 100 /);
  return client;
}

const isRefused = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = net.connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", () => resolve(true));
  });

/** Each key is written by one client, counting up, until its connection ends. */
function writeAll(service: ServeProcess) {
  const acknowledged = new Map<string, number>();
  const put = (client: TurnClient, key: string, value: string) =>
    client.put(key, value).then(({ status }) => status === 201 || status === 204);
  const set = (client: TurnClient, key: string, value: string) =>
    client.line(`set ${key} 0 0 ${value.length}\r\n${value}\r\n`).then((line) => line === "STORED\r\n");
  const lanes = [
    ...times(CONNECTIONS / 2, (i) => ({ key: `http-${i}`, port: service.port, write: put })),
    ...times(CONNECTIONS / 2, (i) => ({ key: `memcached-${i}`, port: service.memcachedPort, write: set })),
  ];
  const ends = lanes.map(async ({ key, port, write }) => {
    const client = new TurnClient(port);
    for (let n = 1; ; n++) {
      const isDone = await write(client, key, String(n)).catch(() => null);
      if (isDone === null) return client.rest;
      if (!isDone) return "a refusal";
      acknowledged.set(key, n);
    }
  });
  return {
    acknowledged,
    /** Of every client. */
    least: () => Math.min(...lanes.map(({ key }) => acknowledged.get(key) ?? 0)),
    /** What came of each connection after its last whole answer. */
    ends: Promise.all(ends),
  };
}

async function expectLivesOfItems(service: ServeProcess, jumpMs: number): Promise<void> {
  const clients = times(CONNECTIONS, () => new TurnClient(service.port));
  const [first] = clients as [TurnClient];
  const store = (key: string, query: string) =>
    first.http(`PUT /kv/${key}${query} HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx`);
  const statuses = async (key: string, query = "") => {
    const answers = await Promise.all(clients.map((client) => client.get(key + query)));
    return [...new Set(answers.map(({ status }) => status))];
  };
  await store("for-ever", "");
  await store("for-half-an-hour", "?ttl=1800");
  await store("for-a-second", "?ttl=1");
  for (const client of clients) await client.get("for-half-an-hour");
  expect((await first.get("for-half-an-hour")).hot).toBe(true);

  await service.harm({ do: "jump", ms: jumpMs });
  await store("soon-after", "?ttl=1");
  await store("half-an-hour-after", "?ttl=1800");
  for (const gone of ["for-a-second", "soon-after"]) {
    await expect.poll(() => statuses(gone), PATIENCE).toEqual([404]);
  }
  for (const there of ["for-ever", "for-half-an-hour", "half-an-hour-after"]) {
    // With a query the programs pass: that is the cold tier's answer.
    expect([await statuses(there), await statuses(there, "?cold")], there).toEqual([[200], [200]]);
  }
  for (const client of clients) client.close();
}

describe.skipIf(newerNode === null)(`two workers${whyNot}`, () => {
  let service: ServeProcess;
  let died = 0;
  beforeAll(async () => {
    service = await serve(2);
  });
  afterAll(() => service?.remove());

  it.each([HOUR_MS, -HOUR_MS])(
    "whose wall clock jumps by %i ms: items live as long as they were to",
    async (jumpMs) => {
      await expectLivesOfItems(service, jumpMs);
    },
  );

  it.each(DEATHS)("of which one ends (%s): it is replaced, what it began holds nobody up", async (how) => {
    const load = begin(service);
    await expect.poll(() => load.seen.hot, PATIENCE).toBeGreaterThan(0);
    await service.harm({ do: how, cpu: died++ % 2 });
    await expect.poll(() => restartsOf(service), PATIENCE).toBe(died);
    await expect.poll(() => workersOf(service), PATIENCE).toBe(2);
    await settle(load, service);
    expect(service.log.match(/worker ended and is replaced/g)).toHaveLength(died);
    if (how === "throw") expect(service.log).toContain("thrown, as the test wished");
  });

  it("told to end, of which one dies on the way: the other answers what it began, the log says so", async () => {
    const clients = await Promise.all(times(CONNECTIONS, (i) => halfPut(service.port, `late-${i}`)));
    const ended = service.terminate();
    await expect.poll(() => isRefused(service.port), PATIENCE).toBe(true);
    await service.harm({ do: "throw", cpu: 0 });
    await expect.poll(() => clients.some(({ closed }) => closed), PATIENCE).toBe(true);
    const outcomes = clients.map((client) =>
      client.http("value").then(
        ({ status }) => status,
        () => "closed",
      ),
    );
    expect(new Set(await Promise.all(outcomes)), service.log).toEqual(new Set([201, "closed"]));
    expect(await ended).toBe(0);
    for (const { rest } of clients) expect(rest).toBe("");
    expect(service.log).toMatch(/thrown, as the test wished.*worker ended while the service was stopping/s);
  });
});

describe.skipIf(newerNode === null)(`two workers, both in trouble${whyNot}`, () => {
  let service: ServeProcess;
  beforeAll(async () => {
    service = await serve(2);
  });
  afterAll(() => service?.remove());

  it("both end with a lock held: new connections are served as soon as there is a worker", async () => {
    const load = begin(service);
    await expect.poll(() => load.seen.writes, PATIENCE).toBeGreaterThan(4);
    await service.harm({ do: "exit-holding-a-lock", cpu: 0 });
    await service.harm({ do: "exit-holding-a-lock", cpu: 1 });
    await expect.poll(() => restartsOf(service), PATIENCE).toBe(2);
    await expect.poll(() => workersOf(service), PATIENCE).toBe(2);
    await settle(load, service);
  });

  it("one's successors do not start: the other serves, the log says why, and one that can start does", async () => {
    const load = begin(service);
    const before = await restartsOf(service);
    await service.harm({ do: "spoil", spoilt: true });
    await service.harm({ do: "throw", cpu: 0 });
    await expect.poll(() => restartsOf(service), PATIENCE).toBeGreaterThan(before + 1);
    const { writes } = load.seen;
    await expect.poll(() => load.seen.writes, PATIENCE).toBeGreaterThan(writes + 4);
    expect(service.log).toContain("spoilt, as the test wished");
    await service.harm({ do: "spoil", spoilt: false });
    await expect.poll(() => workersOf(service), PATIENCE).toBe(2);
    await settle(load, service);
  });

  it("one is missing when they are told to end: they end", async () => {
    await service.harm({ do: "spoil", spoilt: true });
    await service.harm({ do: "throw", cpu: 1 });
    await expect.poll(() => workersOf(service), PATIENCE).toBe(1);
    expect(await service.terminate()).toBe(0);
  });
});

const canShare = newerNode !== null && hasRedis;
const whyNotShared = whyNot || (hasRedis ? "" : ` (skipped: ${REDIS_MISSING})`);

describe.skipIf(!canShare)(`two workers on one Redis, told to end under load${whyNotShared}`, () => {
  it("take no new connection, answer what they began, and have stored what they acknowledged", async () => {
    const redis = await RedisServer.start();
    const service = await serve(2, [...MEMCACHED, "--cold", redis.url]);
    try {
      const writing = writeAll(service);
      await expect.poll(writing.least, PATIENCE).toBeGreaterThan(10);
      const held = await Promise.all(times(CONNECTIONS, (i) => halfPut(service.port, `late-${i}`)));
      const ended = service.terminate();
      await expect.poll(() => isRefused(service.port), PATIENCE).toBe(true);
      for (const client of held) {
        expect((await client.http("value")).status).toBe(201);
        await expect.poll(() => client.closed, PATIENCE).toBe(true);
        expect(client.rest).toBe("");
      }
      expect(await ended).toBe(0);
      // Each connection ended between two answers.
      expect(new Set(await writing.ends)).toEqual(new Set([""]));
      for (const [key, n] of writing.acknowledged) {
        const stored = Number(await redis.cli("HGET", `bmc:${key}`, "v"));
        expect([n, n + 1], key).toContain(stored);
      }
      expect(service.log).not.toContain("worker ended");
    } finally {
      service.remove();
      await redis.kill();
    }
  });
});

describe("one process", () => {
  it("whose wall clock jumps there and back: items live as long as they were to, memcached's too", async () => {
    const service = await serve(1, MEMCACHED);
    const memcached = new TurnClient(service.memcachedPort);
    try {
      expect(await memcached.line("set half-an-hour 0 1800 1\r\nx\r\n")).toBe("STORED\r\n");
      for (const jumpMs of [HOUR_MS, -2 * HOUR_MS]) {
        await expectLivesOfItems(service, jumpMs);
        expect(await memcached.line("mg half-an-hour t\r\n")).toMatch(/^HD t1[78]\d\d\r\n$/);
      }
      expect(await service.terminate()).toBe(0);
    } finally {
      memcached.close();
      service.remove();
    }
  });
});
