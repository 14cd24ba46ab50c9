/** The keys other nodes are writing, by the incarnation that writes and the number of its write. */
import type { Key } from "./store.ts";

type Held = { readonly release: () => void; readonly sinceMs: number };

export class RemoteHolds {
  readonly #hold: (key: Key) => () => void;
  readonly #now: () => number;
  readonly #held = new Map<string, Map<number, Held>>();

  /** @param hold keeps the key out of the hot tier until its result is called */
  constructor(hold: (key: Key) => () => void, monotonicMs: () => number) {
    this.#hold = hold;
    this.#now = monotonicMs;
  }

  get size(): number {
    let n = 0;
    for (const writes of this.#held.values()) n += writes.size;
    return n;
  }

  take(from: string, no: number, key: Key): void {
    let writes = this.#held.get(from);
    if (writes === undefined) {
      writes = new Map();
      this.#held.set(from, writes);
    }
    if (!writes.has(no)) writes.set(no, { release: this.#hold(key), sinceMs: this.#now() });
  }

  free(from: string, no: number): void {
    const writes = this.#held.get(from);
    const held = writes?.get(no);
    if (writes === undefined || held === undefined) return;
    writes.delete(no);
    if (writes.size === 0) this.#held.delete(from);
    held.release();
  }

  freeAllOf(from: string): void {
    for (const { release } of this.#held.get(from)?.values() ?? []) release();
    this.#held.delete(from);
  }

  freeAll(): void {
    for (const from of [...this.#held.keys()]) this.freeAllOf(from);
  }

  /** Is there one older than that? Its node is gone, or the word that it is over was lost. */
  hasOlderThan(ms: number): boolean {
    const before = this.#now() - ms;
    for (const writes of this.#held.values()) {
      for (const { sinceMs } of writes.values()) if (sinceMs < before) return true;
    }
    return false;
  }
}
