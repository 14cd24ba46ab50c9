/**
 * HASH, LRU_HASH and PERCPU_HASH over one element table. As in Linux, updating a key of a plain or LRU
 * hash puts a new element in the old one's place, so that a pointer to the old value keeps reading the old
 * bytes; per-CPU values, and updates under BPF_F_LOCK, are overwritten where they are. Each operation holds the
 * table's lock, which is nothing unless other kernels share the memory.
 */
import type { MapDef } from "../program.ts";
import type { Runtime } from "../runtime.ts";
import { roundUp8 } from "./define.ts";
import { ElementTable } from "./element-table.ts";
import type { LruList } from "./lru-list.ts";
import { type BpfMap, ERRNO, UPDATE, updateKind, type ValueArea } from "./map.ts";
import { copyValue, readValue } from "./value.ts";

export class HashMap implements BpfMap {
  readonly def: MapDef;
  readonly id: number;
  readonly values: ValueArea;
  readonly memoryBytes: number;
  readonly #rt: Runtime;
  readonly #table: ElementTable;
  readonly #lru: LruList | null;
  readonly #cpus: number;
  /** From one CPU's value to the next; of a plain hash, from a value to the end of its element. */
  readonly #valueStride: number;

  constructor(rt: Runtime, def: MapDef, id: number, own = false) {
    this.#rt = rt;
    this.def = def;
    this.id = id;
    this.#cpus = def.type === "percpu_hash" ? rt.cpus : 1;
    this.#valueStride = roundUp8(def.valueBytes);
    this.#table = new ElementTable(rt, `map '${def.name}' (${def.maxEntries} entries)`, {
      keyBytes: def.keyBytes,
      valueSpanBytes: this.#valueStride * this.#cpus,
      maxEntries: def.maxEntries,
      lru: def.type === "lru_hash",
      own,
    });
    this.#lru = this.#table.lru;
    this.memoryBytes = this.#table.memoryBytes;
    this.values = {
      base: this.#table.base + this.#table.keySpanBytes,
      strideBytes: this.#table.strideBytes,
      // All CPUs' values of an element lie side by side.
      valueBytes: this.#cpus === 1 ? def.valueBytes : this.#valueStride * this.#cpus,
      count: this.#table.capacity,
    };
  }

  get size(): number {
    return this.#table.count;
  }

  lookup(keyPtr: number): number {
    const at = keyPtr >>> 0;
    const table = this.#table;
    const hash = table.hash(at);
    table.enter();
    const element = table.find(at, hash);
    if (element >= 0 && this.#lru) this.#lru.touch(element);
    table.leave();
    if (element < 0) return 0;
    return table.valueAddress(element) + (this.#cpus === 1 ? 0 : this.#rt.cpu * this.#valueStride);
  }

  /** As lookup, for userspace: it is no use of the element. */
  peek(keyPtr: number): number {
    const at = keyPtr >>> 0;
    const element = this.#table.find(at, this.#table.hash(at));
    return element < 0 ? 0 : this.#table.valueAddress(element);
  }

  /** Addresses of all live values, without copying them. */
  *liveValues(): Iterable<number> {
    for (let element = 0; element < this.#table.capacity; element++) {
      if (this.#table.isLive(element)) yield this.#table.valueAddress(element);
    }
  }

  update(keyPtr: number, valuePtr: number, flags: bigint): number {
    this.#table.enter();
    try {
      return this.#update(keyPtr >>> 0, this.#rt.memory.bytes, valuePtr >>> 0, flags, false);
    } finally {
      this.#table.leave();
    }
  }

  delete(keyPtr: number): number {
    this.#table.enter();
    const errno = this.#remove(keyPtr >>> 0);
    this.#table.leave();
    return errno;
  }

  get(key: Uint8Array): Uint8Array | null {
    if (key.length !== this.def.keyBytes) return null;
    this.#table.enter();
    const at = this.#table.stage(key);
    const element = this.#table.find(at, this.#table.hash(at));
    const value = element < 0 ? null : this.#read(element);
    this.#table.leave();
    return value;
  }

  set(key: Uint8Array, value: Uint8Array, flags = 0n): number {
    const bytes = this.def.type === "percpu_hash" ? this.#valueStride * this.#cpus : this.def.valueBytes;
    if (key.length !== this.def.keyBytes || value.length !== bytes) return -ERRNO.EINVAL;
    this.#table.enter();
    try {
      return this.#update(this.#table.stage(key), value, 0, flags, true);
    } finally {
      this.#table.leave();
    }
  }

  remove(key: Uint8Array): number {
    if (key.length !== this.def.keyBytes) return -ERRNO.EINVAL;
    this.#table.enter();
    const errno = this.#remove(this.#table.stage(key));
    this.#table.leave();
    return errno;
  }

  *entries(): Iterable<[Uint8Array, Uint8Array]> {
    for (let element = 0; element < this.#table.capacity; element++) {
      const entry = this.#entryAt(element);
      if (entry !== null) yield entry;
    }
  }

  /** After the death of the CPU that held the lock at this address: is it this map's, and is it whole again? */
  recover(lock: number): boolean {
    if (!this.#table.hasLock(lock)) return false;
    this.#table.repair();
    return true;
  }

  #entryAt(element: number): [Uint8Array, Uint8Array] | null {
    if (!this.#table.isLive(element)) return null;
    this.#table.enter();
    const at = this.#table.keyAddress(element);
    const entry: [Uint8Array, Uint8Array] | null = this.#table.isLive(element)
      ? [this.#rt.memory.bytes.slice(at, at + this.def.keyBytes), this.#read(element)]
      : null;
    this.#table.leave();
    return entry;
  }

  /** @param allCpus `source` holds a value for every CPU (userspace); else just the current one's */
  #update(keyAt: number, source: Uint8Array, from: number, flags: bigint, allCpus: boolean): number {
    const update = updateKind(flags, this.def.spinLockOffset !== undefined);
    if (!update) return -ERRNO.EINVAL;
    const table = this.#table;
    const hash = table.hash(keyAt);
    const old = table.find(keyAt, hash);
    if (old >= 0 && update.kind === UPDATE.noExist) return -ERRNO.EEXIST;
    if (old < 0 && update.kind === UPDATE.exist) return -ERRNO.ENOENT;
    if (old >= 0 && (update.locked || this.def.type === "percpu_hash")) {
      const lock =
        update.locked && this.#rt.locks !== null ? table.valueAddress(old) + this.def.spinLockOffset! : 0;
      if (lock !== 0) this.#rt.lock(lock);
      this.#write(old, source, from, allCpus);
      if (lock !== 0) this.#rt.unlock(lock);
      return 0;
    }
    if (old < 0 && table.count >= this.def.maxEntries && !this.#evict()) return -ERRNO.E2BIG;
    // A whole value is about to be written over a plain element: only locks and other CPUs need zeros.
    const isCovered = this.#cpus === 1 && this.def.spinLockOffset === undefined;
    const element = table.insert(keyAt, hash, !isCovered);
    if (element < 0) return -ERRNO.ENOMEM;
    this.#write(element, source, from, allCpus);
    this.#lru?.add(element);
    if (old >= 0) this.#drop(old);
    return 0;
  }

  #remove(keyAt: number): number {
    const element = this.#table.find(keyAt, this.#table.hash(keyAt));
    if (element < 0) return -ERRNO.ENOENT;
    this.#drop(element);
    return 0;
  }

  #drop(element: number): void {
    this.#lru?.remove(element);
    this.#table.remove(element);
  }

  #evict(): boolean {
    if (!this.#lru || this.#lru.oldest < 0) return false;
    this.#drop(this.#lru.oldest);
    return true;
  }

  #write(element: number, source: Uint8Array, from: number, allCpus: boolean): void {
    const at = this.#table.valueAddress(element);
    const { memory } = this.#rt;
    if (!allCpus) {
      const cpu = this.#cpus === 1 ? 0 : this.#rt.cpu;
      copyValue(memory, this.def, at + cpu * this.#valueStride, source, from);
      return;
    }
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      const offset = cpu * this.#valueStride;
      copyValue(memory, this.def, at + offset, source, from + offset);
    }
  }

  #read(element: number): Uint8Array {
    const at = this.#table.valueAddress(element);
    if (this.def.type !== "percpu_hash") return readValue(this.#rt.memory, this.def, at);
    return this.#rt.memory.bytes.slice(at, at + this.#valueStride * this.#cpus);
  }
}
