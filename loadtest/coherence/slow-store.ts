/** A cold tier in memory that answers late and out of turn: each call waits before and after it is done. */

import { Prng } from "../../src/sim/prng.ts";
import { MemoryStore } from "../../src/tiers/cold/memory.ts";
import type { Change, ColdStore, Item, Key, StoreStats } from "../../src/tiers/cold/store.ts";

export class SlowStore implements ColdStore {
  readonly name = "slow";
  readonly #inner = new MemoryStore({ maxBytes: 1 << 26, maxEntries: 1 << 16 });
  readonly #prng: Prng;
  readonly #maxTurns: number;

  /** @param maxTurns of the event loop that either wait may take */
  constructor(seed: number, maxTurns: number) {
    this.#prng = new Prng(seed);
    this.#maxTurns = maxTurns;
  }

  async get(key: Key): Promise<Item | null> {
    await this.#rest();
    const item = this.#inner.get(key); // read now, told later
    await this.#rest();
    return item;
  }

  async update<T>(key: Key, change: (old: Item | null) => Change<T>): Promise<T> {
    await this.#rest();
    const result = this.#inner.update(key, change);
    await this.#rest();
    return result;
  }

  async clear(): Promise<void> {
    await this.#rest();
    this.#inner.clear();
    await this.#rest();
  }

  stats(): StoreStats {
    return this.#inner.stats();
  }

  close(): void {
    this.#inner.close();
  }

  async #rest(): Promise<void> {
    for (let turns = this.#prng.below(this.#maxTurns + 1); turns > 0; turns--) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
