/**
 * Where entries lie under one policy: userspace's half of what hot_ways.h and hot_lru.h do in programs. A slot
 * is the address of the words that guard the keys of a hash, generation and writers, which lie where struct
 * hot_entry has them in every policy. Who calls has checked these; a placement only finds room and drops.
 */
export interface Placement {
  readonly entries: number;
  /** What the maps take. */
  readonly memoryBytes: number;
  /** Whether the last claim pushes another live key out. */
  readonly evicts: boolean;
  readonly slots: number;
  slotOf(hash: number): number;
  slotAt(index: number): number;
  /** Of the slot at, or around, an address; -1 when it lies in none. */
  slotIndex(address: number): number;
  /** Address of an entry to write all of; it is not served before commit. */
  claim(slot: number, hash: number): number;
  commit(slot: number, entry: number, hash: number): void;
  /** What is there of this hash is served no more. The slot's generation is the caller's affair. */
  drop(slot: number, hash: number): void;
  /** The same of every key in the slot. */
  dropSlot(slot: number): void;
  /** Address of the entry a hash was last filled to, live or not; 0 when there is none. */
  find(hash: number): number;
  countLive(): number;
}
