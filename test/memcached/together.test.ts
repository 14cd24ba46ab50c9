/** Commands of many clients that waited for the cold tier and go on in one and the same turn. */
import { afterEach, expect, test } from "vitest";
import { MemoryStore } from "../../src/tiers/cold/memory.ts";
import type { Change, ColdStore, Item, Key } from "../../src/tiers/cold/store.ts";
import { exchange, type Running, start } from "../support/service.ts";

/** Answers all that was asked at once, as a pipelined client of a network store does. */
class BatchingStore implements ColdStore {
  readonly name = "batching";
  readonly #inner = new MemoryStore({ maxBytes: 1e7, maxEntries: 1_000 });
  #batch: Promise<void> | null = null;

  #together(): Promise<void> {
    this.#batch ??= new Promise<void>((resolve) =>
      setTimeout(() => {
        this.#batch = null;
        resolve();
      }, 5),
    );
    return this.#batch;
  }

  async get(key: Key): Promise<Item | null> {
    await this.#together();
    return this.#inner.get(key);
  }

  async update<T>(key: Key, change: (old: Item | null) => Change<T>): Promise<T> {
    await this.#together();
    return this.#inner.update(key, change);
  }

  clear() {
    this.#inner.clear();
  }
  stats() {
    return this.#inner.stats();
  }
  close() {}
}

let running: Running | null = null;
afterEach(async () => {
  await running?.service.close();
  running = null;
});

test("each client gets its own answers, and nobody else's", async () => {
  running = await start({ memcached: "127.0.0.1:0", offload: "off" }, {}, { cold: new BatchingStore() });
  const port = running.service.memcached?.server?.port ?? 0;
  const clients = Array.from({ length: 12 }, (_, i) => `client${i}`);
  const said = await Promise.all(
    clients.map((name) => {
      const value = `${name}:`.repeat(20);
      const commands = [
        `set ${name} 0 0 ${value.length}\r\n${value}\r\n`,
        `get ${name}\r\n`.repeat(5),
        `get ${name} none\r\nmg ${name} v k\r\nincr ${name} 1\r\n`,
        `set ${name} 0 0 ${3 << 20}\r\n${"x".repeat(3 << 20)}\r\n`,
      ];
      return exchange(port, [commands.join("")], { quietMs: 1_500 });
    }),
  );
  said.forEach(({ text }, i) => {
    const name = clients[i] as string;
    const value = `${name}:`.repeat(20);
    const block = `VALUE ${name} 0 ${value.length}\r\n${value}\r\nEND\r\n`;
    expect(text).toBe(
      `STORED\r\n${block.repeat(6)}VA ${value.length} k${name}\r\n${value}\r\n` +
        "CLIENT_ERROR cannot increment or decrement non-numeric value\r\nSERVER_ERROR object too large for cache\r\n",
    );
  });
});

// What userspace takes on at once bounds all clients together: one that asks for much takes its turns.
test.each(["on", "off"] as const)(
  "a client that asks for much is not refused, offload %s",
  async (offload) => {
    running = await start({ memcached: "127.0.0.1:0", offload }, { cold: { maxPending: 1_000 } });
    const port = running.service.memcached?.server?.port ?? 0;
    const item = "VALUE k 0 2\r\nhi\r\n";
    const ask = (request: string, answer: string) =>
      exchange(port, [request], { quietMs: 1_500 }).then(({ text }) => expect(text).toBe(answer));
    await ask("set k 0 0 2\r\nhi\r\n", "STORED\r\n");
    await ask(`get ${"k ".repeat(5_000)}\r\n`, `${item.repeat(5_000)}END\r\n`);
    await ask(`gat 0 ${"k ".repeat(900)}\r\n`, `${item.repeat(900)}END\r\n`);
    await Promise.all([1, 2, 3, 4].map(() => ask("get k\r\n".repeat(3_000), `${item}END\r\n`.repeat(3_000))));
  },
);
