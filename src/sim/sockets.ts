/**
 * Socket receive queues: bounded lists in one or two priority levels, and their spin locks. The lists are
 * threaded through the machine's request slots; nothing is allocated after construction.
 */
import type { MachineSpec } from "./machine.ts";

const NONE = -1;
/** More cores than this never contend for one socket in a simulated machine. */
const GRANTS = 256;

export class Sockets {
  readonly #next: Int32Array;
  readonly #capacity: Int32Array;
  readonly #levels: Uint8Array;
  readonly #head: Int32Array;
  readonly #tail: Int32Array;
  readonly #count: Int32Array;
  readonly #hold: Float64Array;
  readonly #perWaiter: Float64Array;
  readonly #transfer: Float64Array;
  readonly #lastHolder: Int32Array;
  // Per socket, a ring of the moments at which granted locks are released, oldest first.
  readonly #releases: Float64Array;
  readonly #first: Int32Array;
  readonly #grants: Int32Array;

  constructor(specs: MachineSpec["sockets"], next: Int32Array) {
    const n = specs.length;
    this.#next = next;
    this.#capacity = Int32Array.from(specs, (s) => s.capacity);
    this.#levels = Uint8Array.from(specs, (s) => (s.discipline === "priority" ? 2 : 1));
    this.#head = new Int32Array(n * 2).fill(NONE);
    this.#tail = new Int32Array(n * 2).fill(NONE);
    this.#count = new Int32Array(n);
    this.#hold = Float64Array.from(specs, (s) => Math.round((s.lock?.holdNs ?? 0) * 1000));
    this.#perWaiter = Float64Array.from(specs, (s) => Math.round((s.lock?.perWaiterNs ?? 0) * 1000));
    this.#transfer = Float64Array.from(specs, (s) => Math.round((s.lock?.transferNs ?? 0) * 1000));
    this.#lastHolder = new Int32Array(n).fill(NONE);
    this.#releases = new Float64Array(n * GRANTS);
    this.#first = new Int32Array(n);
    this.#grants = new Int32Array(n);
  }

  count(socket: number): number {
    return this.#count[socket]!;
  }

  hasRoom(socket: number): boolean {
    return this.#count[socket]! < this.#capacity[socket]!;
  }

  push(socket: number, slot: number, priority: number): void {
    const list = socket * 2 + (this.#levels[socket] === 2 ? priority : 0);
    this.#next[slot] = NONE;
    if (this.#head[list] === NONE) this.#head[list] = slot;
    else this.#next[this.#tail[list]!] = slot;
    this.#tail[list] = slot;
    this.#count[socket]!++;
  }

  /** The next request by the socket's discipline; there must be one. */
  pop(socket: number): number {
    const list = this.#head[socket * 2] === NONE ? socket * 2 + 1 : socket * 2;
    const slot = this.#head[list]!;
    this.#head[list] = this.#next[slot]!;
    this.#count[socket]!--;
    return slot;
  }

  /**
   * Grants the lock to a core that asks at `time`. A holder other than the last one first fetches the cache
   * lines the lock guards; each core still spinning makes it slower: its looks at the lock's line delay the
   * release.
   * @returns when the asker has had it and let it go
   */
  lock(socket: number, time: number, core: number): number {
    const hold = this.#hold[socket]!;
    if (hold === 0) return time;
    const ring = socket * GRANTS;
    let first = this.#first[socket]!;
    let grants = this.#grants[socket]!;
    while (grants > 0 && this.#releases[ring + first]! <= time) {
      first = (first + 1) % GRANTS;
      grants--;
    }
    const free = grants > 0 ? this.#releases[ring + ((first + grants - 1) % GRANTS)]! : time;
    const fetch = this.#lastHolder[socket] === core ? 0 : this.#transfer[socket]!;
    this.#lastHolder[socket] = core;
    const released = Math.max(time, free) + hold + fetch + grants * this.#perWaiter[socket]!;
    this.#releases[ring + ((first + grants) % GRANTS)] = released;
    this.#first[socket] = first;
    this.#grants[socket] = Math.min(GRANTS - 1, grants + 1);
    return released;
  }
}
