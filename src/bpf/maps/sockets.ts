/**
 * SOCKMAP and SOCKHASH: socket handles by index or key. A handle is a positive integer a hook chose; this
 * machine never looks behind it. Programs only redirect through these maps; userspace fills them.
 */
import type { MapDef } from "../program.ts";
import type { Runtime } from "../runtime.ts";
import { indexOf } from "./array.ts";
import { ElementTable } from "./element-table.ts";
import { type BpfMap, ERRNO, UPDATE } from "./map.ts";
import { u32 } from "./prog-array.ts";

/** What the sk_redirect helpers need. Handle 0 means: no such socket. */
export interface SocketMap extends BpfMap {
  /** @param key index (sockmap) or address of the key (sockhash) */
  handleAt(key: number): number;
  /** Userspace's shorthand for set() with a number. @returns 0 or -errno */
  setHandle(key: Uint8Array, handle: number): number;
}

abstract class SocketMapBase {
  readonly def: MapDef;
  readonly id: number;
  readonly values = null;

  constructor(def: MapDef, id: number) {
    this.def = def;
    this.id = id;
  }

  /** Only sock_ops and tracing programs may update from inside Linux: none here. */
  lookup(_keyPtr: number): number {
    return 0;
  }

  update(_keyPtr: number, _valuePtr: number, _flags: bigint): number {
    return -ERRNO.EOPNOTSUPP;
  }

  set(key: Uint8Array, value: Uint8Array, flags = 0n): number {
    const handle = handleIn(value, this.def.valueBytes);
    return handle === null ? -ERRNO.EINVAL : this.put(key, handle, flags);
  }

  setHandle(key: Uint8Array, handle: number): number {
    return Number.isSafeInteger(handle) && handle > 0 ? this.put(key, handle, 0n) : -ERRNO.EINVAL;
  }

  protected abstract put(key: Uint8Array, handle: number, flags: bigint): number;

  protected valueOf(handle: number): Uint8Array {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(handle), true);
    return bytes.subarray(0, this.def.valueBytes);
  }
}

export class SockMap extends SocketMapBase implements SocketMap {
  readonly memoryBytes = 0;
  readonly #handles: Float64Array;
  #size = 0;

  constructor(def: MapDef, id: number) {
    super(def, id);
    this.#handles = new Float64Array(def.maxEntries);
  }

  get size(): number {
    return this.#size;
  }

  handleAt(index: number): number {
    return this.#handles[index] ?? 0;
  }

  delete(_keyPtr: number): number {
    return -ERRNO.EOPNOTSUPP;
  }

  get(key: Uint8Array): Uint8Array | null {
    const handle = this.handleAt(indexOf(key) ?? -1);
    return handle ? this.valueOf(handle) : null;
  }

  remove(key: Uint8Array): number {
    const index = indexOf(key);
    // Linux: an index past the end and an empty one are both EINVAL.
    if (index === null || !this.handleAt(index)) return -ERRNO.EINVAL;
    this.#handles[index] = 0;
    this.#size--;
    return 0;
  }

  *entries(): Iterable<[Uint8Array, Uint8Array]> {
    for (const [index, handle] of this.#handles.entries())
      if (handle) yield [u32(index), this.valueOf(handle)];
  }

  protected put(key: Uint8Array, handle: number, flags: bigint): number {
    const index = indexOf(key);
    if (index === null || flags > BigInt(UPDATE.exist)) return -ERRNO.EINVAL;
    if (index >= this.def.maxEntries) return -ERRNO.E2BIG;
    const old = this.handleAt(index);
    if (old && flags === BigInt(UPDATE.noExist)) return -ERRNO.EEXIST;
    if (!old && flags === BigInt(UPDATE.exist)) return -ERRNO.ENOENT;
    if (!old) this.#size++;
    this.#handles[index] = handle;
    return 0;
  }
}

export class SockHash extends SocketMapBase implements SocketMap {
  readonly memoryBytes: number;
  readonly #rt: Runtime;
  readonly #table: ElementTable;
  readonly #handles: Float64Array;

  constructor(rt: Runtime, def: MapDef, id: number) {
    super(def, id);
    this.#rt = rt;
    // Sockets are of one thread: so is the map, whatever else is shared.
    this.#table = new ElementTable(rt, `map '${def.name}'`, {
      keyBytes: def.keyBytes,
      valueSpanBytes: 0,
      maxEntries: def.maxEntries,
      own: true,
    });
    this.memoryBytes = this.#table.memoryBytes;
    this.#handles = new Float64Array(this.#table.capacity);
  }

  get size(): number {
    return this.#table.count;
  }

  handleAt(keyPtr: number): number {
    const element = this.#find(keyPtr >>> 0);
    return element < 0 ? 0 : this.#handles[element]!;
  }

  delete(_keyPtr: number): number {
    return -ERRNO.EOPNOTSUPP;
  }

  get(key: Uint8Array): Uint8Array | null {
    if (key.length !== this.def.keyBytes) return null;
    const handle = this.handleAt(this.#table.stage(key));
    return handle ? this.valueOf(handle) : null;
  }

  remove(key: Uint8Array): number {
    if (key.length !== this.def.keyBytes) return -ERRNO.EINVAL;
    const element = this.#find(this.#table.stage(key));
    if (element < 0) return -ERRNO.ENOENT;
    this.#table.remove(element);
    return 0;
  }

  *entries(): Iterable<[Uint8Array, Uint8Array]> {
    for (let element = 0; element < this.#table.capacity; element++) {
      if (!this.#table.isLive(element)) continue;
      const at = this.#table.keyAddress(element);
      const key = this.#rt.memory.bytes.slice(at, at + this.def.keyBytes);
      yield [key, this.valueOf(this.#handles[element]!)];
    }
  }

  protected put(key: Uint8Array, handle: number, flags: bigint): number {
    if (key.length !== this.def.keyBytes || flags > BigInt(UPDATE.exist)) return -ERRNO.EINVAL;
    const at = this.#table.stage(key);
    const hash = this.#table.hash(at);
    let element = this.#table.find(at, hash);
    if (element >= 0 && flags === BigInt(UPDATE.noExist)) return -ERRNO.EEXIST;
    if (element < 0) {
      if (flags === BigInt(UPDATE.exist)) return -ERRNO.ENOENT;
      if (this.#table.count >= this.def.maxEntries) return -ERRNO.E2BIG;
      element = this.#table.insert(at, hash, false);
    }
    this.#handles[element] = handle;
    return 0;
  }

  #find(keyPtr: number): number {
    return this.#table.find(keyPtr, this.#table.hash(keyPtr));
  }
}

function handleIn(value: Uint8Array, bytes: number): number | null {
  if (value.length !== bytes) return null;
  const view = new DataView(value.buffer, value.byteOffset, bytes);
  const handle = bytes === 8 ? Number(view.getBigUint64(0, true)) : view.getUint32(0, true);
  return Number.isSafeInteger(handle) && handle > 0 ? handle : null;
}
