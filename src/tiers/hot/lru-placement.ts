/**
 * Entries in an LRU_HASH map by hash (hot_lru.h). An evicted entry keeps no word, so slots are an array of their
 * own, and an entry is live while it carries its slot's generation: a write that moved the slot on has ended it.
 */
import type { HashMap } from "../../bpf/maps/hash.ts";
import type { ArrayLike } from "../../bpf/maps/map.ts";
import type { LinearMemory } from "../../bpf/memory.ts";
import { HOT_ENTRY, HOT_ENTRY_BYTES, STATE_VALID } from "./layout.ts";
import type { Placement } from "./placement.ts";

const ANY = 0n;

export class LruPlacement implements Placement {
  readonly entries: number;
  readonly memoryBytes: number;
  evicts = false;
  readonly #map: HashMap;
  readonly #guards: ArrayLike;
  readonly #memory: LinearMemory;
  /** A key, and an entry on its way into the map. */
  readonly #key: number;
  readonly #scratch: number;
  /** New with each fill, as hot_lru.h wants it. */
  #stamp = 0;

  constructor(map: HashMap, guards: ArrayLike, memory: LinearMemory) {
    this.entries = map.def.maxEntries;
    this.memoryBytes = map.memoryBytes + guards.memoryBytes;
    this.#map = map;
    this.#guards = guards;
    this.#memory = memory;
    this.#key = memory.alloc(8 + HOT_ENTRY_BYTES, 8, "the hot tier's scratch entry");
    this.#scratch = this.#key + 8;
  }

  get slots(): number {
    return this.#guards.def.maxEntries;
  }

  slotOf(hash: number): number {
    return this.slotAt(hash % this.slots);
  }

  slotAt(index: number): number {
    return this.#guards.baseAddress + index * this.#guards.strideBytes;
  }

  slotIndex(address: number): number {
    const index = Math.floor((address - this.#guards.baseAddress) / this.#guards.strideBytes);
    return index >= 0 && index < this.slots ? index : -1;
  }

  claim(_slot: number, hash: number): number {
    this.evicts = this.#map.size >= this.entries && this.find(hash) === 0;
    return this.#scratch;
  }

  commit(slot: number, entry: number, hash: number): void {
    const { view } = this.#memory;
    view.setUint32(entry + HOT_ENTRY.lock, ++this.#stamp, true);
    view.setUint32(entry + HOT_ENTRY.generation, view.getUint32(slot + HOT_ENTRY.generation, true), true);
    view.setUint32(entry + HOT_ENTRY.writers, 0, true);
    view.setUint8(entry + HOT_ENTRY.state, STATE_VALID);
    view.setUint32(this.#key, hash, true);
    this.#map.update(this.#key, entry, ANY);
  }

  /** Dead since the slot's generation moved; this makes room. */
  drop(_slot: number, hash: number): void {
    this.#memory.view.setUint32(this.#key, hash, true);
    this.#map.delete(this.#key);
  }

  /** Its generation moved: that was all. */
  dropSlot(_slot: number): void {}

  find(hash: number): number {
    this.#memory.view.setUint32(this.#key, hash, true);
    return this.#map.peek(this.#key);
  }

  countLive(): number {
    const { view } = this.#memory;
    let live = 0;
    for (const entry of this.#map.liveValues()) {
      const slot = this.slotOf(view.getUint32(entry + HOT_ENTRY.hash, true));
      const generation = view.getUint32(slot + HOT_ENTRY.generation, true);
      if (generation === view.getUint32(entry + HOT_ENTRY.generation, true)) live++;
    }
    return live;
  }
}
