/**
 * memcached_skb's parser and verdict through their tc twins, on our machine and on Linux. The framing is also
 * held to our own server's parser, which is held to Debian's memcached elsewhere: where that one is between
 * two commands, the program must cut, or refuse.
 */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { POLICY_TABLE } from "../../src/tiers/hot/policy.ts";
import { RUN_REASONS } from "../../src/tiers/hot/run-info.ts";
import { Conversation } from "../memcached/conversation.ts";
import { random } from "../memcached/peers.ts";
import { commandStream } from "../memcached/streams.ts";
import {
  counters,
  emulated,
  fill,
  LINUX_SKB_MAX_BYTES,
  type Machine,
  u32,
  variantMachines,
} from "./machines.ts";

const REFUSED = -86;
type Reason = (typeof RUN_REASONS)[number]["name"];
const nameOf = (code: number): Reason | undefined => RUN_REASONS.find((reason) => reason.code === code)?.name;
const X100 = "x".repeat(100);
const STAT = {
  get: 16,
  hit: 19,
  miss: 20,
  misprediction: 21,
  partial: 26,
  tcpHit: 41,
  tcpMiss: 42,
  tcpWrite: 43,
};
const bytes = (text: string) => Buffer.from(text, "latin1");

describe.each(variantMachines("memcached_skb_twin"))(
  "$object on $name",
  ({ name, object, policy, open, skip }) => {
    const it = test.skipIf(skip);
    let machine: Machine;
    let before: number[] = [];
    beforeAll(() => {
      if (!skip) machine = open(object);
    }, 60_000);
    beforeEach(async () => {
      if (skip) return;
      await judge("flush_all\r\n         ");
      await machine.set("mc_stream", u32(0), Buffer.alloc(8));
      before = await counters(machine);
    });
    afterAll(() => machine?.close());

    const counted = async (index: number) => (await counters(machine))[index]! - before[index]!;
    const tooLongHere = (text: string) => name === "Linux" && text.length > LINUX_SKB_MAX_BYTES;
    // Linux test-runs nothing shorter than an Ethernet header: no packet here is.
    const frame = async (text: string) => (await machine.run("mc_parser_twin", bytes(text))).verdict;
    const judge = async (text: string) => {
      const { verdict, packet } = await machine.run("mc_verdict_twin", bytes(text));
      return { reason: nameOf(verdict), text: packet.toString("latin1") };
    };

    it.each([
      ["a get", "get key:of:14b\r\n", 16],
      ["the first of two", "get key\r\nget other\r\n", 9],
      ["a line without its end", "get key:of:14bytes", 0],
      ["a bare line feed", "get key\nget other\r\n", 8],
      ["a set and its value", "set k 0 0 5\r\nhello\r\nget k\r\n", 20],
      ["a value to come", "set k 4294967295 -1 1048000\r\nab", 29 + 1_048_002],
      ["noreply", "add k 0 0 5 noreply\r\nhello\r\n", 28],
      ["an append", "append k 0 0 5\r\nhello\r\n", 23],
      ["a prepend", "prepend k 0 0 5\r\nhello\r\n", 24],
      ["a replace", "replace k 0 0 5\r\nhello\r\n", 24],
      ["a cas", "cas k 0 0 5 123456789012345678 noreply\r\nhello\r\n", 47],
      ["an ms with flags", "ms k 5 T30 c k Oabc\r\nhello\r\n", 28],
      ["an ms of nothing", "ms key0 0\r\n\r\nget", 13],
      ["a command nobody knows", "frobnicate a b c\r\nget", 18],
      ["a storage command without words", "set\r\nget other\r\n", 5],
      ["a line of 4,000 bytes", `get ${"k ".repeat(1_998)}\r\n`, 4_002],
    ])("frames %s", async (_, text, length) => {
      if (tooLongHere(text)) return;
      expect(await frame(text)).toBe(length);
    });

    it("needs more bytes at every cut of a line, and never gives up", async () => {
      const text = "set key:with:colons 123 456 789 noreply\r\n";
      for (let cut = 14; cut < text.length; cut++) expect(await frame(text.slice(0, cut)), `${cut}`).toBe(0);
      expect(await frame(text)).toBe(text.length + 789 + 2);
    });

    it.each([
      ["spaces first", " get key:of:14b\r\n"],
      ["the binary protocol", "\x80\0\0\0\0\0\0\0\0\0\0\0\0\0"],
      ["an empty line", "\r\nget key:of:14b\r\n"],
      ["a key of 251 bytes", `set ${"k".repeat(251)} 0 0 1\r\nx\r\n`],
      ["two spaces", "set k  0 0 1\r\nx\r\n"],
      ["a space at the end", "set k 0 0 1 \r\nx\r\n"],
      ["a word too many", "set k 0 0 1 noreply x\r\nx\r\n"],
      ["a word too few", "set key 0 0\r\nx\r\n"],
      ["a word that is not noreply", "set k 0 0 1 noreplx\r\nx\r\n"],
      ["a negative length", "set k 0 0 -1\r\nx\r\n"],
      ["negative flags", "set k -1 0 1\r\nx\r\n"],
      ["two signs", "set k 0 --1 1\r\nx\r\n"],
      ["a sign alone", "set k 0 - 1\r\nx\r\n"],
      ["a length of ten digits", "set k 0 0 1000000000\r\nx\r\n"],
      ["a length that is no number", "set k 0 0 1x\r\nx\r\n"],
      ["a plus", "set k 0 0 +1\r\nx\r\n"],
      ["a NUL in the key", "set k\0 0 0 1\r\nx\r\n"],
      ["a tab", "set k\t0 0 0 1\r\nx\r\n"],
      ["a bare line feed after a set", "set key 0 0 1\nx\r\n"],
      ["a cas without its number", "cas k 0 0 1 noreply\r\nx\r\n"],
      ["an ms without a length", "ms key noreply\r\nx\r\n"],
      ["an ms with too many flags", `ms k 1${" k".repeat(16)}\r\nx\r\n`],
      ["a line over 2 KiB that is no get's", `mg ${"k".repeat(2_050)}`],
      ["a get of 4 KiB that goes on", `get ${"k ".repeat(2_050)}`],
    ])("gives a connection up: %s", async (_, text) => {
      if (tooLongHere(text)) return;
      expect(await frame(text)).toBe(REFUSED);
    });

    it.each([0, 1, 9, 10, 99, 100, 999, 1_000])("answers with a value of %i bytes", async (size) => {
      const value = Buffer.from(Array.from({ length: size }, (_, i) => (i * 7) & 0xff));
      await fill(machine, "a:long:key", value);
      const text = `VALUE a:long:key 0 ${size}\r\n${value.toString("latin1")}\r\nEND\r\n`;
      expect(await judge("get a:long:key\r\n")).toEqual({ reason: "HIT", text });
    });

    it.each([10, 15, 16, 17, 249, 250])("answers a key of %i bytes", async (size) => {
      const key = "abcdefghij".repeat(25).slice(0, size);
      await fill(machine, key, bytes(X100));
      const text = `VALUE ${key} 0 100\r\n${X100}\r\nEND\r\n`;
      expect(await judge(`get ${key}\r\n`)).toEqual({ reason: "HIT", text });
    });

    it.each([0, 9, 10, 65_535, 4_294_967_295])("answers with client flags %i", async (flags) => {
      await fill(machine, "a:long:key", bytes("v"), { flags });
      expect((await judge("get a:long:key\r\n")).text).toBe(`VALUE a:long:key ${flags} 1\r\nv\r\nEND\r\n`);
    });

    it("answers a multi-get of 30 hot keys in the order asked, one of them twice", async () => {
      const keys = Array.from({ length: 29 }, (_, i) => `key${i}`);
      for (const key of keys) await fill(machine, key, bytes(key.repeat(20)));
      keys.splice(7, 0, "key3");
      const items = keys.map((key) => `VALUE ${key} 0 ${20 * key.length}\r\n${key.repeat(20)}\r\n`).join("");
      expect(await judge(`get ${keys.join(" ")}\r\n`)).toEqual({ reason: "HIT", text: `${items}END\r\n` });
      expect(await counted(STAT.hit)).toBe(30);
      expect(await counted(STAT.tcpHit)).toBe(30);
    });

    it.each<[string, Reason, string]>([
      ["one key of two misses", "COLD", "get hot:key:1 cold\r\n"],
      ["another key in the slot", "COLLISION", "get slot:thief\r\n"],
      ["equal hash, another key", "MISPREDICTION", "get macallums0123456\r\n"],
      ["expired", "EXPIRED", "get old:entry:1\r\n"],
      ["two spaces", "KEY_BYTES", "get  hot:key:1\r\n"],
      ["a space at the end", "KEY_BYTES", "get hot:key:1 \r\n"],
      ["no key", "KEY_BYTES", "get \r\n            "],
      ["a bare line feed", "KEY_BYTES", "get hot:key:1\n\n"],
      ["a NUL in the key", "KEY_BYTES", "get hot:key\0:1\r\n"],
      ["a key of 251 bytes", "KEY_TOO_LONG", `get ${"k".repeat(251)}\r\n`],
      ["31 keys", "NO_ROOM", `get ${Array.from({ length: 31 }, () => "hot:key:1").join(" ")}\r\n`],
      ["more than a reply holds", "NO_ROOM", `get ${Array.from({ length: 8 }, () => "big").join(" ")}\r\n`],
      ["gets", "METHOD", "gets hot:key:1\r\n"],
      ["mg", "METHOD", "mg hot:key:1 v\r\n"],
      ["stats", "METHOD", "stats settings\r\n"],
    ])("passes on, untouched: %s", async (_, reason, text) => {
      await fill(machine, "hot:key:1", bytes(X100));
      await fill(machine, "big", Buffer.alloc(1_000, "b"));
      for (let way = 0; way < POLICY_TABLE[policy].ways; way++)
        await fill(machine, `slot:owner${way}`, bytes(X100), { slotOf: "slot:thief", way });
      await fill(machine, "declinate0123456", bytes(X100));
      await fill(machine, "old:entry:1", bytes(X100), { expiresNs: await machine.nowNs() });
      // An LRU map's entries have no slot that another could hold.
      const here = policy === "lru" && reason === "COLLISION" ? "COLD" : reason;
      expect(await judge(text)).toEqual({ reason: here, text });
      expect((await judge("get hot:key:1\r\n")).reason).toBe("HIT");
    });

    it("answers nothing while the connection has commands in userspace, but still drops what is written", async () => {
      await fill(machine, "hot:key:1", bytes(X100));
      await machine.set("mc_stream", u32(0), Buffer.concat([u32(1), u32(0)]));
      expect((await judge("get hot:key:1\r\n")).reason).toBe("RACED");
      await judge("delete hot:key:1\r\n");
      await machine.set("mc_stream", u32(0), Buffer.alloc(8));
      expect((await judge("get hot:key:1\r\n")).reason).toBe("COLD");
      expect(await counted(STAT.tcpMiss)).toBe(1);
    });

    it.each([
      "set the:key 0 0 1\r\nx\r\n",
      "add the:key 0 0 1\r\nx\r\n",
      "replace the:key 0 0 1\r\nx\r\n",
      "append the:key 0 0 1\r\nx\r\n",
      "prepend the:key 0 0 1\r\nx\r\n",
      "cas the:key 0 0 1 5\r\nx\r\n",
      "set the:key 0 0 1 noreply\r\nx\r\n",
      "set the:key 0 0 100000\r\nthe value is to come",
      "delete the:key\r\n",
      "incr the:key 1\r\n",
      "decr the:key 1\r\n",
      "touch the:key 10\r\n",
      "gat 10 other the:key\r\n",
      "gats 10 the:key\r\n",
      "flush_all\r\n        ",
      "ms the:key 1\r\nx\r\n",
      "md the:key q\r\n",
      "ma the:key N0\r\n",
      "mg the:key T30\r\n",
      "mg dGhlOmtleQ== b T0\r\n",
      `gats 10 ${"k".repeat(240)} ${"l".repeat(240)} the:key\r\n`,
    ])("drops what is written: %j", async (text) => {
      await fill(machine, "the:key", bytes(X100));
      await fill(machine, "another", bytes(X100));
      expect(await judge(text)).toEqual({ reason: "WRITE", text });
      expect((await judge("get the:key   \r\n")).reason).not.toBe("HIT");
      expect((await judge("get the:key another\r\n")).reason).toBe("COLD");
      expect(await counted(STAT.tcpWrite)).toBe(1);
    });
  },
);

