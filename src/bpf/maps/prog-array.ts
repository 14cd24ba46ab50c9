/**
 * PROG_ARRAY: what tail calls jump through. Userspace sets program ids; programs can neither read nor write
 * it. As in Linux, all programs of one array are of one type and one engine; the first one set decides.
 */
import type { Executable, TailTarget } from "../executable.ts";
import type { MapDef } from "../program.ts";
import type { Runtime } from "../runtime.ts";
import { indexOf } from "./array.ts";
import { type BpfMap, ERRNO, UPDATE } from "./map.ts";

export class ProgArrayMap implements BpfMap {
  readonly def: MapDef;
  readonly id: number;
  readonly values = null;
  readonly memoryBytes = 0;
  /** First slot of this map in the runtime's tailTable: slot i of the map is tailBase + i there. */
  readonly tailBase: number;
  readonly #rt: Runtime;
  readonly #targets = new Map<number, TailTarget>();
  #owner: { type: string; engine: string } | null = null;

  constructor(rt: Runtime, def: MapDef, id: number) {
    this.#rt = rt;
    this.def = def;
    this.id = id;
    this.tailBase = rt.tailTable.grow(def.maxEntries);
  }

  get size(): number {
    return this.#targets.size;
  }

  executableAt(index: number): Executable | null {
    return this.#targets.get(index)?.executable ?? null;
  }

  /** Linux allows programs no look-up in a program array; the verifier says so first. */
  lookup(_keyPtr: number): number {
    return 0;
  }

  update(_keyPtr: number, _valuePtr: number, _flags: bigint): number {
    return -ERRNO.EINVAL;
  }

  delete(_keyPtr: number): number {
    return -ERRNO.EINVAL;
  }

  get(key: Uint8Array): Uint8Array | null {
    const target = this.#targets.get(indexOf(key) ?? -1);
    return target ? u32(target.id) : null;
  }

  set(key: Uint8Array, value: Uint8Array, flags = 0n): number {
    const index = indexOf(key);
    const id = indexOf(value);
    if (index === null || id === null || flags !== BigInt(UPDATE.any)) return -ERRNO.EINVAL;
    if (index >= this.def.maxEntries) return -ERRNO.E2BIG;
    const target = this.#rt.programs.get(id);
    if (!target) return -ERRNO.EBADF;
    const { type, executable } = target;
    this.#owner ??= { type, engine: executable.engine };
    if (this.#owner.type !== type || this.#owner.engine !== executable.engine) return -ERRNO.EINVAL;
    this.#put(index, target);
    return 0;
  }

  remove(key: Uint8Array): number {
    const index = indexOf(key);
    if (index === null) return -ERRNO.EINVAL;
    if (index >= this.def.maxEntries) return -ERRNO.E2BIG;
    if (!this.#targets.has(index)) return -ERRNO.ENOENT;
    this.#put(index, null);
    return 0;
  }

  *entries(): Iterable<[Uint8Array, Uint8Array]> {
    for (const [index, target] of this.#targets) yield [u32(index), u32(target.id)];
  }

  #put(index: number, target: TailTarget | null): void {
    if (target) this.#targets.set(index, target);
    else this.#targets.delete(index);
    this.#rt.tailTable.set(this.tailBase + index, target?.executable.tailEntry ?? null);
  }
}

export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
