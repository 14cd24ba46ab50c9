/**
 * The shipped programs before the real server: with them and without, the same requests get the same
 * bytes, and after a write is acknowledged no read returns what was there before, over any protocol.
 */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { connect, type Socket } from "node:net";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ServeFlags, serveConfig } from "../../src/cli/serve.ts";
import { Service } from "../../src/cli/service.ts";
import { HOT_POLICIES } from "../../src/tiers/hot/policy.ts";
import { frame, random } from "../memcached/peers.ts";

/** One service with a client on each protocol; each call waits for its whole answer. */
class Bench {
  readonly service: Service;
  readonly port: number;
  readonly http: string;
  readonly #udp: DatagramSocket = createSocket("udp4");
  readonly #tcp: Socket;
  #id = 0;

  private constructor(service: Service, http: string) {
    this.service = service;
    this.port = service.memcached?.server?.port ?? 0;
    this.http = http;
    this.#tcp = connect(this.port, "127.0.0.1").setNoDelay(true);
  }

  static async start(flags: ServeFlags): Promise<Bench> {
    const base = { port: "0", memcached: "127.0.0.1:0", "costs-scale": "0", "hot-entries": "64" };
    const service = new Service(serveConfig({ ...base, ...flags }, {}), {
      logger: pino({ level: "silent" }),
    });
    const { port } = await service.listen();
    return new Bench(service, `http://127.0.0.1:${port}`);
  }

  async close(): Promise<void> {
    this.#udp.close();
    this.#tcp.destroy();
    await this.service.close();
  }

  /** @returns the payloads of the reply message's datagrams, joined */
  udp(request: string): Promise<string> {
    const id = ++this.#id & 0xffff;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to ${JSON.stringify(request)}`)), 2_000);
      let text = "";
      let seen = 0;
      const onMessage = (reply: Buffer): void => {
        if (reply.readUInt16BE(0) !== id) return;
        text += reply.toString("latin1", 8);
        if (++seen < reply.readUInt16BE(4)) return;
        clearTimeout(timer);
        this.#udp.off("message", onMessage);
        resolve(text);
      };
      this.#udp.on("message", onMessage);
      this.#udp.send(frame(id, request), this.port, "127.0.0.1");
    });
  }

  /** @param cut sends the request in two segments, split there */
  tcp(request: string, cut = 0): Promise<string> {
    const sentinel = "mg nowhere Oend\r\n";
    const bytes = Buffer.from(request + sentinel, "latin1");
    return new Promise((resolve) => {
      let text = "";
      const onData = (chunk: Buffer): void => {
        text += chunk.toString("latin1");
        if (!text.endsWith("EN Oend\r\n")) return;
        this.#tcp.off("data", onData);
        resolve(text.slice(0, -"EN Oend\r\n".length));
      };
      this.#tcp.on("data", onData);
      if (cut <= 0 || cut >= bytes.length) this.#tcp.write(bytes);
      else {
        this.#tcp.write(bytes.subarray(0, cut));
        setTimeout(() => this.#tcp.write(bytes.subarray(cut)), 2);
      }
    });
  }

  counter(name: string): number {
    const rows = this.service.memcached?.server?.engine.bmcStats?.() ?? [];
    return Number([...rows].find(([row]) => row === name)?.[1] ?? 0);
  }
}

/** The programs do not fill a slot for this long after a write to it (memcached.h, SETTLE_NS). */
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 130));