describe("framing", () => {
  const machine = emulated("memcached_skb_twin");
  const frame = async (text: string) => (await machine.run("mc_parser_twin", bytes(text))).verdict;

  /** Offsets at which our server is between two commands, fed byte by byte. */
  function boundaries(stream: string): number[] {
    const conversation = new Conversation();
    const found: number[] = [];
    for (let at = 0; at < stream.length; at++) {
      conversation.feed(stream[at] as string);
      const { parser } = conversation.session;
      if (parser.isClosed) break;
      if (parser.isIdle) found.push(at + 1);
    }
    return found;
  }

  /** Frames `stream` to its end or to where the program gives it up. @returns where it cut */
  async function cuts(stream: string): Promise<number[]> {
    const found: number[] = [];
    let at = 0;
    while (at < stream.length) {
      const length = await frame(stream.slice(at, at + 4_104));
      if (length <= 0) break;
      at += length;
      if (at <= stream.length) found.push(at);
    }
    return found;
  }

  async function expectAgreement(stream: string): Promise<number> {
    const mine = await cuts(stream);
    expect(mine).toEqual(boundaries(stream).slice(0, mine.length));
    return mine.length;
  }

  test("cuts random streams where the server does", async () => {
    let framed = 0;
    for (let seed = 1; seed <= 60; seed++) {
      for (const command of commandStream(random(seed), 25))
        framed += await expectAgreement(command + command);
    }
    expect(framed).toBeGreaterThan(1_000);
  });

  test("cuts nonsense where the server does, or gives it up", async () => {
    const word = fc.constantFrom(
      ..."set add cas ms append prepend replace get mg a 0 1 5 -1 -0 +1 1x 9999999999 999999999 noreply \0 \t".split(
        " ",
      ),
      "",
      "k".repeat(250),
      "k".repeat(251),
      "1\0",
      "\x80",
      "T30",
      "18446744073709551616",
    );
    const line = fc
      .tuple(
        fc.array(word, { maxLength: 8 }),
        fc.constantFrom("\r\n", "\r\n", "\r\n", "\n", "\r", " \r\n", "\0\r\n"),
      )
      .map(([words, end]) => words.join(" ") + end);
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 6 }), async (lines) => {
        await expectAgreement(`${lines.join("")}get a\r\n`);
      }),
      { numRuns: 600 },
    );
  });
});
