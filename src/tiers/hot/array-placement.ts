/**
 * Entries in an array, in sets of `ways`: with one way BMC's direct-mapped cache, where the newest key always
 * replaces and a write drops whatever the slot holds; with more, a second-chance bit and a hand choose the victim
 * (hot_ways.h). Way 0 is the slot; way 1 keeps the hand where way 0 counts writers.
 */
import type { ArrayLike } from "../../bpf/maps/map.ts";
import type { LinearMemory } from "../../bpf/memory.ts";
import { HOT_ENTRY, STATE_REFERENCED, STATE_VALID } from "./layout.ts";
import type { Placement } from "./placement.ts";

export class ArrayPlacement implements Placement {
  readonly entries: number;
  readonly memoryBytes: number;
  readonly slots: number;
  evicts = false;
  readonly #memory: LinearMemory;
  readonly #base: number;
  readonly #stride: number;
  readonly #ways: number;
  readonly #setBytes: number;

  constructor(map: ArrayLike, memory: LinearMemory, ways: number) {
    this.entries = map.def.maxEntries;
    this.memoryBytes = map.memoryBytes;
    this.#memory = memory;
    this.#base = map.baseAddress;
    this.#stride = map.strideBytes;
    this.#ways = ways;
    this.#setBytes = ways * map.strideBytes;
    this.slots = Math.floor(this.entries / ways);
  }

  slotOf(hash: number): number {
    return this.#base + (hash % this.slots) * this.#setBytes;
  }

  slotAt(index: number): number {
    return this.#base + index * this.#setBytes;
  }

  slotIndex(address: number): number {
    const index = Math.floor((address - this.#base) / this.#setBytes);
    return index >= 0 && index < this.slots ? index : -1;
  }

  claim(slot: number, hash: number): number {
    const entry = this.#ways === 1 ? slot : this.#victim(slot, hash);
    this.evicts = this.#isValid(entry) && this.#hash(entry) !== hash;
    return entry;
  }

  commit(_slot: number, entry: number, _hash: number): void {
    this.#memory.view.setUint8(entry + HOT_ENTRY.state, STATE_VALID);
  }

  drop(slot: number, hash: number): void {
    if (this.#ways === 1) {
      this.#kill(slot);
      return;
    }
    const end = slot + this.#setBytes;
    for (let entry = slot; entry < end; entry += this.#stride) {
      if (this.#hash(entry) === hash) this.#kill(entry);
    }
  }

  dropSlot(slot: number): void {
    for (let way = 0; way < this.#ways; way++) this.#kill(slot + way * this.#stride);
  }

  find(hash: number): number {
    const slot = this.slotOf(hash);
    const end = slot + this.#setBytes;
    for (let entry = slot; entry < end; entry += this.#stride) if (this.#hash(entry) === hash) return entry;
    return 0;
  }

  countLive(): number {
    const { bytes } = this.#memory;
    let live = 0;
    for (let i = 0, at = this.#base + HOT_ENTRY.state; i < this.entries; i++, at += this.#stride) {
      live += bytes[at]! & STATE_VALID;
    }
    return live;
  }

  /** The hash's own entry, a free one, or the first the hand finds not referenced since it last came by. */
  #victim(slot: number, hash: number): number {
    const end = slot + this.#setBytes;
    let free = 0;
    for (let entry = end - this.#stride; entry >= slot; entry -= this.#stride) {
      if (!this.#isValid(entry)) free = entry;
      else if (this.#hash(entry) === hash) return entry;
    }
    if (free !== 0) return free;
    const { view, bytes } = this.#memory;
    const hand = slot + this.#stride + HOT_ENTRY.writers;
    let way = view.getUint32(hand, true) % this.#ways;
    for (;;) {
      const state = slot + way * this.#stride + HOT_ENTRY.state;
      const victim = slot + way * this.#stride;
      way = (way + 1) % this.#ways;
      if ((bytes[state]! & STATE_REFERENCED) === 0) {
        view.setUint32(hand, way, true);
        return victim;
      }
      bytes[state]! &= ~STATE_REFERENCED;
    }
  }

  #isValid(entry: number): boolean {
    return (this.#memory.bytes[entry + HOT_ENTRY.state]! & STATE_VALID) !== 0;
  }

  #hash(entry: number): number {
    return this.#memory.view.getUint32(entry + HOT_ENTRY.hash, true);
  }

  #kill(entry: number): void {
    this.#memory.bytes[entry + HOT_ENTRY.state]! &= ~STATE_VALID;
  }
}
