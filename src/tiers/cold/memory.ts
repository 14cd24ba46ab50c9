/**
 * The cold tier in this process's memory: lru-cache, bounded by bytes and by entries. Synchronous, so an
 * update is atomic by construction. Expiry is checked at look-up against a wall clock given by the caller;
 * an expired item is dropped when it is next touched, or leaves from the cold end like any other.
 */
import { LRUCache } from "lru-cache";
import {
  type Change,
  type ColdStore,
  type Item,
  ItemTooLarge,
  type Key,
  type NewItem,
  type StoreStats,
} from "./store.ts";

/** Charged per item on top of key and value, as memcached charges its item header with cas (56 bytes). */
export const ITEM_OVERHEAD_BYTES = 56;

export type MemoryStoreOptions = {
  /** Bound of keys + values + ITEM_OVERHEAD_BYTES per item. */
  readonly maxBytes: number;
  readonly maxEntries: number;
  /** Wall clock in milliseconds since the epoch. */
  readonly now?: () => number;
};

export class MemoryStore implements ColdStore {
  readonly name = "memory";
  readonly maxBytes: number;
  readonly #lru: LRUCache<Key, Item>;
  readonly #now: () => number;
  #lastCas = 0n;
  #evictions = 0;
  #expirations = 0;

  constructor(options: MemoryStoreOptions) {
    this.maxBytes = options.maxBytes;
    this.#now = options.now ?? Date.now;
    this.#lru = new LRUCache<Key, Item>({
      max: options.maxEntries,
      maxSize: options.maxBytes,
      sizeCalculation: itemBytes,
      dispose: (_item, _key, reason) => {
        if (reason === "evict") this.#evictions++;
      },
    });
  }

  get(key: Key): Item | null {
    const item = this.#lru.get(key);
    if (item === undefined) return null;
    if (item.expiresAtMs === 0 || item.expiresAtMs > this.#now()) return item;
    this.#lru.delete(key);
    this.#expirations++;
    return null;
  }

  /**
   * @throws ItemTooLarge when the new item alone exceeds the store's bytes; nothing changed then.
   * The store keeps `next.value` itself: the caller hands it over and changes it no more.
   */
  update<T>(key: Key, change: (old: Item | null) => Change<T>): T {
    const { next, result, stored } = change(this.get(key));
    if (next === "keep") return result;
    if (next === "delete") this.#lru.delete(key);
    else {
      const cas = this.#set(key, next);
      if (stored) stored(cas);
    }
    return result;
  }

  clear(): void {
    this.#lru.clear();
  }

  /** `bytes` counts ITEM_OVERHEAD_BYTES per item; expired items count until they are touched. */
  stats(): StoreStats {
    return {
      items: this.#lru.size,
      bytes: this.#lru.calculatedSize,
      evictions: this.#evictions,
      expirations: this.#expirations,
    };
  }

  close(): void {
    this.#lru.clear();
  }

  #set(key: Key, next: NewItem): bigint {
    const { value, flags, expiresAtMs, marks, access } = next;
    const item = { value, flags, expiresAtMs, cas: next.cas ?? ++this.#lastCas, marks, access };
    const bytes = itemBytes(item, key);
    if (bytes > this.maxBytes) {
      throw new ItemTooLarge(`item of ${bytes} bytes, but the cold tier holds ${this.maxBytes} in all`);
    }
    // A store that lands already expired is a delete: it must not push live items out.
    if (expiresAtMs !== 0 && expiresAtMs <= this.#now()) this.#lru.delete(key);
    else this.#lru.set(key, item);
    return item.cas;
  }
}

function itemBytes(item: Item, key: Key): number {
  return key.length + item.value.length + ITEM_OVERHEAD_BYTES;
}
