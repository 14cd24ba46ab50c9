/**
 * The hot tier's control plane: userspace's hand in the map that programs serve from. Coherence rests on
 * two words of each entry. `generation` changes with every write of a key in the slot; `writers` counts
 * writes under way. A reader notes the generation before it asks the cold tier, and its fill is dropped
 * unless the generation is the same and no write is under way: however late the cold answer comes, an old
 * value never enters after a write was acknowledged.
 *
 * Where programs run to their end on this thread alone, userspace needs no lock word here; a program that also
 * fills (tc egress) takes it because real kernels run it in parallel. Several workers over one map take each
 * entry's lock, userspace and programs alike.
 */
import type { ArrayLike } from "../../bpf/maps/map.ts";
import type { LinearMemory } from "../../bpf/memory.ts";
import type { Item, Key } from "../cold/store.ts";
import { fnv1a, HOT_ENTRY, HOT_ENTRY_BYTES, HOT_KEY_MAX, HOT_VALUE_MAX, STATE_VALID } from "./layout.ts";
import type { SharedEntries } from "./shared-entries.ts";

/** Why a fill did not happen. */
export const REJECTIONS = [
  "not-admitted",
  "too-big",
  "key-too-long",
  "raced",
  "expired",
  "untrusted",
] as const;
export type Rejection = (typeof REJECTIONS)[number];
/** `not-admitted`, `too-big` and `key-too-long` are also why the next request crosses. */
export type FillResult = "stored" | Rejection;

export const FILL_RACE = ["safe", "unsafe"] as const;
export type FillRace = (typeof FILL_RACE)[number];

export class HotTier {
  readonly entries: number;
  /** Entries times value size: what the map takes. */
  readonly memoryBytes: number;
  readonly #memory: LinearMemory;
  readonly #base: number;
  readonly #stride: number;
  readonly #clockNs: () => bigint;
  readonly #checksGeneration: boolean;
  /** null: no other worker. */
  readonly #shared: SharedEntries | null;
  fills = 0;
  invalidations = 0;
  /** Fills that replaced another live key. */
  collisions = 0;
  readonly rejected: Record<Rejection, number> = {
    "not-admitted": 0,
    "too-big": 0,
    "key-too-long": 0,
    raced: 0,
    expired: 0,
    untrusted: 0,
  };

  /**
   * @param clockNs the kernel's own clock: what bpf_ktime_get_ns tells programs
   * @param shared where other workers use the map too
   */
  constructor(
    map: ArrayLike,
    memory: LinearMemory,
    clockNs: () => bigint,
    fillRace: FillRace = "safe",
    shared: SharedEntries | null = null,
  ) {
    this.#shared = shared;
    if (map.def.valueBytes !== HOT_ENTRY_BYTES) {
      throw new RangeError(
        `map ${map.def.name} has values of ${map.def.valueBytes} bytes; the hot tier's entries have ${HOT_ENTRY_BYTES}`,
      );
    }
    this.entries = map.def.maxEntries;
    this.memoryBytes = map.memoryBytes;
    this.#memory = memory;
    this.#base = map.baseAddress;
    this.#stride = map.strideBytes;
    this.#clockNs = clockNs;
    this.#checksGeneration = fillRace === "safe";
  }

  /** Address of the entry a hash falls into. */
  slotOf(hash: number): number {
    return this.#base + (hash % this.entries) * this.#stride;
  }

  /** The key in the index-th entry, live or not; empty past the end. */
  keyAt(index: number): Key {
    if (index >= this.entries) return "";
    const { view, bytes } = this.#memory;
    const at = this.#base + index * this.#stride;
    const keyBytes = view.getUint8(at + HOT_ENTRY.keyLen);
    return String.fromCharCode(...bytes.subarray(at + HOT_ENTRY.key, at + HOT_ENTRY.key + keyBytes));
  }

  generation(slot: number): number {
    return this.#memory.view.getUint32(slot + HOT_ENTRY.generation, true);
  }

  /** Whoever wrote the key, its slot serves nothing until it is filled anew, and fills under way are dropped. */
  invalidate(key: Key): void {
    this.#step(this.slotOf(fnv1a(key)), 0);
    this.invalidations++;
  }

  /** Fills that noted the slot's generation before are too late; the entry stays. */
  dropFillsUnderWay(slot: number): void {
    this.#shared?.lock(slot);
    this.#nextGeneration(slot);
    this.#shared?.unlock(slot);
  }

  /** The key is about to be written: its slot serves nothing and takes no fill until endWrite. */
  beginWrite(key: Key): number {
    const slot = this.slotOf(fnv1a(key));
    this.#step(slot, 1);
    this.invalidations++;
    return slot;
  }

  endWrite(slot: number): void {
    this.#step(slot, -1);
  }

  /**
   * Stores the item unless it lost a race or cannot be hot.
   * @param generation as read before the cold tier was asked
   * @param nowMs wall clock, the one `item.expiresAtMs` is of
   */
  fill(slot: number, hash: number, generation: number, key: Key, item: Item, nowMs: number): FillResult {
    this.#shared?.lock(slot);
    const result = this.#fill(slot, hash, generation, key, item, nowMs);
    this.#shared?.unlock(slot);
    if (result === "stored") this.fills++;
    else this.rejected[result]++;
    return result;
  }

