/**
 * Chained hash table of elements that lie in linear memory: [key, padded to 8][value area]. Heads, links
 * and hashes are typed arrays that no program can reach; links hold element + 1, so that fresh zeroed pages
 * mean "none" and a large empty table costs no memory. Freed elements of a run in progress
 * wait for its end before they are used again, because the program may still hold a pointer; only when a
 * single run frees more than SPARE of them is the oldest reused early (in Linux any is reused at once).
 *
 * In a memory that several kernels share, the typed arrays lie there too, and whoever calls in holds the table's
 * lock (enter, leave). Freed elements are then reused last: another CPU's run may hold a pointer, as in Linux.
 */
import { type Reclaimer, type Runtime, STATE } from "../runtime.ts";
import { roundUp8 } from "./define.ts";
import { hashKey, keysEqual } from "./key-hash.ts";
import { LruList } from "./lru-list.ts";
import { copyBytes } from "./value.ts";

/** What a link holds where nothing follows. */
const END = 0;
/** Elements beyond max_entries, so that replacing and evicting find a fresh one. */
const SPARE = 64;

/** Words of the header: the first is the lock, `fresh` counts the elements ever used. */
const HEAD = {
  lock: 0,
  count: 1,
  seed: 2,
  free: 3,
  fresh: 4,
  oldestRetired: 5,
  newestRetired: 6,
  newestUsed: 7,
  oldestUsed: 8,
} as const;
const HEAD_WORDS = 16;

export type TableShape = {
  readonly keyBytes: number;
  readonly valueSpanBytes: number;
  readonly maxEntries: number;
  /** With a list of elements by use? */
  readonly lru?: boolean;
  /** In a shared memory: this kernel's alone. */
  readonly own?: boolean;
};

export class ElementTable implements Reclaimer {
  readonly memoryBytes: number;
  readonly base: number;
  readonly strideBytes: number;
  readonly keySpanBytes: number;
  /** Elements in all, used or not. */
  readonly capacity: number;
  readonly lru: LruList | null;
  readonly #rt: Runtime;
  readonly #keyBytes: number;
  readonly #seed: number;
  readonly #mask: number;
  /** Address of the lock; 0 where nobody else comes in. */
  readonly #lock: number;
  readonly #head: Int32Array;
  readonly #heads: Int32Array;
  readonly #next: Int32Array;
  readonly #hashes: Int32Array;
  readonly #live: Uint8Array;
  /** Where userspace's key lies while it is looked for. */
  readonly #scratch: number;

  /** @throws OutOfMemory */
  constructor(rt: Runtime, what: string, shape: TableShape) {
    const { keyBytes, valueSpanBytes, maxEntries } = shape;
    this.#rt = rt;
    this.#keyBytes = keyBytes;
    this.keySpanBytes = roundUp8(keyBytes);
    this.strideBytes = this.keySpanBytes + valueSpanBytes;
    this.capacity = maxEntries + SPARE;
    // 2^26 heads at most: longer chains before half a gigabyte of them.
    const heads = 2 ** Math.min(26, Math.ceil(Math.log2(Math.max(2, maxEntries))));
    this.memoryBytes = this.capacity * this.strideBytes + this.keySpanBytes;
    this.#mask = heads - 1;

    const isShared = rt.memory.isShared && shape.own !== true;
    const links = shape.lru === true ? 4 : 2;
    const bytes = (HEAD_WORDS + heads + links * this.capacity) * 4 + this.capacity;
    let buffer: ArrayBufferLike;
    let at = 0;
    if (isShared) {
      this.base = rt.memory.allocShared(this.memoryBytes, 64, what);
      at = rt.memory.allocShared(bytes, 64, `links of ${what}`, (address) => {
        rt.memory.words[(address >> 2) + HEAD.seed] = rt.random() | 0;
      });
      this.#lock = at;
      buffer = rt.memory.bytes.buffer;
    } else {
      this.base = rt.memory.alloc(this.memoryBytes, 64, what);
      this.#lock = 0;
      buffer = new ArrayBuffer(bytes);
    }
    this.#scratch = this.base + this.capacity * this.strideBytes;
    const words = (count: number): Int32Array => {
      const array = new Int32Array(buffer, at, count);
      at += 4 * count;
      return array;
    };
    this.#head = words(HEAD_WORDS);
    this.#heads = words(heads);
    this.#next = words(this.capacity);
    this.#hashes = words(this.capacity);
    this.lru =
      shape.lru === true
        ? new LruList(
            words(this.capacity),
            words(this.capacity),
            this.#head,
            HEAD.newestUsed,
            HEAD.oldestUsed,
          )
        : null;
    this.#live = new Uint8Array(buffer, at, this.capacity);
    if (!isShared) this.#head[HEAD.seed] = rt.random() | 0;
    this.#seed = this.#head[HEAD.seed]!;
  }

  get count(): number {
    return this.#head[HEAD.count]!;
  }

