/**
 * `bmc serve --workers`: several threads behind one port, from outside. The kernel spreads connections over the
 * workers by itself, so each test uses enough of them to reach all.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { requireReusePort } from "../../src/cli/workers/supervisor.ts";
import { newerNode, whyNot } from "../support/newer-node.ts";
import { TurnClient as Client } from "../support/turn-client.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const TIMEOUT_MS = 120_000;
const CONNECTIONS = 16;

describe("several workers", () => {
  test.each(["22.12.0", "22.20.1", "23.1.0", "24.0.0", "26.1.0"])(
    "can share a port on Node %s",
    (version) => {
      expect(() => requireReusePort(version)).not.toThrow();
    },
  );
  test.each(["20.19.0", "21.7.0", "22.11.9", "23.0.0"])(
    "cannot on Node %s, and the error says why",
    (version) => {
      expect(() => requireReusePort(version)).toThrow(
        `server.workers is more than 1, which needs Node 22.12 or later (SO_REUSEPORT); this is Node ${version}`,
      );
    },
  );

  test.each([
    ["0", "server.workers in --workers is 0; allowed: a whole number from 1 to 64"],
    ["65", "server.workers in --workers is 65; allowed: a whole number from 1 to 64"],
  ])("--workers %s is a user's mistake", (workers, message) => {
    const { status, stderr } = spawnSync(
      process.execPath,
      [join(root, "dist/cli.js"), "serve", "--workers", workers],
      { encoding: "utf8" },
    );
    expect([status, stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});

const toPort = (address: string) => Number(address.slice(address.lastIndexOf(":") + 1));
const times = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i));

describe.skipIf(newerNode === null)(`bmc serve --workers 2${whyNot}`, { timeout: TIMEOUT_MS }, () => {
  const directory = mkdtempSync(join(root, "node_modules/.workers-test-"));
  let child: ChildProcess;
  let url = "";
  let http: Client[] = [];
  let memcached: Client[] = [];
  let log = "";

  beforeAll(async () => {
    const outfile = join(directory, "service.mjs");
    buildSync({
      entryPoints: [join(root, "test/cli/workers-service.ts")],
      outfile,
      bundle: true,
      packages: "external",
      platform: "node",
      target: "node20",
      format: "esm",
      logLevel: "error",
    });
    const flags = {
      workers: "2",
      port: "0",
      memcached: "127.0.0.1:0",
      "costs-scale": "0",
      "hot-entries": "1024",
      admission: "always",
    };
    child = spawn(newerNode ?? "", [outfile, JSON.stringify(flags)], { stdio: ["pipe", "pipe", "pipe"] });
    child.stderr?.on("data", (chunk) => {
      log += chunk;
    });
    const first = await Promise.race([
      once(createInterface(child.stdout!), "line").then(([line]) => line as string),
      once(child, "exit").then(() => Promise.reject(new Error(log))),
    ]);
    const listens = JSON.parse(first) as { url: string; memcached: string };
    url = listens.url;
    http = times(CONNECTIONS, () => new Client(toPort(url)));
    memcached = times(CONNECTIONS, () => new Client(toPort(listens.memcached)));
  }, TIMEOUT_MS);
  afterAll(async () => {
    for (const client of [...http, ...memcached]) client.close();
    child?.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  });

  it.each([
    ["set", "the entries of a set have a lock each"],
    ["lru", "the entries of an LRU have no lock"],
  ])("--hot-policy %s is refused, with why and what to do", (policy, why) => {
    const flags = ["serve", "--workers", "2", "--port", "0", "--hot-policy", policy];
    const { status, stderr } = spawnSync(newerNode ?? "", [join(root, "dist/cli.js"), ...flags], {
      encoding: "utf8",
    });
    expect([status, stderr]).toEqual([2, expect.stringContaining(why)]);
    expect(stderr).toContain(`Allowed with several workers: direct; with policy ${policy}: server.workers 1`);
  });

  const metric = async (name: string, labels = ""): Promise<number> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    const line = text.split("\n").find((l) => l.startsWith(`${name}${labels} `));
    return Number(line?.split(" ").at(-1));
  };

  it("what one connection wrote, every other reads, from the hot tier in the end", async () => {
    expect((await http[0]!.put("seen", "by all")).status).toBe(201);
    const answers = [];
    for (const client of [...http, ...http]) answers.push(await client.get("seen"));
    expect(new Set(answers.map(({ body }) => body))).toEqual(new Set(["by all"]));
    expect(answers.slice(1).every(({ hot }) => hot)).toBe(true);
  });

  it("no read that starts after a write was acknowledged is older, whichever worker answers", async () => {
    const rounds = 150;
    const keys = ["a", "b", "c"];
    const acknowledged = new Map(keys.map((key) => [key, 0]));
    let stale = 0;
    let reads = 0;
    let hot = 0;
    const write = async (key: string, clients: readonly Client[]) => {
      for (let n = 1; n <= rounds; n++) {
        await clients[n % clients.length]!.put(key, String(n));
        acknowledged.set(key, n);
      }
    };
    const writing = Promise.all(keys.map((key, i) => write(key, http.slice(2 * i, 2 * i + 2))));
    let over = false;
    void writing.then(() => {
      over = true;
    });
    const read = async (client: Client, i: number) => {
      for (let n = i; !over; n++) {
        const key = keys[n % keys.length]!;
        const atLeast = acknowledged.get(key)!;
        const answer = await client.get(key);
        reads++;
        if (answer.hot) hot++;
        if (Number(answer.status === 404 ? 0 : answer.body) < atLeast) stale++;
      }
    };
    await Promise.all([writing, ...http.slice(6).map(read)]);
    expect(stale).toBe(0);
    expect(reads).toBeGreaterThan(rounds);
    expect(hot).toBeGreaterThan(0);
  });

  it("increments over all connections at once are all counted, and a write over HTTP is seen over memcached", async () => {
    await http[0]!.put("n", "0");
    const each = 20;
    await Promise.all(
      memcached.map(async (client) => {
        for (let i = 0; i < each; i++) expect(await client.line("incr n 1\r\n")).toMatch(/^\d+\r\n$/);
      }),
    );
    for (const client of http) expect((await client.get("n")).body.trim()).toBe(String(each * CONNECTIONS));
  });

  it("one of many that add, or store by the same cas, wins", async () => {
    const added = await Promise.all(memcached.map((client) => client.line("add one 0 0 1\r\nx\r\n")));
    expect(added.filter((line) => line === "STORED\r\n")).toHaveLength(1);
    const seen = await memcached[0]!.block("gets one\r\n");
    const cas = / (\d+)\r\n/.exec(seen)?.[1];
    const stored = await Promise.all(memcached.map((c) => c.line(`cas one 0 0 1 ${cas}\r\ny\r\n`)));
    expect(stored.filter((line) => line === "STORED\r\n")).toHaveLength(1);
    expect(stored.filter((line) => line === "EXISTS\r\n")).toHaveLength(CONNECTIONS - 1);
  });

  it("flush_all over one connection empties both tiers for all", async () => {
    await http[0]!.put("flushed", "x");
    for (const client of http) await client.get("flushed");
    expect(await memcached[3]!.line("flush_all\r\n")).toBe("OK\r\n");
    for (const client of http) expect((await client.get("flushed")).status).toBe(404);
  });

  it("datagrams find a worker too, and its answers the hot tier", async () => {
    await http[0]!.put("datagram", "value");
    const socket = createSocket("udp4");
    const port = Number((await settingsOf(memcached[0]!)).get("tcpport"));
    const ask = async (id: number) => {
      const request = Buffer.concat([
        Buffer.from([0, id, 0, 0, 0, 1, 0, 0]),
        Buffer.from("get datagram\r\n"),
      ]);
      socket.send(request, port, "127.0.0.1");
      const [answer] = (await once(socket, "message")) as [Buffer];
      return answer.subarray(8).toString("latin1");
    };
    for (let id = 1; id <= 4; id++) expect(await ask(id)).toBe("VALUE datagram 0 5\r\nvalue\r\nEND\r\n");
    socket.close();
  });

  it("stats and /metrics tell of all workers, and the same whoever is asked", async () => {
    const stats = async (client: Client) =>
      new Map([...(await client.block("stats\r\n")).matchAll(/STAT (\S+) (\S+)/g)].map(([, k, v]) => [k, v]));
    const before = Number((await stats(memcached[0]!)).get("cmd_set"));
    for (const client of memcached) await client.line("set s 0 0 1\r\ns\r\n");
    for (const client of memcached) {
      const now = await stats(client);
      expect(Number(now.get("cmd_set")) - before).toBe(CONNECTIONS);
      expect(now.get("threads")).toBe("2");
      expect(now.get("curr_connections")).toBe(String(CONNECTIONS));
    }
    const items = await metric("bmc_cold_items");
    expect((await stats(memcached[0]!)).get("curr_items")).toBe(String(items));

    const coldBefore = await metric("bmc_lookups_total", '{tier="cold",result="miss"}');
    const observedBefore = await metric("bmc_request_observed_seconds_count", '{tier="cold"}');
    for (const client of http) await client.get("nothing-here");
    expect((await metric("bmc_lookups_total", '{tier="cold",result="miss"}')) - coldBefore).toBe(CONNECTIONS);
    expect((await metric("bmc_request_observed_seconds_count", '{tier="cold"}')) - observedBefore).toBe(
      CONNECTIONS,
    );
    expect(await metric("bmc_hot_capacity_entries")).toBe(1024);
    const hits = await metric("bmc_lookups_total", '{tier="hot",result="hit"}');
    const misses = await metric("bmc_lookups_total", '{tier="hot",result="miss"}');
    expect(await metric("bmc_hit_ratio", '{tier="hot"}')).toBeCloseTo(hits / (hits + misses), 10);
  });

  it("the lab says why it is not there", async () => {
    const answer = await fetch(`${url}/lab/`);
    expect([answer.status, ((await answer.json()) as { message: string }).message]).toEqual([
      501,
      "the lab shows a service of one process: start it without --workers",
    ]);
  });

  it("a worker that dies under load is replaced; what was acknowledged stays, no count goes back", async () => {
    const counted = await metric("bmc_lookups_total", '{tier="cold",result="miss"}');
    const acknowledged = new Map<string, number>();
    let deaths = 0;
    let over = false;
    const write = async (key: string) => {
      let client = new Client(toPort(url));
      for (let n = 1; !over; n++) {
        try {
          const { status } = await client.put(key, String(n));
          if (status === 201 || status === 204) acknowledged.set(key, n);
        } catch {
          client.close();
          client = new Client(toPort(url));
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      }
      client.close();
    };
    const writers = times(8, (i) => write(`life-${i}`));
    for (const cpu of [0, 1, 0]) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      child.stdin?.write(`kill ${cpu}\n`);
      deaths++;
      while (
        (await metric("bmc_workers").catch(() => 0)) !== 2 ||
        (await metric("bmc_worker_restarts_total")) < deaths
      ) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    over = true;
    await Promise.all(writers);
    expect(acknowledged.size).toBe(8);
    const readers = times(CONNECTIONS, () => new Client(toPort(url)));
    for (const [key, n] of acknowledged) {
      const seen = new Set<string>();
      for (const reader of readers) seen.add((await reader.get(key)).body);
      // All read the same; a write that was under way when its worker died may have been stored all the same.
      expect(seen.size).toBe(1);
      expect([n, n + 1]).toContain(Number([...seen][0]));
    }
    // Nothing is left locked, or waited for: every key gets hot again.
    for (const key of acknowledged.keys()) {
      const answers = [];
      for (const reader of readers) answers.push(await reader.get(key));
      expect(answers.at(-1)?.hot).toBe(true);
    }
    for (const reader of readers) reader.close();
    expect(await metric("bmc_worker_restarts_total")).toBe(3);
    expect(await metric("bmc_lookups_total", '{tier="cold",result="miss"}')).toBeGreaterThanOrEqual(counted);
    expect(log.match(/worker ended and is replaced/g)).toHaveLength(3);
  });

  it("ends when told, with what is in flight answered", async () => {
    const client = new Client(toPort(url));
    expect((await client.put("last", "x")).status).toBe(201);
    child.stdin?.end();
    const [code] = (await once(child, "exit")) as [number];
    expect(code).toBe(0);
    client.close();
  });
});

/** `stats settings` as a map. */
async function settingsOf(client: Client): Promise<Map<string, string>> {
  const text = await client.block("stats settings\r\n");
  return new Map([...text.matchAll(/STAT (\S+) (\S+)/g)].map(([, k, v]) => [k!, v!]));
}
