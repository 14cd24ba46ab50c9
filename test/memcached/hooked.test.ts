/**
 * Transparency and coherence of the sk_skb pair before memcached over TCP: the same streams, cut at the same
 * places, to our service with the pair, to the same service with no program, and to Debian's memcached where
 * it is installed. Every read is admitted to the hot tier at once, so that the pair has answers to give.
 */
import net from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MemoryStore } from "../../src/tiers/cold/memory.ts";
import type { ColdStore } from "../../src/tiers/cold/store.ts";
import { exchange, get as httpGet, put as httpPut, type Running, sleep, start } from "../support/service.ts";
import { CAS_CASES, CASES, PRELUDE } from "./cases.ts";
import { ask, frame, NO_MEMCACHED, normalised, type Peer, random, realPeer, talk } from "./peers.ts";
import { commandStream } from "./streams.ts";

const LISTEN = { memcached: "127.0.0.1:0", admission: "always", lab: "off" };
const portOf = ({ service }: Running) => service.memcached!.server!.port;

let on: Running;
let off: Running;
let real: Peer | null = null;
beforeAll(async () => {
  [on, off] = await Promise.all([start(LISTEN), start({ ...LISTEN, offload: "off" })]);
  if (NO_MEMCACHED === null) real = await realPeer();
}, 60_000);
afterAll(async () => {
  await Promise.all([on?.service.close(), off?.service.close(), real?.close()]);
});

/** Hot answers given so far. */
async function hits(): Promise<number> {
  const text = await talk(portOf(on), ["stats bmc\r\n"]);
  return Number(/STAT tcp_answer (\d+)/.exec(text)?.[1]);
}

type Cut = (bytes: number) => number[];

const all = () => [portOf(on), portOf(off), ...(real ? [real.port] : [])];

async function expectSame(steps: readonly string[], cut?: Cut, ports = all()): Promise<void> {
  // One at a time: `cut` draws from one generator.
  const cuts = new Map<number, number[][]>();
  const [mine, ...others] = await Promise.all(
    ports.map((port) => {
      let step = 0;
      return talk(port, steps, (bytes) => {
        const at = step++;
        const known = cuts.get(at) ?? [];
        if (!cuts.has(at)) cuts.set(at, [cut?.(bytes) ?? []]);
        return (cuts.get(at) ?? known)[0]!.filter((end) => end < bytes);
      });
    }),
  );
  for (const other of others) expect(normalised(mine!)).toBe(normalised(other));
}

/** Reads between the commands of a stream, so that the pair has answers to give. */
const READS = "get a b\r\nget a\r\nget b n\r\nget key:with:colons\r\n";

