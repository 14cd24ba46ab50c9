/**
 * Chained hash table of elements that lie in linear memory: [key, padded to 8][value area]. Heads, links
 * and hashes are typed arrays outside it, where no program can reach; links hold element + 1, so that fresh
 * zeroed pages mean "none" and a large empty table costs no memory. Freed elements of a run in progress
 * wait for its end before they are used again, because the program may still hold a pointer; only when a
 * single run frees more than SPARE of them is the oldest reused early (in Linux any is reused at once).
 */
import type { Reclaimer, Runtime } from "../runtime.ts";
import { roundUp8 } from "./define.ts";
import { hashKey, keysEqual } from "./key-hash.ts";
import { copyBytes } from "./value.ts";

/** What a link holds where nothing follows. */
const END = 0;
/** Elements beyond max_entries, so that replacing and evicting find a fresh one. */
const SPARE = 64;

export class ElementTable implements Reclaimer {
  readonly memoryBytes: number;
  readonly base: number;
  readonly strideBytes: number;
  readonly keySpanBytes: number;
  /** Elements in all, used or not. */
  readonly capacity: number;
  count = 0;
  readonly #rt: Runtime;
  readonly #keyBytes: number;
  readonly #seed: number;
  readonly #mask: number;
  readonly #heads: Int32Array;
  readonly #next: Int32Array;
  readonly #hashes: Int32Array;
  readonly #live: Uint8Array;
  #free = END;
  /** Elements from here on were never used. */
  #fresh = 0;
  /** Where userspace's key lies while it is looked for. */
  readonly #scratch: number;
  #oldestRetired = END;
  #newestRetired = END;

  /** @throws OutOfMemory */
  constructor(rt: Runtime, what: string, keyBytes: number, valueSpanBytes: number, maxEntries: number) {
    this.#rt = rt;
    this.#keyBytes = keyBytes;
    this.keySpanBytes = roundUp8(keyBytes);
    this.strideBytes = this.keySpanBytes + valueSpanBytes;
    this.capacity = maxEntries + SPARE;
    // 2^26 heads at most: longer chains before half a gigabyte of them.
    const heads = 2 ** Math.min(26, Math.ceil(Math.log2(Math.max(2, maxEntries))));
    this.memoryBytes = this.capacity * this.strideBytes + this.keySpanBytes;
    this.base = rt.memory.alloc(this.memoryBytes, 64, what);
    this.#scratch = this.base + this.capacity * this.strideBytes;
    this.#mask = heads - 1;
    this.#heads = new Int32Array(heads);
    this.#next = new Int32Array(this.capacity);
    this.#hashes = new Int32Array(this.capacity);
    this.#live = new Uint8Array(this.capacity);
    this.#seed = rt.random() | 0;
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
    this.count++;
    return element;
  }

  remove(element: number): void {
    const head = this.#hashes[element]! & this.#mask;
    const link = element + 1;
    if (this.#heads[head] === link) this.#heads[head] = this.#next[element]!;
    else {
      let before = this.#heads[head]! - 1;
      while (this.#next[before] !== link) before = this.#next[before]! - 1;
      this.#next[before] = this.#next[element]!;
    }
    this.#live[element] = 0;
    this.count--;
    if (this.#rt.running) this.#retire(element);
    else this.#release(element);
  }

  reclaim(): void {
    while (this.#oldestRetired !== END) {
      const element = this.#oldestRetired - 1;
      this.#oldestRetired = this.#next[element]!;
      this.#release(element);
    }
    this.#newestRetired = END;
  }

  /** Freed ones first, then never used ones, then the oldest of those that wait for the run's end. */
  #take(): number {
    if (this.#free !== END) {
      const element = this.#free - 1;
      this.#free = this.#next[element]!;
      return element;
    }
    if (this.#fresh < this.capacity) return this.#fresh++;
    const element = this.#oldestRetired - 1;
    if (element >= 0) {
      this.#oldestRetired = this.#next[element]!;
      if (this.#oldestRetired === END) this.#newestRetired = END;
    }
    return element;
  }

  #release(element: number): void {
    this.#next[element] = this.#free;
    this.#free = element + 1;
  }

  #retire(element: number): void {
    this.#next[element] = END;
    if (this.#newestRetired === END) {
      // When #take emptied the list this is a second notice in one run, which is harmless.
      this.#oldestRetired = element + 1;
      this.#rt.reclaimLater(this);
    } else this.#next[this.#newestRetired - 1] = element + 1;
    this.#newestRetired = element + 1;
  }
}
