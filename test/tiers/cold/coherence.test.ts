/**
 * The protocol alone, over a network and a store that the test makes slow and lossy. The oracle needs no
 * history: at the moment a hot copy is served it must be what the store holds.
 */
import { describe, expect, it } from "vitest";
import { Coherence, type NodeBus } from "../../../src/tiers/cold/coherence.ts";
import type { Write } from "../../../src/tiers/cold/own-writes.ts";

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Small numbers from a seed, the same on every run. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** The list of nodes, and their messages: in order from one node to another, each late by what `lag` says. */
class Network {
  readonly list = new Map<string, "in" | "out">();
  readonly nodes = new Map<string, Coherence>();
  /** Nodes that nothing reaches and that reach nothing. */
  readonly cutOff = new Set<string>();
  /** Messages that are lost without a trace. */
  lose: () => boolean = () => false;
  lag: () => number = () => 0;
  messages = 0;
  readonly #last = new Map<string, Promise<void>>();

  busOf(nodeOf: () => string): NodeBus {
    const reach = async <T>(work: () => T): Promise<T> => {
      await sleep(this.lag());
      if (this.cutOff.has(nodeOf())) throw new Error("cut off");
      const result = work();
      await sleep(this.lag());
      return result;
    };
    return {
      enter: (id) =>
        reach(() => {
          this.list.set(id, "in");
          return [...this.list.keys()];
        }),
      renew: (id) => reach(() => this.list.get(id) === "in"),
      expel: (id) => reach(() => void (this.list.has(id) && this.list.set(id, "out"))),
      remove: (id) => reach(() => void this.list.delete(id)),
      broadcast: async (text) => {
        const from = nodeOf();
        if (this.cutOff.has(from)) throw new Error("cut off");
        let hearing = 0;
        for (const [node, coherence] of this.nodes) {
          if (this.cutOff.has(node)) continue;
          hearing++;
          this.#deliver(from, node, () => coherence.heard(text));
        }
        return hearing;
      },
      tell: async (to, text) => {
        const coherence = this.nodes.get(to);
        if (coherence) this.#deliver(nodeOf(), to, () => coherence.told(text));
      },
    };
  }

  #deliver(from: string, to: string, run: () => void): void {
    this.messages++;
    const way = `${from}>${to}`;
    const before = this.#last.get(way) ?? Promise.resolve();
    const isLost = from !== to && this.lose();
    this.#last.set(
      way,
      before.then(async () => {
        await sleep(this.lag());
        if (!isLost && !this.cutOff.has(from) && !this.cutOff.has(to)) run();
      }),
    );
  }
}

/** One store for all; a write that gets there after its time is refused, as the script in Redis does. */
class Store {
  readonly values = new Map<string, number>();
  lag: () => number = () => 0;

  async read(key: string): Promise<number> {
    await sleep(this.lag());
    const value = this.values.get(key) ?? 0;
    await sleep(this.lag());
    return value;
  }

  async write(key: string, value: number, untilMs: number): Promise<boolean> {
    await sleep(this.lag());
    const isInTime = performance.now() <= untilMs;
    if (isInTime) this.values.set(key, value);
    await sleep(this.lag());
    return isInTime;
  }
}

/** A node with a hot tier in the manner of tiered-cache.ts. */
class Node {
  readonly coherence: Coherence;
  readonly hot = new Map<string, number>();
  readonly #holds = new Map<string, number>();
  readonly #generations = new Map<string, number>();
  readonly #store: Store;
  trusted = false;
  stale = 0;
  hotHits = 0;
  written = 0;

  constructor(network: Network, store: Store, leaseMs: number, safe: boolean) {
    this.#store = store;
    const bus = network.busOf(() => this.coherence.node);
    const hold = (key: string) => {
      if (!safe) return () => {};
      this.#step(key, 1);
      return () => this.#step(key, -1);
    };
    this.coherence = new Coherence({
      bus,
      leaseMs,
      hold,
      trusted: (trusted) => {
        this.trusted = trusted;
        this.hot.clear();
        for (const key of this.#generations.keys()) this.#step(key, 0);
      },
    });
    network.nodes.set(this.coherence.node, this.coherence);
  }

  #step(key: string, writers: number): void {
    this.hot.delete(key);
    this.#generations.set(key, (this.#generations.get(key) ?? 0) + 1);
    this.#holds.set(key, (this.#holds.get(key) ?? 0) + writers);
  }

