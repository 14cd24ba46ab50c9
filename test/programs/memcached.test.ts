/**
 * The memcached programs packet by packet, on our machine and on Linux alike. BMC's known faults are each a
 * case here.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { XDP_ACTION } from "../../src/bpf/context.ts";
import { counters, fill, type Machine, u32, variantMachines } from "./machines.ts";
import { replyText, tcp, udp } from "./packets.ts";

const { pass, tx } = XDP_ACTION;
const X100 = Buffer.alloc(100, "x");
const STAT = { get: 16, set: 17, hit: 19, miss: 20, misprediction: 21, update: 22, partial: 26, raced: 28 };

describe.each(variantMachines("memcached"))("$object on $name", ({ object, open, skip }) => {
  let machine: Machine;
  let before: number[] = [];
  beforeAll(() => {
    if (!skip) machine = open(object);
  }, 60_000);
  beforeEach(async () => {
    if (skip) return;
    await machine.set("mc_control", u32(0), Buffer.alloc(8)); // a delayed flush_all of the test before
    await machine.run("rx_filter", udp("flush_all\r\n"));
    before = await counters(machine);
  });
  afterAll(() => machine?.close());
  const counted = async (index: number) => (await counters(machine))[index]! - before[index]!;
  const it = test.skipIf(skip);

  const get = (text: string) => machine.run("rx_filter", udp(text));
  async function answer(text: string): Promise<string | null> {
    const { verdict, packet } = await get(text);
    if (verdict === tx) return replyText(packet);
    expect(verdict).toBe(pass);
    expect(packet).toEqual(udp(text));
    return null;
  }
  const reply = (text: string, options = {}) =>
    machine.run("tx_filter", udp(text, { toServer: false, ...options }));

  it("answers a get of a hot key", async () => {
    await fill(machine, "k", X100, { flags: 4_294_967_295 });
    expect(await answer("get k\r\n")).toBe(`VALUE k 4294967295 100\r\n${X100}\r\nEND\r\n`);
  });

  it.each([0, 1, 9, 10, 99, 100, 999, 1_000])("answers with a value of %i bytes", async (size) => {
    const value = Buffer.from(Array.from({ length: size }, (_, i) => (i * 7) & 0xff));
    await fill(machine, "key", value);
    expect(await answer("get key\r\n")).toBe(`VALUE key 0 ${size}\r\n${value.toString("latin1")}\r\nEND\r\n`);
  });

  it.each([1, 7, 8, 9, 16, 249, 250])("answers a key of %i bytes", async (size) => {
    const key = "abcdefghij".repeat(25).slice(0, size);
    await fill(machine, key, X100);
    expect(await answer(`get ${key}\r\n`)).toBe(`VALUE ${key} 0 100\r\n${X100}\r\nEND\r\n`);
  });

  it("right checksum for any identification: both carries are folded", async () => {
    await fill(machine, "k", X100);
    for (let ipId = 0; ipId < 65_536; ipId += 1_021) {
      const { packet } = await machine.run("rx_filter", udp("get k\r\n", { ipId }));
      expect(replyText(packet)).toContain("VALUE k");
    }
  });

  it("answers a multi-get of 30 hot keys in the order asked", async () => {
    const keys = Array.from({ length: 30 }, (_, i) => `key${i}`);
    for (const key of keys) await fill(machine, key, Buffer.from(key));
    const items = keys.map((key) => `VALUE ${key} 0 ${key.length}\r\n${key}\r\n`).join("");
    expect(await answer(`get ${keys.join(" ")}\r\n`)).toBe(`${items}END\r\n`);
  });

  it("passes a multi-get up whole when one key misses", async () => {
    await fill(machine, "hot", X100);
    expect(await answer("get hot cold\r\n")).toBeNull();
    expect(await counted(STAT.partial)).toBe(1);
  });

  it("passes replies that no datagram holds", async () => {
    await fill(machine, "a", Buffer.alloc(800, "a"));
    await fill(machine, "b", Buffer.alloc(800, "b"));
    expect(await answer("get a b\r\n")).toBeNull();
    expect(await answer("get a\r\n")).toContain("VALUE a 0 800");
  });

  it.each([
    ["31 keys", `get ${Array.from({ length: 31 }, () => "k").join(" ")}\r\n`],
    ["a key of 251 bytes", `get ${"k".repeat(251)}\r\n`],
    ["no key", "get \r\n"],
    ["two spaces", "get  k\r\n"],
    ["no line end", "get k"],
    ["a second command behind", "get k\r\nget k\r\n"],
    ["a set behind a longer get", "get a b\r\nset z 0 0 1\r\nx\r\n"],
    ["gets", "gets k\r\n"],
    ["a bare line feed", "get k\n\n"],
    ["a NUL in the key", "get \0k\r\n"],
  ])("passes on: %s", async (_, text) => {
    await fill(machine, "k", X100);
    expect(await answer(text)).toBeNull();
  });

  it.each([
    ["several datagrams", udp("get k\r\n", { count: 2 })],
    ["a later datagram", udp("get k\r\n", { sequence: 1 })],
    ["cut after the frame header", udp("get k\r\n").subarray(0, 50)],
    ["cut in the key", udp("get k\r\n").subarray(0, 55)],
    ["another protocol", Buffer.from(udp("get k\r\n")).fill(6, 23, 24)],
  ])("passes on frames: %s", async (_, packet) => {
    await fill(machine, "k", X100);
    const outcome = await machine.run("rx_filter", packet);
    expect(outcome).toEqual({ verdict: pass, packet });
  });

  it("equal hash, another key: a misprediction, passed", async () => {
    await fill(machine, "declinate0123456", X100);
    expect(await answer("get macallums0123456\r\n")).toBeNull();
    expect(await counted(STAT.misprediction)).toBe(1);
  });

  it("an expired entry is not served, one that expires later is", async () => {
    const now = await machine.nowNs();
    await fill(machine, "old", X100, { expiresNs: now });
    await fill(machine, "new", X100, { expiresNs: now + 60_000_000_000n });
    expect(await answer("get old\r\n")).toBeNull();
    expect(await answer("get new\r\n")).toContain("VALUE new");
  });

  it("learns from a reply, newlines and all", async () => {
    expect(await answer("get k\r\n")).toBeNull();
    const value = "a\r\nEND\r\nb\nc\0d\r\n";
    const text = `VALUE k 7 ${value.length}\r\n${value}\r\nEND\r\n`;
    await reply(text);
    expect(await answer("get k\r\n")).toBe(text);
    expect(await counted(STAT.update)).toBe(1);
  });

  it.each([
    ["nobody asked", "get other\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n"],
    ["a cas number", "get k\r\n", "VALUE k 0 1 77\r\nx\r\nEND\r\n"],
    ["a length that lies", "get k\r\n", "VALUE k 0 2\r\nx\r\nEND\r\n"],
    ["no digits", "get k\r\n", "VALUE k 0 x\r\nx\r\nEND\r\n"],
    ["another request's", "get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n", { id: 9 }],
  ])("does not learn from a reply: %s", async (_, ask, text, options: { id?: number } = {}) => {
    await get(ask);
    await reply(text, options);
    expect(await answer("get k\r\n")).toBeNull();
  });

  it("does not learn what a write has overtaken", async () => {
    await get("get k\r\n");
    await machine.run("rx_filter", udp("set k 0 0 1\r\ny\r\n", { port: 7_777 }));
    await reply("VALUE k 0 1\r\nx\r\nEND\r\n");
    expect(await answer("get k\r\n")).toBeNull();
    expect(await counted(STAT.raced)).toBe(1);
  });

  it("drops a key again when the write is answered", async () => {
    await machine.run("rx_filter", udp("set k 0 0 1\r\ny\r\n", { port: 7_777 }));
    await fill(machine, "k", X100); // what read the old value meanwhile
    await reply("STORED\r\n", { port: 7_777 });
    expect(await answer("get k\r\n")).toBeNull();
  });

  const WRITES = [
    "set k 0 0 1\r\nx\r\n",
    "add k 0 0 1\r\nx\r\n",
    "replace k 0 0 1\r\nx\r\n",
    "append k 0 0 1\r\nx\r\n",
    "prepend k 0 0 1\r\nx\r\n",
    "cas k 0 0 1 5\r\nx\r\n",
    "set k 0 0 1 noreply\r\nx\r\n",
    "delete k\r\n",
    "incr k 1\r\n",
    "decr k 1\r\n",
    "touch k 10\r\n",
    "gat 10 k\r\n",
    "gats 10 k\r\n",
    "flush_all\r\n",
    "flush_all 1\r\n",
    "ms k 1\r\nx\r\n",
    "md k\r\n",
    "ma k\r\n",
    "mg k T30\r\n",
    "mg k v N0\r\n",
    "mg aw== b T30\r\n",
    "md aw== b\r\n",
    "get other\r\nset k 0 0 1\r\nx\r\n",
    "get other third\r\nset k 0 0 1\r\nx\r\n",
    "set other 0 0 9\r\nset k 0 0\r\ndelete k\r\n",
  ];
  const named = WRITES.map((text) => [JSON.stringify(text), text] as const);

  it.each(named)("over UDP invalidates: %s", async (_, text) => {
    await fill(machine, "k", X100);
    expect((await machine.run("rx_filter", udp(text))).verdict).toBe(pass);
    expect(await answer("get k\r\n")).toBeNull();
  });

  it.each(named)("over TCP invalidates, cut at any byte: %s", async (_, text) => {
    for (let cut = 0; cut <= text.length; cut++) {
      await fill(machine, "k", X100);
      const port = 20_000 + cut;
      await machine.run("rx_filter", tcp("", 99, { port, flags: 2 }));
      for (const [part, at] of [
        [text.slice(0, cut), 100],
        [text.slice(cut), 100 + cut],
      ] as const)
        if (part !== "") await machine.run("rx_filter", tcp(part, at, { port }));
      expect(await answer("get k\r\n"), `cut at ${cut}`).toBeNull();
    }
  });

  it.each(["mg k v t\r\n", "mg k Ob kT\r\n", "me k\r\n", "mn\r\n", "md other\r\n", "ms other 1\r\nk\r\n"])(
    "keeps the entry at %j, which does not write it",
    async (text) => {
      await fill(machine, "k", X100);
      await machine.run("rx_filter", udp(text));
      expect(await answer("get k\r\n")).toContain("VALUE k");
    },
  );

  it("bytes of a data block are no commands", async () => {
    await machine.run("rx_filter", tcp("", 99, { flags: 2 }));
    await fill(machine, "k", X100);
    await machine.run("rx_filter", tcp("set other 0 0 10\r\ndelete", 100));
    await machine.run("rx_filter", tcp(" k\r\n\r\n", 124));
    expect(await answer("get k\r\n")).toContain("VALUE k");
    await machine.run("rx_filter", tcp("delete k\r\n", 130));
    expect(await answer("get k\r\n")).toBeNull();
  });

  it("a stream it has not followed from its start invalidates everything", async () => {
    await fill(machine, "k", X100);
    await machine.run("rx_filter", tcp("o 0 3\r\n", 5_000, { port: 9_999 }));
    expect(await answer("get k\r\n")).toBeNull();
  });

  it("a reply after an expiring set is filled with that expiry, an absolute one not at all", async () => {
    await machine.run("rx_filter", udp("set k 0 2000000000 1\r\ny\r\n"));
    await new Promise((resolve) => setTimeout(resolve, 120)); // SETTLE_NS
    await get("get k\r\n");
    await reply("VALUE k 0 1\r\ny\r\nEND\r\n");
    expect(await answer("get k\r\n")).toBeNull();
    await machine.run("rx_filter", udp("set k 0 100 1\r\ny\r\n"));
    await new Promise((resolve) => setTimeout(resolve, 120));
    await reply("STORED\r\n");
    await get("get k\r\n");
    await reply("VALUE k 0 1\r\ny\r\nEND\r\n");
    expect(await answer("get k\r\n")).toContain("VALUE k 0 1");
  });
});