  /** Before anything else is asked, and leave() after: other kernels wait meanwhile. */
  enter(): void {
    if (this.#lock !== 0) this.#rt.locks?.take(this.#lock, this.#rt.stateAddress + STATE.heldMapLock);
  }

  leave(): void {
    if (this.#lock !== 0) this.#rt.locks?.release(this.#lock, this.#rt.stateAddress + STATE.heldMapLock);
  }

  /** Is this address the lock of this table? */
  hasLock(address: number): boolean {
    return this.#lock !== 0 && this.#lock === address;
  }

  /** Whoever held the lock has died in the middle of a change: all links are made anew from the live elements. */
  repair(): void {
    this.#heads.fill(END);
    this.#head.fill(END, HEAD.free);
    this.#head[HEAD.count] = 0;
    this.#head[HEAD.fresh] = this.capacity;
    for (let element = this.capacity - 1; element >= 0; element--) {
      if (this.#live[element] !== 1) {
        this.#release(element);
        continue;
      }
      const head = this.#hashes[element]! & this.#mask;
      this.#next[element] = this.#heads[head]!;
      this.#heads[head] = element + 1;
      this.#head[HEAD.count]!++;
      this.lru?.add(element);
    }
  }

  keyAddress(element: number): number {
    return this.base + element * this.strideBytes;
  }

  valueAddress(element: number): number {
    return this.base + element * this.strideBytes + this.keySpanBytes;
  }

  isLive(element: number): boolean {
    return this.#live[element] === 1;
  }

  hash(keyPtr: number): number {
    return hashKey(this.#rt.memory.view, keyPtr, this.#keyBytes, this.#seed);
  }

  /** Copies a userspace key to where find() can compare it. @returns its address */
  stage(key: Uint8Array): number {
    this.#rt.memory.bytes.set(key, this.#scratch);
    return this.#scratch;
  }

  /** @returns the element with this key, or -1 */
  find(keyPtr: number, hash: number): number {
    const { view } = this.#rt.memory;
    let link = this.#heads[hash & this.#mask]!;
    while (link !== END) {
      const element = link - 1;
      if (
        this.#hashes[element] === hash &&
        keysEqual(view, this.base + element * this.strideBytes, keyPtr, this.#keyBytes)
      ) {
        return element;
      }
      link = this.#next[element]!;
    }
    return -1;
  }

  /** An element with this key, linked in; -1 when none is left. Its value is what it was unless `zero`. */
  insert(keyPtr: number, hash: number, zero: boolean): number {
    const element = this.#take();
    if (element < 0) return -1;
    const { bytes } = this.#rt.memory;
    const at = this.keyAddress(element);
    copyBytes(bytes, at, bytes, keyPtr, this.#keyBytes);
    if (zero) bytes.fill(0, at + this.keySpanBytes, at + this.strideBytes);
    const head = hash & this.#mask;
    this.#hashes[element] = hash;
    this.#next[element] = this.#heads[head]!;
    this.#heads[head] = element + 1;
    this.#live[element] = 1;
    this.#head[HEAD.count]!++;
    return element;
  }

  remove(element: number): void {
    const head = this.#hashes[element]! & this.#mask;
    const link = element + 1;
    this.#live[element] = 0;
    if (this.#heads[head] === link) this.#heads[head] = this.#next[element]!;
    else {
      let before = this.#heads[head]! - 1;
      while (this.#next[before] !== link) before = this.#next[before]! - 1;
      this.#next[before] = this.#next[element]!;
    }
    this.#head[HEAD.count]!--;
    if (this.#rt.running || this.#lock !== 0) this.#retire(element);
    else this.#release(element);
  }

  reclaim(): void {
    const head = this.#head;
    while (head[HEAD.oldestRetired] !== END) {
      const element = head[HEAD.oldestRetired]! - 1;
      head[HEAD.oldestRetired] = this.#next[element]!;
      this.#release(element);
    }
    head[HEAD.newestRetired] = END;
  }

  /** Freed ones first, then never used ones, then the oldest of those that wait for the run's end. */
  #take(): number {
    const head = this.#head;
    if (head[HEAD.free] !== END) {
      const element = head[HEAD.free]! - 1;
      head[HEAD.free] = this.#next[element]!;
      return element;
    }
    if (head[HEAD.fresh]! < this.capacity) return head[HEAD.fresh]!++;
    const element = head[HEAD.oldestRetired]! - 1;
    if (element >= 0) {
      head[HEAD.oldestRetired] = this.#next[element]!;
      if (head[HEAD.oldestRetired] === END) head[HEAD.newestRetired] = END;
    }
    return element;
  }

  #release(element: number): void {
    this.#next[element] = this.#head[HEAD.free]!;
    this.#head[HEAD.free] = element + 1;
  }

  #retire(element: number): void {
    const head = this.#head;
    this.#next[element] = END;
    if (head[HEAD.newestRetired] === END) {
      head[HEAD.oldestRetired] = element + 1;
      // When #take emptied the list this is a second notice in one run, which is harmless.
      if (this.#lock === 0) this.#rt.reclaimLater(this);
    } else this.#next[head[HEAD.newestRetired]! - 1] = element + 1;
    head[HEAD.newestRetired] = element + 1;
  }
}