describe(`streams over TCP, with the pair and without${NO_MEMCACHED ? ` (${NO_MEMCACHED})` : ", and to memcached"}`, () => {
  test("every case of the protocol, with hot keys about", async () => {
    const before = await hits();
    for (const streams of Object.values(CASES)) {
      for (const stream of streams) {
        await expectSame([PRELUDE, "get a b\r\n", "get a\r\n", "get a b\r\n", stream, "get a\r\n"]);
      }
    }
    expect((await hits()) - before).toBeGreaterThan(100);
  }, 120_000);

  test("cas numbers agree in pattern", async () => {
    for (const steps of CAS_CASES)
      await expectSame([PRELUDE, "get a\r\n", "get a\r\n", ...steps, "get a\r\n"]);
  }, 60_000);

  test.each([1, 2, 3, 4])(
    "random streams, pipelined and cut anywhere (seed %i)",
    async (seed) => {
      const draw = random(seed);
      const before = await hits();
      const steps = commandStream(draw, 50).flatMap((step) =>
        draw() < 0.4
          ? [step, "get a\r\nget a\r\n", "get b\r\n", "get n\r\nget key:with:colons\r\n", READS + step]
          : [step],
      );
      // What the parser gives up is userspace's for life: so several connections, of a few steps each.
      for (let at = 0; at < steps.length; at += 6) {
        await expectSame([READS, ...steps.slice(at, at + 6)], (bytes) => {
          const cuts = Array.from(
            { length: Math.floor(draw() * 4) },
            () => 1 + Math.floor(draw() * (bytes - 1)),
          );
          return [...new Set(cuts)].sort((x, y) => x - y);
        });
      }
      expect((await hits()) - before).toBeGreaterThan(0);
    },
    60_000,
  );

  test("one byte at a time", async () => {
    const stream =
      "set a 7 0 8\r\nget b\r\n!\r\nget a\r\nget a a\r\nset b 0 0 3 noreply\r\nabc\r\nget a b\r\n";
    const every = (bytes: number) => Array.from({ length: bytes - 1 }, (_, i) => i + 1);
    await expectSame([PRELUDE, stream, "get a\r\n", "get a b\r\n", stream], every);
  });

  test("values of every size, and bytes that look like commands", async () => {
    for (const size of [0, 1, 7, 8, 9, 99, 100, 999, 1_000, 1_001, 5_000, 70_000]) {
      const value = "get a\r\nset a 0 0 1\r\n".repeat(size / 20 + 1).slice(0, size);
      await expectSame([
        `set v 1 0 ${size}\r\n${value}\r\n`,
        "get v\r\n",
        "get v\r\n",
        "get v v v\r\nget v\r\n",
      ]);
    }
  });

  test("multi-gets of hot and cold keys, and more than a hook's reply holds", async () => {
    const keys = Array.from({ length: 40 }, (_, i) => `multi:${i}`);
    await expectSame(keys.map((key) => `set ${key} 0 0 300\r\n${key.padEnd(300, ".")}\r\n`));
    const lines = [1, 2, 10, 29, 30, 31, 40].map((n) => `get ${keys.slice(0, n).join(" ")}\r\n`);
    await expectSame([...lines, ...lines, ...lines.map((line) => line.replace("multi:0", "none"))]);
  });
});

/** Answers after a while, a later call perhaps before an earlier one. */
function slowStore(): ColdStore {
  const store = new MemoryStore({ maxBytes: 64 << 20, maxEntries: 10_000 });
  const draw = random(9);
  const later = async <T>(result: T): Promise<T> => {
    await sleep(draw() * 4);
    return result;
  };
  return {
    name: "slow",
    get: (key) => later(store.get(key)),
    update: (key, change) => later(store.update(key, change)),
    clear: () => store.clear(),
    stats: () => store.stats(),
    close: () => undefined,
  };
}

test.each([11, 12])(
  "over a cold tier that answers later, pipelined and cut anywhere (seed %i)",
  async (seed) => {
    const flags = [LISTEN, { ...LISTEN, offload: "off" }];
    const pair = await Promise.all(flags.map((each) => start(each, {}, { cold: slowStore() })));
    try {
      const ports = pair.map(portOf);
      const draw = random(seed);
      const cut: Cut = (bytes) => [1 + Math.floor(draw() * (bytes - 1))];
      await expectSame([PRELUDE], undefined, ports);
      const steps = commandStream(draw, 30);
      for (let at = 0; at < steps.length; at += 3) {
        const some = steps.slice(at, at + 3);
        await expectSame([READS, READS, some.join(READS), READS.repeat(4), ...some], cut, ports);
      }
      expect(pair[0]!.service.memcached!.stream!.programs.verdict.stats.runs).toBeGreaterThan(50);
    } finally {
      await Promise.all(pair.map(({ service }) => service.close()));
    }
  },
  120_000,
);