describe.each(HOT_POLICIES)("programs before memcached, policy %s", (policy) => {
  let on: Bench;
  let off: Bench;
  beforeAll(async () => {
    on = await Bench.start({ "hot-policy": policy });
    off = await Bench.start({ offload: "off" });
  }, 60_000);
  afterAll(() => Promise.all([on.close(), off.close()]));

  async function makeHot(key: string, value: string): Promise<void> {
    await on.tcp(`set ${key} 3 0 ${value.length}\r\n${value}\r\n`);
    for (let tries = 0; tries < 8; tries++) {
      await settle();
      await on.udp(`get ${key}\r\n`);
      const before = on.counter("hit");
      await on.udp(`get ${key}\r\n`);
      if (on.counter("hit") > before) return;
    }
    throw new Error(`${key} does not become hot`);
  }

  test("a reply that left teaches the hot tier, and the next get is answered there with the same bytes", async () => {
    await makeHot("taught", "a\r\nb\0c\xff");
    const crossed = on.service.memcached?.server?.engine.counters.udp_requests;
    expect(await on.udp("get taught\r\n")).toBe("VALUE taught 3 7\r\na\r\nb\0c\xff\r\nEND\r\n");
    expect(on.service.memcached?.server?.engine.counters.udp_requests).toBe(crossed);
  });

  test.each([
    ["set", "set k 0 0 1\r\nz\r\n"],
    ["set noreply", "set k 0 0 1 noreply\r\nz\r\n"],
    ["replace", "replace k 0 0 1\r\nz\r\n"],
    ["append", "append k 0 0 1\r\nz\r\n"],
    ["prepend", "prepend k 0 0 1\r\nz\r\n"],
    ["incr", "incr k 5\r\n"],
    ["decr", "decr k 5\r\n"],
    ["delete", "delete k\r\n"],
    ["touch into the past", "touch k -1\r\n"],
    ["gat into the past", "gat -1 k\r\n"],
    ["flush_all", "flush_all\r\n"],
    ["ms", "ms k 1\r\nz\r\n"],
    ["md", "md k q\r\n"],
    ["ma", "ma k\r\n"],
    ["mg with T into the past", "mg k T-1\r\n"],
    ["a key in base64", "ms aw== 1 b\r\nz\r\n"],
    ["an item too large", `set k 0 0 2000000\r\n${"x".repeat(2_000_000)}\r\n`],
  ])("%s over TCP: the old value is never served again", async (_name, write) => {
    await makeHot("k", "100");
    const old = await on.udp("get k\r\n");
    await on.tcp(write);
    const fresh = await on.udp("get k\r\n");
    expect(fresh).not.toBe(old);
    expect(fresh).toBe(await on.tcp("get k\r\n"));
  });

  test.each([
    ["set", "set k 0 0 1\r\nz\r\n"],
    ["delete", "delete k\r\n"],
    ["incr", "incr k 5\r\n"],
    ["append", "append k 0 0 1\r\nz\r\n"],
    ["ms", "ms k 1\r\nz\r\n"],
    ["flush_all", "flush_all\r\n"],
  ])("%s over UDP: the old value is never served again", async (_name, write) => {
    await makeHot("k", "100");
    const old = await on.udp("get k\r\n");
    await on.udp(write);
    const fresh = await on.udp("get k\r\n");
    expect(fresh).not.toBe(old);
    expect(fresh).toBe(await on.tcp("get k\r\n"));
  });

  test("a write over HTTP is seen by memcached, and the other way round", async () => {
    await makeHot("both", "from tcp");
    await fetch(`${on.http}/kv/both`, { method: "PUT", body: "from http" });
    expect(await on.udp("get both\r\n")).toContain("\r\nfrom http\r\n");
    for (let i = 0; i < 3; i++) await (await fetch(`${on.http}/kv/both`)).text();
    await on.tcp("set both 0 0 5\r\nagain\r\n");
    expect(await (await fetch(`${on.http}/kv/both`)).text()).toBe("again");
  });

  test("a multi-get with a key that is cold, and one that is nowhere, misses nothing", async () => {
    await makeHot("m1", "one");
    await on.tcp("set m2 0 0 3\r\ntwo\r\n");
    expect(await on.udp("get m1 nowhere m2\r\n")).toBe(
      "VALUE m1 3 3\r\none\r\nVALUE m2 0 3\r\ntwo\r\nEND\r\n",
    );
  });

  test("an item's expiry holds at the hook", async () => {
    await on.tcp("set brief 0 1 1\r\nx\r\n");
    await settle();
    await on.udp("get brief\r\n");
    await on.udp("get brief\r\n");
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(await on.udp("get brief\r\n")).toBe("END\r\n");
  });

  test("keys of equal hash are told apart", async () => {
    await makeHot("declinate0123456", "first");
    await on.tcp("set macallums0123456 0 0 6\r\nsecond\r\n");
    expect(await on.udp("get macallums0123456\r\n")).toContain("\r\nsecond\r\n");
    expect(await on.udp("get declinate0123456\r\n")).toContain("\r\nfirst\r\n");
  });

  test("random reads and writes over both protocols: the same bytes with the programs and without", async () => {
    const draw = random(20_240);
    const keys = Array.from({ length: 24 }, (_, i) => `key${i}`);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(draw() * from.length)] as T;
    await Promise.all([on.tcp("flush_all\r\n"), off.tcp("flush_all\r\n")]);
    for (let i = 0; i < 1_200; i++) {
      const key = pick(keys);
      const value = "v\r\n ".repeat(Math.floor(draw() ** 2 * 300)) + i;
      const write = pick([
        `set ${key} ${i} 0 ${value.length}\r\n${value}\r\n`,
        `append ${key} 0 0 1\r\n+\r\n`,
        `delete ${key}\r\n`,
        `ms ${key} 3 T100\r\nabc\r\n`,
        `md ${key}\r\n`,
        `touch ${key} 100\r\n`,
      ]);
      const read = `get ${[key, ...keys.filter(() => draw() < 0.05)].join(" ")}\r\n`;
      const isRead = draw() < 0.9;
      const overTcp = draw() < (isRead ? 0.1 : 0.7) || value.length > 1_200;
      const request = isRead ? read : write;
      const cut = draw() < 0.3 ? 1 + Math.floor(draw() * request.length) : 0;
      const ask = (bench: Bench): Promise<string> => (overTcp ? bench.tcp(request, cut) : bench.udp(request));
      const [mine, plain] = await Promise.all([ask(on), ask(off)]);
      expect(mine, `step ${i}: ${JSON.stringify(request.slice(0, 80))}`).toBe(plain);
      if (i % 50 === 49) await settle();
    }
    expect(on.counter("hit")).toBeGreaterThan(30);
  });
});
