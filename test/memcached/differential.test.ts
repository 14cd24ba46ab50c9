/** The same streams to Debian's memcached and to ours: the bytes that come back must be the same. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CAS_CASES, CASES, PRELUDE } from "./cases.ts";
import { ask, frame, NO_MEMCACHED, normalised, ourPeer, type Peer, random, realPeer, talk } from "./peers.ts";
import { commandStream } from "./streams.ts";

const title = NO_MEMCACHED ?? "against memcached";

describe.skipIf(NO_MEMCACHED)(title, () => {
  let real: Peer;
  let ours: Peer;
  beforeAll(async () => {
    [real, ours] = await Promise.all([realPeer(), ourPeer()]);
  });
  afterAll(async () => {
    await Promise.all([real?.close(), ours?.close()]);
  });

  async function expectSame(steps: readonly string[], cut?: (bytes: number) => number[]): Promise<void> {
    const [theirs, mine] = await Promise.all([talk(real.port, steps, cut), talk(ours.port, steps, cut)]);
    expect(normalised(mine)).toBe(normalised(theirs));
  }

  describe.each(Object.keys(CASES))("%s", (command) => {
    test.each(CASES[command]!.map((stream) => [stream]))("%j", async (stream) => {
      await expectSame([PRELUDE, stream]);
    });
  });

  test.each(CAS_CASES.map((steps) => [steps]))("cas numbers agree in pattern: %j", async (steps) => {
    await expectSame([PRELUDE, ...steps]);
  });

  test("values at and over the item limit", async () => {
    for (const size of [1_048_515, 1_048_516, 1_048_517, 2_000_000]) {
      const set = `set a 0 0 ${size}\r\n${"x".repeat(size)}\r\n`;
      await expectSame([PRELUDE, set, "get a\r\n"]);
      await expectSame([PRELUDE, set.replace("set a 0 0", "add b 0 0"), "get a b\r\n"]);
      await expectSame([PRELUDE, `ms a ${size} q\r\n${"x".repeat(size)}\r\nmg a s\r\n`]);
    }
    const half = `append a 0 0 700000\r\n${"x".repeat(700_000)}\r\n`;
    await expectSame([PRELUDE, half, half, "mg a s\r\n"]);
  });

  test("get lines of many thousand keys, whole and cut", async () => {
    const line = `get ${"a nope ".repeat(3_000)}\r\n`;
    await expectSame([PRELUDE, line]);
    await expectSame([PRELUDE, line], (bytes) => [1_000, 5_000, bytes - 3]);
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])("random streams over TCP, cut anywhere (seed %i)", async (seed) => {
    const draw = random(seed);
    const steps = commandStream(draw, 60);
    await expectSame([PRELUDE, ...steps], (bytes) => {
      const cuts = Array.from({ length: Math.floor(draw() * 3) }, () => 1 + Math.floor(draw() * (bytes - 1)));
      return [...new Set(cuts)].sort((a, b) => a - b);
    });
  });

  test("datagrams: payloads joined, frames correct", async () => {
    const payloads = [
      "flush_all\r\n",
      "set u 3 0 5\r\nhello\r\n",
      "get u\r\n",
      "get u nope u\r\n",
      "get u\r\nget nope\r\n",
      "gets nope\r\n",
      "foo\r\n",
      "mg u v k\r\n",
      `set big 0 0 1300\r\n${"z".repeat(1300)}\r\n`,
      `append big 0 0 1300\r\n${"y".repeat(1300)}\r\n`,
      "get big\r\n",
      "get u big u\r\n",
      "set u 0 0 1 noreply\r\nx\r\n",
      "delete u\r\n",
      "get u",
      `get ${"k".repeat(251)}\r\n`,
      "set u 0 0 5\r\nhellos\r\n",
    ];
    let id = 500;
    for (const payload of payloads) {
      const datagram = frame(++id, payload);
      const [theirs, mine] = await Promise.all([ask(real.port, datagram), ask(ours.port, datagram)]);
      const joined = (all: Buffer[]): string => all.map((d) => d.toString("latin1", 8)).join("");
      expect(joined(mine), payload.slice(0, 40)).toBe(joined(theirs));
      for (const reply of mine) expect(reply.readUInt16BE(0)).toBe(id);
    }
  });

  test.each([
    ["two datagrams claimed", frame(7, "get a\r\n", 0, 2)],
    ["none claimed", frame(7, "get a\r\n", 0, 0)],
    ["second of two", frame(7, "get a\r\n", 1, 2)],
    ["frame alone", frame(7, "")],
    ["half a frame", Buffer.from([0, 7, 0])],
    ["empty", Buffer.alloc(0)],
  ])("a datagram both drop: %s", async (_name, datagram) => {
    const [theirs, mine] = await Promise.all([ask(real.port, datagram), ask(ours.port, datagram)]);
    expect([theirs, mine]).toEqual([[], []]);
  });
});