  /** @returns why an item can never be hot, or null. */
  static misfit(key: Key, item: Item): Rejection | null {
    if (item.value.length > HOT_VALUE_MAX) return "too-big";
    return key.length > HOT_KEY_MAX ? "key-too-long" : null;
  }

  /** Nothing cached is served any more, and fills under way are dropped. */
  clear(): void {
    for (let i = 0; i < this.entries; i++) {
      const slot = this.#base + i * this.#stride;
      this.#step(slot, 0);
    }
    this.invalidations += this.entries;
  }

  /**
   * A worker has gone, and its thread runs no more: what it was filling serves nothing, the writes it had under way
   * are no longer waited for, its locks are free.
   * @returns entries that were touched
   */
  buryWorker(cpu: number): number {
    const indexOf = (address: number): number => {
      const index = this.#indexOf(address);
      return index >= 0 && index < this.entries ? index : -1;
    };
    const mend = (slot: number, writers: number): void => {
      this.#memory.view.setUint32(slot + HOT_ENTRY.writers, writers, true);
      this.#kill(slot);
    };
    const slotAt = (index: number): number => this.#base + index * this.#stride;
    return this.#shared?.bury(cpu, indexOf, slotAt, mend) ?? 0;
  }

  /** Live entries, by a walk over the map: for scrapes, not for the serving path. */
  countValid(): number {
    const bytes = this.#memory.bytes;
    let live = 0;
    for (let i = 0, at = this.#base + HOT_ENTRY.state; i < this.entries; i++, at += this.#stride) {
      live += bytes[at]! & STATE_VALID;
    }
    return live;
  }

  #step(slot: number, writers: number): void {
    const shared = this.#shared;
    const { view } = this.#memory;
    const at = slot + HOT_ENTRY.writers;
    if (shared === null) {
      if (writers !== 0) view.setUint32(at, view.getUint32(at, true) + writers, true);
      this.#kill(slot);
      return;
    }
    shared.lock(slot);
    if (writers !== 0) view.setUint32(at, shared.count(this.#indexOf(slot), writers), true);
    this.#kill(slot);
    shared.unlock(slot);
  }

  #kill(slot: number): void {
    const { view } = this.#memory;
    this.#nextGeneration(slot);
    view.setUint8(slot + HOT_ENTRY.state, view.getUint8(slot + HOT_ENTRY.state) & ~STATE_VALID);
  }

  #nextGeneration(slot: number): void {
    const { view } = this.#memory;
    const at = slot + HOT_ENTRY.generation;
    view.setUint32(at, (view.getUint32(at, true) + 1) >>> 0, true);
  }

  #indexOf(slot: number): number {
    return Math.floor((slot - this.#base) / this.#stride);
  }

  #fill(slot: number, hash: number, generation: number, key: Key, item: Item, nowMs: number): FillResult {
    const misfit = HotTier.misfit(key, item);
    if (misfit !== null) return misfit;
    const { view, bytes } = this.#memory;
    if (
      this.#checksGeneration &&
      (view.getUint32(slot + HOT_ENTRY.generation, true) !== generation ||
        view.getUint32(slot + HOT_ENTRY.writers, true) !== 0)
    ) {
      return "raced";
    }
    let expiresNs = 0n;
    if (item.expiresAtMs !== 0) {
      const leftMs = item.expiresAtMs - nowMs;
      if (leftMs <= 0) return "expired";
      expiresNs = this.#clockNs() + BigInt(Math.floor(leftMs)) * 1_000_000n;
    }
    if ((view.getUint8(slot + HOT_ENTRY.state) & STATE_VALID) !== 0 && !this.#holds(slot, hash, key)) {
      this.collisions++;
    }
    view.setUint32(slot + HOT_ENTRY.hash, hash, true);
    view.setBigUint64(slot + HOT_ENTRY.expiresNs, expiresNs, true);
    view.setBigUint64(slot + HOT_ENTRY.cas, item.cas, true);
    view.setUint32(slot + HOT_ENTRY.flags, item.flags, true);
    view.setUint16(slot + HOT_ENTRY.valueLen, item.value.length, true);
    view.setUint8(slot + HOT_ENTRY.keyLen, key.length);
    for (let i = 0; i < key.length; i++) bytes[slot + HOT_ENTRY.key + i] = key.charCodeAt(i);
    bytes.set(item.value, slot + HOT_ENTRY.value);
    view.setUint8(slot + HOT_ENTRY.state, view.getUint8(slot + HOT_ENTRY.state) | STATE_VALID);
    return "stored";
  }

  #holds(slot: number, hash: number, key: Key): boolean {
    const { view, bytes } = this.#memory;
    if (view.getUint32(slot + HOT_ENTRY.hash, true) !== hash) return false;
    if (view.getUint8(slot + HOT_ENTRY.keyLen) !== key.length) return false;
    for (let i = 0; i < key.length; i++) {
      if (bytes[slot + HOT_ENTRY.key + i] !== key.charCodeAt(i)) return false;
    }
    return true;
  }
}