describe("coherence", () => {
  const warm = async (key: string) => {
    for (let i = 0; i < 3; i++) await talk(portOf(on), [`get ${key}\r\n`]);
    const before = await hits();
    await talk(portOf(on), [`get ${key}\r\n`]);
    expect((await hits()) - before, `${key} is hot`).toBe(1);
  };
  const udp = async (text: string) =>
    (await ask(portOf(on), frame(7, text), 60, 10_000)).map((reply) => reply.toString("latin1", 8)).join("");

  test.each<[string, () => Promise<unknown>, string | null]>([
    ["set over TCP", () => talk(portOf(on), ["set c 0 0 3\r\nnew\r\n"]), "new"],
    ["append over TCP", () => talk(portOf(on), ["append c 0 0 3\r\nnew\r\n"]), "oldnew"],
    ["delete over TCP, noreply", () => talk(portOf(on), ["delete c noreply\r\n"]), null],
    ["ms over TCP", () => talk(portOf(on), ["ms c 3\r\nnew\r\n"]), "new"],
    ["md with a key in base64", () => talk(portOf(on), ["md Yw== b\r\n"]), null],
    ["touch into the past", () => talk(portOf(on), ["touch c -1\r\n"]), null],
    ["gat into the past", () => talk(portOf(on), ["gat -1 c\r\n"]), null],
    ["flush_all", () => talk(portOf(on), ["flush_all\r\n"]), null],
    ["set over UDP", () => udp("set c 0 0 3\r\nnew\r\n"), "new"],
    ["PUT over HTTP", () => exchange(on.port, [httpPut("c", "new")], { enough: 1 }), "new"],
  ])("a read after %s sees it, over TCP, UDP and HTTP", async (_, write, value) => {
    await talk(portOf(on), ["set c 0 0 3\r\nold\r\n"]);
    await warm("c");
    await write();
    const found = value === null ? "END\r\n" : `VALUE c 0 ${value.length}\r\n${value}\r\nEND\r\n`;
    expect(await talk(portOf(on), ["get c\r\n"])).toContain(found);
    expect(await udp("get c\r\n")).toBe(found);
    const { text } = await exchange(on.port, [httpGet("c")], { enough: 1 });
    expect(text).toContain(value === null ? "404" : `\r\n\r\n${value}`);
  });

  test("an item set to expire is hot until then, and not after", async () => {
    await talk(portOf(on), ["set e 0 1 3\r\nold\r\n"]);
    const first = await talk(portOf(on), ["get e\r\nget e\r\n", "get e\r\n"]);
    expect(first).toContain("VALUE e 0 3");
    await sleep(1_300);
    expect(await talk(portOf(on), ["get e\r\n"])).toBe("END\r\nEN Oend\r\n");
  });
});

