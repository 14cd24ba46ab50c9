/**
 * The hot tier as the programs keep it, without its bytes: which key sits where. Keys are 32-bit ids
 * plus their FNV-1a hash, computed by the caller (keys.ts) over the very bytes a program would hash.
 * - direct: slot = hash % slots, always replaced; a write drops whatever the slot holds (BMC)
 * - set: hash picks a set of `ways`; second chance inside it: a hit sets the entry's bit, the hand clears
 *   bits until it finds one unset
 * - lru: exact least recently used over all entries
 * An entry is keyed by id, so two keys with the same hash are told apart as the programs do by bytes.
 */
export type Policy = "direct" | "set" | "lru";

export interface HotTier {
  readonly entries: number;
  /** Is the key there? Touches its recency. */
  lookup(id: number, hash: number): boolean;
  fill(id: number, hash: number): void;
  /** A write to the key is seen. @returns whether an entry was dropped */
  invalidate(id: number, hash: number): boolean;
}

const EMPTY = -1;

export class DirectMapped implements HotTier {
  readonly entries: number;
  readonly #ids: Int32Array;
  constructor(entries: number) {
    this.entries = entries;
    this.#ids = new Int32Array(entries).fill(EMPTY);
  }
  lookup(id: number, hash: number): boolean {
    return this.#ids[hash % this.entries] === id;
  }
  fill(id: number, hash: number): void {
    this.#ids[hash % this.entries] = id;
  }
  /** As BMC and our programs do it: whatever sits in the written key's slot is dropped, unlooked-at. */
  invalidate(_id: number, hash: number): boolean {
    const slot = hash % this.entries;
    const was = this.#ids[slot] !== EMPTY;
    this.#ids[slot] = EMPTY;
    return was;
  }
}

export class SetAssociative implements HotTier {
  readonly entries: number;
  readonly ways: number;
  readonly #sets: number;
  readonly #ids: Int32Array;
  readonly #used: Uint8Array;
  readonly #hand: Uint8Array;
  constructor(entries: number, ways: number) {
    this.ways = ways;
    this.#sets = Math.max(1, Math.floor(entries / ways));
    this.entries = this.#sets * ways;
    this.#ids = new Int32Array(this.entries).fill(EMPTY);
    this.#used = new Uint8Array(this.entries);
    this.#hand = new Uint8Array(this.#sets);
  }
  #find(id: number, hash: number): number {
    const base = (hash % this.#sets) * this.ways;
    for (let i = base; i < base + this.ways; i++) if (this.#ids[i] === id) return i;
    return -1;
  }
  lookup(id: number, hash: number): boolean {
    const at = this.#find(id, hash);
    if (at < 0) return false;
    this.#used[at] = 1;
    return true;
  }
  fill(id: number, hash: number): void {
    if (this.#find(id, hash) >= 0) return;
    const set = hash % this.#sets;
    const base = set * this.ways;
    let hand = this.#hand[set]!;
    for (let i = 0; i < this.ways; i++) {
      if (this.#ids[base + i] === EMPTY) {
        this.#put(base + i, id);
        return;
      }
    }
    while (this.#used[base + hand] === 1) {
      this.#used[base + hand] = 0;
      hand = hand + 1 === this.ways ? 0 : hand + 1;
    }
    this.#put(base + hand, id);
    this.#hand[set] = hand + 1 === this.ways ? 0 : hand + 1;
  }
  #put(at: number, id: number): void {
    this.#ids[at] = id;
    this.#used[at] = 0;
  }
  invalidate(id: number, hash: number): boolean {
    const at = this.#find(id, hash);
    if (at < 0) return false;
    this.#ids[at] = EMPTY;
    this.#used[at] = 0;
    return true;
  }
}

/** Exact LRU on typed arrays: open addressing for the index, a doubly linked list for the order. */
export class Lru implements HotTier {
  readonly entries: number;
  readonly #mask: number;
  readonly #table: Int32Array;
  readonly #ids: Int32Array;
  readonly #hashes: Int32Array;
  readonly #newer: Int32Array;
  readonly #older: Int32Array;
  #newest = -1;
  #oldest = -1;
  #free: number[] = [];
  #used = 0;
  constructor(entries: number) {
    this.entries = entries;
    let size = 16;
    while (size < entries * 2) size *= 2;
    this.#mask = size - 1;
    this.#table = new Int32Array(size).fill(EMPTY);
    this.#ids = new Int32Array(entries);
    this.#hashes = new Int32Array(entries);
    this.#newer = new Int32Array(entries);
    this.#older = new Int32Array(entries);
  }
  #home(hash: number): number {
    return Math.imul(hash, 0x9e3779b1) & this.#mask;
  }
  #position(id: number, hash: number): number {
    let at = this.#home(hash);
    for (;;) {
      const node = this.#table[at]!;
      if (node === EMPTY) return -1;
      if (this.#ids[node] === id) return at;
      at = (at + 1) & this.#mask;
    }
  }
  #unlink(node: number): void {
    const newer = this.#newer[node]!;
    const older = this.#older[node]!;
    if (newer < 0) this.#newest = older;
    else this.#older[newer] = older;
    if (older < 0) this.#oldest = newer;
    else this.#newer[older] = newer;
  }
  #pushNewest(node: number): void {
    this.#newer[node] = -1;
    this.#older[node] = this.#newest;
    if (this.#newest >= 0) this.#newer[this.#newest] = node;
    else this.#oldest = node;
    this.#newest = node;
  }
  /** Deletion that keeps probe chains whole: later members move back. */
  #removeAt(hole: number): void {
    let at = hole;
    for (;;) {
      at = (at + 1) & this.#mask;
      const node = this.#table[at]!;
      if (node === EMPTY) break;
      const home = this.#home(this.#hashes[node]!);
      if (((at - home) & this.#mask) >= ((at - hole) & this.#mask)) {
        this.#table[hole] = node;
        hole = at;
      }
    }
    this.#table[hole] = EMPTY;
  }
  lookup(id: number, hash: number): boolean {
    const at = this.#position(id, hash);
    if (at < 0) return false;
    const node = this.#table[at]!;
    if (node !== this.#newest) {
      this.#unlink(node);
      this.#pushNewest(node);
    }
    return true;
  }
  fill(id: number, hash: number): void {
    if (this.lookup(id, hash)) return;
    let node = this.#free.pop() ?? -1;
    if (node < 0 && this.#used < this.entries) node = this.#used++;
    if (node < 0) {
      node = this.#oldest;
      this.#unlink(node);
      this.#removeAt(this.#position(this.#ids[node]!, this.#hashes[node]!));
    }
    this.#ids[node] = id;
    this.#hashes[node] = hash;
    this.#pushNewest(node);
    let at = this.#home(hash);
    while (this.#table[at] !== EMPTY) at = (at + 1) & this.#mask;
    this.#table[at] = node;
  }
  invalidate(id: number, hash: number): boolean {
    const at = this.#position(id, hash);
    if (at < 0) return false;
    const node = this.#table[at]!;
    this.#removeAt(at);
    this.#unlink(node);
    this.#free.push(node);
    return true;
  }
}

export function createHotTier(policy: Policy, entries: number, ways = 8): HotTier {
  if (policy === "direct") return new DirectMapped(entries);
  if (policy === "set") return new SetAssociative(entries, ways);
  return new Lru(entries);
}
