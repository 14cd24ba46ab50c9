import { describe, expect, test } from "vitest";
import { COMMANDS } from "../../src/memcached/commands.ts";
import { ReplyBuffer, SlabPool } from "../../src/memcached/reply.ts";
import { slabClass } from "../../src/memcached/slab-class.ts";
import type { Cache } from "../../src/tiers/cache.ts";
import { StoreUnavailable } from "../../src/tiers/cold/store.ts";
import { Conversation } from "./conversation.ts";
import { memoryCache } from "./peers.ts";

/** The in-memory cache, answering each call only when `release` is called. */
function slowCache(): { cache: Cache; release: () => Promise<void>; waiting: () => number } {
  const inner = memoryCache();
  let queue: (() => void)[] = [];
  const later = <T>(work: () => T | Promise<T>): Promise<T> =>
    new Promise((resolve) => queue.push(() => resolve(work())));
  const cache: Cache = {
    get: (key) => later(() => inner.get(key)),
    update: (key, change) => later(() => inner.update(key, change)),
    clear: () => later(() => inner.clear()),
    stats: () => inner.stats(),
  };
  const release = async (): Promise<void> => {
    while (queue.length > 0) {
      const now = queue;
      // The last asked for is answered first: order must not come from luck.
      queue = [];
      for (const go of now.reverse()) go();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { cache, release, waiting: () => queue.length };
}

describe("over a cold tier that answers later", () => {
  test("replies keep the order of the commands, values the order of the keys", async () => {
    const { cache, release } = slowCache();
    const conversation = new Conversation({ cache });
    conversation.feed("set a 1 0 1\r\nA\r\nset b 2 0 1\r\nB\r\nget b nope a\r\nversion\r\nincr a 1\r\n");
    await release();
    expect(conversation.text).toBe(
      "STORED\r\nSTORED\r\nVALUE b 2 1\r\nB\r\nVALUE a 1 1\r\nA\r\nEND\r\nVERSION 1.6.18-bmc\r\n" +
        "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
    );
  });

  test("all keys of one get are asked for at once", async () => {
    const { cache, release, waiting } = slowCache();
    const conversation = new Conversation({ cache }).feed("get a b c d\r\n");
    expect(waiting()).toBe(4);
    await release();
    expect(conversation.text).toBe("END\r\n");
  });

  test("what comes while a command waits is kept until its turn", async () => {
    const { cache, release } = slowCache();
    const conversation = new Conversation({ cache });
    conversation.feed("set a 0 0 3\r\nab").feed("c\r\nget").feed(" a\r\nmg a v k c").feed(" q\r\nmn\r\n");
    await release();
    expect(conversation.text).toMatch(
      /^STORED\r\nVALUE a 0 3\r\nabc\r\nEND\r\nVA 3 ka c\d+\r\nabc\r\nMN\r\n$/,
    );
  });

  test("a cold tier that cannot answer is a SERVER_ERROR, and the next command runs", async () => {
    const cache: Cache = {
      ...memoryCache(),
      get: () => Promise.reject(new StoreUnavailable("redis is away", 1)),
      update: () => {
        throw new StoreUnavailable("redis is away", 1);
      },
      clear: () => undefined,
      stats: () => memoryCache().stats(),
    };
    const conversation = new Conversation({ cache });
    conversation.feed("get a\r\nset a 0 0 1\r\nx\r\nmn\r\n");
    await new Promise((resolve) => setImmediate(resolve));
    expect(conversation.text).toBe("SERVER_ERROR redis is away\r\nSERVER_ERROR redis is away\r\nMN\r\n");
    expect(conversation.faults).toEqual([]);
  });

  test("a fault of our own is told to the operator, not to the client in detail", () => {
    const cache: Cache = {
      ...memoryCache(),
      get: () => {
        throw new TypeError("bug");
      },
      update: () => "unused" as never,
      clear: () => undefined,
      stats: () => memoryCache().stats(),
    };
    const conversation = new Conversation({ cache }).feed("get a\r\nmn\r\n");
    expect(conversation.text).toBe("SERVER_ERROR internal error\r\nMN\r\n");
    expect(conversation.faults).toHaveLength(1);
  });
});

describe("memory a client can make us hold", () => {
  test.each([
    ["a block announced and not sent", "set k 0 0 1000000\r\n", 512],
    ["a block begun", `set k 0 0 1000000\r\n${"x".repeat(100)}`, 17_000],
    ["an item too large, swallowed as it comes", `set k 0 0 2000000000\r\n${"x".repeat(60_000)}`, 512],
    ["half a line", "x".repeat(2_000), 2_048],
  ])("%s", (_name, stream, bound) => {
    const { session } = new Conversation().feed(stream);
    expect(session.parser.heldBytes).toBeLessThanOrEqual(bound);
  });

  test("a line without end is refused and the stream is over", () => {
    const conversation = new Conversation().feed("x".repeat(3_000));
    expect(conversation.text).toBe("CLIENT_ERROR line too long\r\n");
    expect(conversation.session.parser.isClosed).toBe(true);
    expect(conversation.feed("mn\r\n").text).toBe("CLIENT_ERROR line too long\r\n");
  });

  test("a get may be long, but not without bound", () => {
    const conversation = new Conversation().feed("get ");
    for (let i = 0; i < 1_100 && !conversation.session.parser.isClosed; i++)
      conversation.feed("k".repeat(1_000));
    expect(conversation.text).toBe("CLIENT_ERROR line too long\r\n");
  });

  test("a megabyte value named a hundred times is held once", () => {
    const reply = new ReplyBuffer(new SlabPool());
    const big = new Uint8Array(1_000_000);
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 100; i++) reply.value(big);
    expect(reply.length).toBe(100 * 1_000_002);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
  });
});

describe("time", () => {
  test("exptime: relative seconds, absolute time, never, already gone", () => {
    const now = Date.now();
    const conversation = new Conversation({ now: () => now });
    const expiry = (exptime: string): string => {
      conversation.text = "";
      return conversation.feed(`ms k 1 T${exptime}\r\nx\r\nmg k t\r\n`).text;
    };
    expect(expiry("100")).toBe("HD\r\nHD t100\r\n");
    expect(expiry("0")).toBe("HD\r\nHD t-1\r\n");
    expect(expiry("-1")).toBe("HD\r\nEN\r\n");
    expect(expiry(String(Math.floor(now / 1000) + 3_000_000))).toMatch(/^HD\r\nHD t(2999999|3000000)\r\n$/);
    expect(expiry("2592001")).toBe("HD\r\nEN\r\n");
  });

  test("flush_all with a delay empties the cache when its time comes, and the last one counts", async () => {
    const conversation = new Conversation();
    conversation.feed("set a 0 0 1\r\nx\r\nflush_all 1\r\nget a\r\n");
    expect(conversation.text).toBe("STORED\r\nOK\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    conversation.feed("flush_all 600\r\n");
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    conversation.text = "";
    expect(conversation.feed("get a\r\n").text).toBe("VALUE a 0 1\r\nx\r\nEND\r\n");
    conversation.feed("flush_all 1\r\n");
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    conversation.text = "";
    expect(conversation.feed("get a\r\n").text).toBe("END\r\n");
    conversation.engine.cancelFlush();
  });
});

describe("tables", () => {
  test("each command that can change a key is marked as a write", () => {
    const writes = [...COMMANDS.values()].filter((command) => command.writes).map(({ name }) => name);
    expect(writes.sort()).toEqual(
      "add append cas decr delete flush_all gat gats incr ma md mg ms prepend replace set touch".split(" "),
    );
  });

  test.each([
    [1, 1],
    [96, 1],
    [97, 2],
    [1_184, 12],
    [1_185, 13],
    [524_288, 39],
    [1_000_000, 39],
  ])("an item of %i bytes is in slab class %i", (bytes, expected) => expect(slabClass(bytes)).toBe(expected));
});
