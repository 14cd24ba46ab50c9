/**
 * ARRAY and PERCPU_ARRAY: a value at every index from the start, none ever deleted. Element i of CPU c lies
 * at base + c * cpuStride + i * stride; compiled programs inline just that.
 */
import type { MapDef } from "../program.ts";
import type { Runtime } from "../runtime.ts";
import { roundUp8 } from "./define.ts";
import { type ArrayLike, ERRNO, UPDATE, updateKind, type ValueArea } from "./map.ts";
import { copyValue, readValue } from "./value.ts";

const BPF_F_LOCK = BigInt(UPDATE.lock);

export class ArrayMap implements ArrayLike {
  readonly def: MapDef;
  readonly id: number;
  readonly values: ValueArea;
  readonly memoryBytes: number;
  readonly baseAddress: number;
  readonly strideBytes: number;
  readonly cpuStrideBytes: number;
  readonly #rt: Runtime;
  readonly #cpus: number;

  /** @param own in a shared memory: this kernel's alone, not everyone's */
  constructor(rt: Runtime, def: MapDef, id: number, own = false) {
    this.#rt = rt;
    this.def = def;
    this.id = id;
    this.#cpus = def.type === "percpu_array" ? rt.cpus : 1;
    this.strideBytes = roundUp8(def.valueBytes);
    const perCpu = this.strideBytes * def.maxEntries;
    this.cpuStrideBytes = def.type === "percpu_array" ? perCpu : 0;
    this.memoryBytes = perCpu * this.#cpus;
    const what = `map '${def.name}' (${def.maxEntries} entries)`;
    const fill = (at: number): void => {
      if (def.initialValue) rt.memory.bytes.set(def.initialValue.subarray(0, def.valueBytes), at);
    };
    if (own) {
      this.baseAddress = rt.memory.alloc(this.memoryBytes, 64, what);
      fill(this.baseAddress);
    } else this.baseAddress = rt.memory.allocShared(this.memoryBytes, 64, what, fill);
    this.values = {
      base: this.baseAddress,
      strideBytes: this.strideBytes,
      valueBytes: def.valueBytes,
      count: def.maxEntries * this.#cpus,
    };
  }

  get size(): number {
    return this.def.maxEntries;
  }

  lookup(keyPtr: number): number {
    const index = this.#rt.memory.view.getUint32(keyPtr >>> 0, true);
    return index < this.def.maxEntries ? this.#address(index, this.#rt.cpu) : 0;
  }

  update(keyPtr: number, valuePtr: number, flags: bigint): number {
    const index = this.#rt.memory.view.getUint32(keyPtr >>> 0, true);
    const errno = this.#refuse(index, flags);
    if (errno !== 0) return errno;
    const { bytes } = this.#rt.memory;
    this.#write(this.#address(index, this.#rt.cpu), bytes, valuePtr >>> 0, flags);
    return 0;
  }

  /** Every index always has its value. */
  delete(_keyPtr: number): number {
    return -ERRNO.EINVAL;
  }

  get(key: Uint8Array): Uint8Array | null {
    const index = indexOf(key);
    if (index === null || index >= this.def.maxEntries) return null;
    const out = new Uint8Array(
      this.#cpus === 1 && this.cpuStrideBytes === 0 ? this.def.valueBytes : this.strideBytes * this.#cpus,
    );
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      out.set(readValue(this.#rt.memory, this.def, this.#address(index, cpu)), cpu * this.strideBytes);
    }
    return out;
  }

  set(key: Uint8Array, value: Uint8Array, flags = 0n): number {
    const index = indexOf(key);
    const bytes = this.cpuStrideBytes === 0 ? this.def.valueBytes : this.strideBytes * this.#cpus;
    if (index === null || value.length !== bytes) return -ERRNO.EINVAL;
    const errno = this.#refuse(index, flags);
    if (errno !== 0) return errno;
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      this.#write(this.#address(index, cpu), value, cpu * this.strideBytes, flags);
    }
    return 0;
  }

  remove(_key: Uint8Array): number {
    return -ERRNO.EINVAL;
  }

  *entries(): Iterable<[Uint8Array, Uint8Array]> {
    for (let index = 0; index < this.def.maxEntries; index++) {
      const key = new Uint8Array(4);
      new DataView(key.buffer).setUint32(0, index, true);
      yield [key, this.get(key)!];
    }
  }

  #address(index: number, cpu: number): number {
    return this.baseAddress + cpu * this.cpuStrideBytes + index * this.strideBytes;
  }

  #write(at: number, source: Uint8Array, from: number, flags: bigint): void {
    const { memory, locks } = this.#rt;
    const lock = this.def.spinLockOffset;
    if (locks === null || lock === undefined || (flags & BPF_F_LOCK) === 0n) {
      copyValue(memory, this.def, at, source, from);
      return;
    }
    this.#rt.lock(at + lock);
    copyValue(memory, this.def, at, source, from);
    this.#rt.unlock(at + lock);
  }

  #refuse(index: number, flags: bigint): number {
    const update = updateKind(flags, this.def.spinLockOffset !== undefined);
    if (!update) return -ERRNO.EINVAL;
    if (index >= this.def.maxEntries) return -ERRNO.E2BIG;
    return update.kind === UPDATE.noExist ? -ERRNO.EEXIST : 0;
  }
}

/** The u32 a 4-byte key spells, or null when it is not 4 bytes. */
export function indexOf(key: Uint8Array): number | null {
  if (key.length !== 4) return null;
  return new DataView(key.buffer, key.byteOffset, 4).getUint32(0, true);
}
