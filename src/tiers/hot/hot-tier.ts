/**
 * The hot tier's control plane: userspace's hand in the map that programs serve from. Coherence rests on
 * two words of each slot. `generation` changes with every write of a key in the slot; `writers` counts
 * writes under way. A reader notes the generation before it asks the cold tier, and its fill is dropped
 * unless the generation is the same and no write is under way: however late the cold answer comes, an old
 * value never enters after a write was acknowledged.
 *
 * Where programs run to their end on this thread alone, userspace needs no lock word here; a program that also
 * fills (tc egress) takes it because real kernels run it in parallel. Several workers over one map take each
 * entry's lock, userspace and programs alike.
 */
import type { LinearMemory } from "../../bpf/memory.ts";
import type { Item, Key } from "../cold/store.ts";
import { fnv1a, HOT_ENTRY, HOT_KEY_MAX, HOT_VALUE_MAX } from "./layout.ts";
import type { Placement } from "./placement.ts";
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
  readonly #placement: Placement;
  readonly #clockNs: () => bigint;
  readonly #checksGeneration: boolean;
  /** null: no other worker. */
  readonly #shared: SharedEntries | null;
  /** Of each slot, where there is no other worker: the truth that `writers` tells programs, and they may overwrite. */
  readonly #underWay: Uint32Array;
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
   * @param shared where other workers use the map too: direct-mapped only, since a slot's lock is its entry's
   */
  constructor(
    placement: Placement,
    memory: LinearMemory,
    clockNs: () => bigint,
    fillRace: FillRace = "safe",
    shared: SharedEntries | null = null,
  ) {
    this.#shared = shared;
    this.entries = placement.entries;
    this.memoryBytes = placement.memoryBytes;
    this.#placement = placement;
    this.#memory = memory;
    this.#clockNs = clockNs;
    this.#checksGeneration = fillRace === "safe";
    this.#underWay = new Uint32Array(shared ? 0 : placement.slots);
  }

  /** Address of the words that guard a hash's keys. */
  slotOf(hash: number): number {
    return this.#placement.slotOf(hash);
  }

  /** The key last filled under this hash, live or not; empty where there is none. */
  keyOf(hash: number): Key {
    const entry = this.#placement.find(hash);
    if (entry === 0) return "";
    const { view, bytes } = this.#memory;
    const keyBytes = view.getUint8(entry + HOT_ENTRY.keyLen);
    return String.fromCharCode(...bytes.subarray(entry + HOT_ENTRY.key, entry + HOT_ENTRY.key + keyBytes));
  }

  generation(slot: number): number {
    return this.#memory.view.getUint32(slot + HOT_ENTRY.generation, true);
  }

  /** Whoever wrote the key, it is served no more until it is filled anew, and fills under way are dropped. */
  invalidate(key: Key): void {
    this.#step(fnv1a(key), 0);
    this.invalidations++;
  }

  /** Fills that noted the slot's generation before are too late; the entry stays. */
  dropFillsUnderWay(slot: number): void {
    this.#shared?.lock(slot);
    this.#nextGeneration(slot);
    this.#shared?.unlock(slot);
  }

  /** The key is about to be written: it is served no more, and its slot takes no fill until endWrite. */
  beginWrite(key: Key): number {
    const slot = this.#step(fnv1a(key), 1);
    this.invalidations++;
    return slot;
  }

  /** Fills that read while the write was under way are too late; none came through, so there is nothing to drop. */
  endWrite(slot: number): void {
    this.#shared?.lock(slot);
    this.#countWriters(slot, -1);
    this.#nextGeneration(slot);
    this.#shared?.unlock(slot);
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

  /**
   * Nothing cached is served any more, and fills under way are dropped. A program of someone's own may have
   * overwritten `writers`, which would keep the slot empty for good: it becomes the writes under way again.
   */
  clear(): void {
    for (let index = 0; index < this.#placement.slots; index++) {
      const slot = this.#placement.slotAt(index);
      this.#shared?.lock(slot);
      this.#countWriters(slot, 0);
      this.#nextGeneration(slot);
      this.#placement.dropSlot(slot);
      this.#shared?.unlock(slot);
    }
    this.invalidations += this.entries;
  }

  /**
   * A worker has gone, and its thread runs no more: what it was filling serves nothing, the writes it had under way
   * are no longer waited for, its locks are free. No successor may take its place before this is done.
   * @returns entries that were touched
   */
  async buryWorker(cpu: number): Promise<number> {
    const placement = this.#placement;
    const mend = (slot: number, writers: number): void => {
      this.#memory.view.setUint32(slot + HOT_ENTRY.writers, writers, true);
      this.#nextGeneration(slot);
      placement.dropSlot(slot);
    };
    const indexOf = (address: number): number => placement.slotIndex(address);
    return this.#shared?.bury(cpu, indexOf, (index) => placement.slotAt(index), mend) ?? 0;
  }

  /** Live entries, by a walk over the map: for scrapes, not for the serving path. */
  countValid(): number {
    return this.#placement.countLive();
  }

  /** @returns the slot */
  #step(hash: number, writers: number): number {
    const slot = this.#placement.slotOf(hash);
    this.#shared?.lock(slot);
    if (writers !== 0) this.#countWriters(slot, writers);
    this.#nextGeneration(slot);
    this.#placement.drop(slot, hash);
    this.#shared?.unlock(slot);
    return slot;
  }

  #countWriters(slot: number, change: number): void {
    const index = this.#placement.slotIndex(slot);
    let total: number;
    if (this.#shared !== null) total = this.#shared.count(index, change);
    else {
      total = this.#underWay[index]! + change;
      this.#underWay[index] = total;
    }
    this.#memory.view.setUint32(slot + HOT_ENTRY.writers, total, true);
  }

  #nextGeneration(slot: number): void {
    const { view } = this.#memory;
    const at = slot + HOT_ENTRY.generation;
    view.setUint32(at, (view.getUint32(at, true) + 1) >>> 0, true);
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
    const entry = this.#placement.claim(slot, hash);
    if (this.#placement.evicts) this.collisions++;
    view.setUint32(entry + HOT_ENTRY.hash, hash, true);
    view.setBigUint64(entry + HOT_ENTRY.expiresNs, expiresNs, true);
    view.setBigUint64(entry + HOT_ENTRY.cas, item.cas, true);
    view.setUint32(entry + HOT_ENTRY.flags, item.flags, true);
    view.setUint16(entry + HOT_ENTRY.valueLen, item.value.length, true);
    view.setUint8(entry + HOT_ENTRY.keyLen, key.length);
    for (let i = 0; i < key.length; i++) bytes[entry + HOT_ENTRY.key + i] = key.charCodeAt(i);
    bytes.set(item.value, entry + HOT_ENTRY.value);
    this.#placement.commit(slot, entry, hash);
    return "stored";
  }
}