describe("hostile and slow clients", () => {
  test("half a command, then silence: nothing is answered, nothing lost", async () => {
    const text = "set half 0 0 5\r\nhello\r\nget half\r\n";
    for (let cut = 1; cut < text.length; cut += 5) {
      const { text: reply } = await exchange(portOf(on), [text.slice(0, cut), text.slice(cut)], {
        gapMs: 70,
      });
      expect(reply).toBe("STORED\r\nVALUE half 0 5\r\nhello\r\nEND\r\n");
    }
  });

  test("a FIN right behind the last command: all is answered, then the connection ends", async () => {
    for (const peer of [on, off])
      await talk(portOf(peer), ["set f 0 0 1\r\nx\r\n", "get f\r\n", "get f\r\n"]);
    for (const stream of ["get f\r\n", "get f\r\nget none\r\n", "get none\r\nget f\r\n", "get f\r\nge", ""]) {
      const reply = async (port: number) => {
        const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
        let got = "";
        socket.on("data", (chunk) => {
          got += chunk.toString("latin1");
        });
        socket.end(stream);
        await new Promise((resolve) => socket.once("close", resolve));
        return got;
      };
      expect(await reply(portOf(on)), JSON.stringify(stream)).toBe(await reply(portOf(off)));
    }
  });

  test("a client that asks without reading is not read from, and gets every answer once it reads", async () => {
    // Replies as long as requests: however much the sockets' buffers take, both are of one size.
    const key = "slow".padEnd(250, "-");
    await talk(portOf(on), [`set ${key} 0 0 10\r\n0123456789\r\n`, `get ${key}\r\n`, `get ${key}\r\n`]);
    const socket = net.connect({ port: portOf(on), host: "127.0.0.1" });
    socket.on("error", () => {});
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.pause();
    const batch = `get ${key}\r\n`.repeat(1_000);
    let asked = 0;
    for (let i = 0; i < 200 && socket.writableLength < 2e6; i++) {
      socket.write(batch);
      asked += 1_000;
      await sleep(2);
    }
    await sleep(50);
    expect(socket.writableLength).toBeGreaterThan(1e6);
    const served = [...on.service.memcached!.stream!.sockets()].find(
      (s) => s.remotePort === socket.localPort,
    )!;
    expect(served.writableLength).toBeLessThan(1_200_000);
    const expected = asked * `VALUE ${key} 0 10\r\n0123456789\r\nEND\r\n`.length;
    let read = 0;
    await new Promise<void>((resolve) => {
      socket.on("data", (chunk) => {
        read += chunk.length;
        if (read >= expected) resolve();
      });
      socket.resume();
    });
    expect(read).toBe(expected);
    socket.destroy();
  }, 60_000);

  test("connections that end leave nothing behind", async () => {
    const { stream } = on.service.memcached!;
    for (let i = 0; i < 50; i++) {
      const socket = net.connect({ port: portOf(on), host: "127.0.0.1" });
      socket.on("error", () => {});
      await new Promise((resolve) => socket.once("connect", resolve));
      socket.write(i % 2 ? "get sl" : "set x 0 0 100\r\nabc");
      if (i % 3) socket.resetAndDestroy();
      else socket.destroy();
    }
    for (let i = 0; i < 100 && stream!.connections > 0; i++) await sleep(20);
    expect(stream!.connections).toBe(0);
    expect(on.service.memcached!.server!.engine.counters.curr_connections).toBe(0);
  });

  test("a fault of the pair detaches it, and the server goes on with the bytes it held", async () => {
    const own = await start(LISTEN);
    try {
      const port = portOf(own);
      const socket = net.connect({ port, host: "127.0.0.1" });
      let got = "";
      socket.on("data", (chunk) => {
        got += chunk.toString("latin1");
      });
      socket.write("set z 0 0 1\r\nx\r\nget z\r\n");
      await sleep(50);
      const { stream } = own.service.memcached!;
      const { parser } = stream!.programs;
      Object.defineProperty(parser, "fault", { value: { message: "made for this test" } });
      socket.write("get z\r\nget z\r\n");
      for (let i = 0; i < 100 && got.split("END").length < 4; i++) await sleep(20);
      expect(got).toBe(`STORED\r\n${"VALUE z 0 1\r\nx\r\nEND\r\n".repeat(3)}`);
      expect(stream!.attached).toBe(false);
      expect(await talk(port, ["get z\r\n"])).toContain("VALUE z 0 1");
      expect(await talk(port, ["stats bmc\r\n"])).toContain("STAT sk_skb_program none");
      socket.destroy();
    } finally {
      await own.service.close();
    }
  }, 60_000);
});

test.each([
  ["none", { "memcached-tcp-hook": "none" }, [false, false]],
  ["segments", { "memcached-tcp-hook": "segments" }, [false, true]],
  ["sk_skb", { "memcached-tcp-hook": "sk_skb" }, [true, false]],
])(
  "--memcached-tcp-hook %s",
  async (_, flags, [stream, segments]) => {
    const own = await start({ ...LISTEN, ...flags });
    try {
      expect(own.service.memcached!.stream !== null).toBe(stream);
      expect(own.service.memcached!.segments !== null).toBe(segments);
      expect(await talk(portOf(own), ["set a 0 0 1\r\nx\r\n", "get a\r\n"])).toContain(
        "VALUE a 0 1\r\nx\r\n",
      );
    } finally {
      await own.service.close();
    }
  },
  60_000,
);