  async read(key: string): Promise<void> {
    this.coherence.check();
    const hot = this.hot.get(key);
    if (hot !== undefined) {
      this.hotHits++;
      if (hot !== (this.#store.values.get(key) ?? 0)) this.stale++;
      return;
    }
    const generation = this.#generations.get(key) ?? 0;
    const value = await this.#store.read(key);
    if (!this.trusted || (this.#generations.get(key) ?? 0) !== generation) return;
    if ((this.#holds.get(key) ?? 0) === 0) this.hot.set(key, value);
  }

  async write(key: string, value: number, patienceMs: number): Promise<boolean> {
    const untilMs = performance.now() + patienceMs;
    let write: Write;
    try {
      write = this.coherence.begin(key);
    } catch {
      return false;
    }
    this.#step(key, 1);
    try {
      if (write.confirmed) {
        await Promise.race([
          write.confirmed,
          sleep(patienceMs).then(() => Promise.reject(new Error("late"))),
        ]);
      }
      const lastMs = Math.min(untilMs, this.coherence.leaseUntilMs);
      if (performance.now() >= lastMs) return false;
      const stored = await this.#store.write(key, value, lastMs);
      if (stored) this.written++;
      return stored;
    } catch {
      return false;
    } finally {
      this.#step(key, -1);
      this.coherence.end(write);
    }
  }
}

const KEYS = ["a", "b", "c"];

async function play(seed: number, forMs: number, leaseMs: number, troubles: boolean, safe = true) {
  const dice = random(seed);
  const network = new Network();
  const store = new Store();
  network.lag = () => dice(3);
  store.lag = () => dice(4);
  const nodes = [0, 1, 2].map(() => new Node(network, store, leaseMs, safe));
  await Promise.all(nodes.map((node) => node.coherence.start()));
  let isOver = false;
  let value = 0;
  const clients = nodes.flatMap((node) =>
    [0, 1, 2, 3].map(async () => {
      while (!isOver) {
        const key = KEYS[dice(KEYS.length)]!;
        if (dice(6) === 0) await node.write(key, ++value, leaseMs);
        else await node.read(key);
        if (dice(3) === 0) await sleep(dice(2));
        else await new Promise((resolve) => setImmediate(resolve));
      }
    }),
  );
  const endMs = performance.now() + forMs;
  while (performance.now() < endMs) {
    await sleep(leaseMs / 4 + dice(leaseMs));
    if (!troubles) continue;
    const victim = nodes[dice(nodes.length)]!.coherence;
    const trouble = dice(4);
    if (trouble === 0) {
      network.cutOff.add(victim.node);
      await sleep(dice(2 * leaseMs));
      network.cutOff.delete(victim.node);
      victim.lost(); // its connection came back
    } else if (trouble === 1) {
      network.lose = () => dice(10) === 0;
      await sleep(dice(leaseMs));
      network.lose = () => false;
    } else if (trouble === 2) {
      // The whole process stands still: every clock goes on.
      const until = performance.now() + dice(leaseMs);
      while (performance.now() < until);
    } else victim.lost();
  }
  isOver = true;
  await Promise.all(clients);
  await Promise.all(nodes.map((node) => node.coherence.stop()));
  const sum = (of: (node: Node) => number) => nodes.reduce((total, node) => total + of(node), 0);
  return { stale: sum((n) => n.stale), hits: sum((n) => n.hotHits), written: sum((n) => n.written) };
}

describe("coherence between nodes", () => {
  it("serves no old value while messages and calls take their time", async () => {
    const { stale, hits, written } = await play(1, 1_500, 400, false);
    expect(stale).toBe(0);
    expect(hits).toBeGreaterThan(10);
    expect(written).toBeGreaterThan(3);
  });

  it("serves none while nodes are cut off, messages are lost and processes stand still", async () => {
    const { stale, hits, written } = await play(7, 4_000, 200, true);
    expect(stale).toBe(0);
    expect(hits).toBeGreaterThan(10);
    expect(written).toBeGreaterThan(3);
  });

  it("is what keeps old values out: without holds they are served", async () => {
    const { stale } = await play(1, 1_500, 400, false, false);
    expect(stale).toBeGreaterThan(0);
  });
});

describe("a node", () => {
  const make = (leaseMs = 300) => {
    const network = new Network();
    const store = new Store();
    return { network, store, node: () => new Node(network, store, leaseMs, true) };
  };

  it("alone waits for nobody and sends nothing to write", async () => {
    const { network, node } = make();
    const alone = node();
    await alone.coherence.start();
    const before = network.messages;
    const write = alone.coherence.begin("k");
    expect(write.confirmed).toBeNull();
    alone.coherence.end(write);
    await sleep(10);
    expect(network.messages).toBe(before);
    await alone.coherence.stop();
  });

  it("that is lost keeps others from writing for a lease, and no longer", async () => {
    const { network, node } = make();
    const [a, b] = [node(), node()];
    await Promise.all([a.coherence.start(), b.coherence.start()]);
    network.cutOff.add(b.coherence.node);
    expect(await a.write("k", 1, 60)).toBe(false);
    await expect.poll(() => a.write("k", 2, 300), { timeout: 5_000 }).toBe(true);
    expect(a.coherence.peers).toBe(0);
    b.coherence.check();
    expect(b.trusted).toBe(false);
    await a.coherence.stop();
    await b.coherence.stop();
  });

  it("that leaves is waited for by nobody", async () => {
    const { node } = make(60_000);
    const [a, b] = [node(), node()];
    await Promise.all([a.coherence.start(), b.coherence.start()]);
    expect(a.coherence.peers).toBe(1);
    await b.coherence.stop();
    await expect.poll(() => a.coherence.peers).toBe(0);
    expect(await a.write("k", 1, 1_000)).toBe(true);
    await a.coherence.stop();
  });

  it("that joins is let in after the writes that did not wait for it", async () => {
    const { node } = make(60_000);
    const [a, b] = [node(), node()];
    await a.coherence.start();
    const write = a.coherence.begin("k");
    const joined = b.coherence.start();
    await sleep(30);
    expect(b.trusted).toBe(false);
    expect(a.coherence.begin("k").confirmed).not.toBeNull();
    a.coherence.end(write);
    await joined;
    expect(b.trusted).toBe(true);
    await a.coherence.stop();
    await b.coherence.stop();
  });

  it("may not write before it has joined, nor after it has left", async () => {
    const { node } = make();
    const a = node();
    expect(() => a.coherence.begin("k")).toThrow(/not joined/);
    await a.coherence.start();
    await a.coherence.stop();
    expect(() => a.coherence.begin("k")).toThrow(/not joined/);
  });

  it("takes messages that are not its own kind's for nothing", async () => {
    const { node } = make();
    const a = node();
    await a.coherence.start();
    for (const text of ["", "x", "null", "[]", "{}", '{"f":1}', '{"f":"z","n":1}']) {
      a.coherence.heard(text);
      a.coherence.told(text);
    }
    expect(await a.write("k", 1, 100)).toBe(true);
    await a.coherence.stop();
  });
});
