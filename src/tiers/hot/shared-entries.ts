/**
 * The hot map's entries when several workers write them: each entry's lock, and a column of counts per worker that says
 * in which slots it has writes under way. An entry's `writers` is always the sum of its row, so that what a dead
 * worker had begun can be taken back exactly, wherever it stopped.
 */
import { bury } from "../../bpf/burial.ts";
import type { Kernel } from "../../bpf/kernel.ts";
import type { Runtime } from "../../bpf/runtime.ts";

/** Between two tries for a lock that is another's. */
const RETRY_MS = 1;

export class SharedEntries {
  readonly #kernel: Kernel;
  readonly #rt: Runtime;
  readonly #columns: readonly Int32Array[];
  readonly #own: Int32Array | null;

  /** @param cpu this worker; a number no worker has for whoever only supervises */
  constructor(kernel: Kernel, entries: number, cpu: number) {
    this.#kernel = kernel;
    this.#rt = kernel.rt;
    const { memory, cpus } = kernel.rt;
    this.#columns = Array.from({ length: cpus }, (_, worker) => {
      const at = memory.allocShared(4 * entries, 64, `writes under way in worker ${worker}`);
      return new Int32Array(memory.bytes.buffer, at, entries);
    });
    this.#own = this.#columns[cpu] ?? null;
  }

  lock(slot: number): void {
    this.#rt.lock(slot);
  }

  unlock(slot: number): void {
    this.#rt.unlock(slot);
  }

  /** With the entry's lock held. @returns what its `writers` is then */
  count(index: number, change: number): number {
    if (this.#own !== null) this.#own[index]! += change;
    return this.#writers(index);
  }

  /**
   * A worker has gone, and its thread runs no more: calls `mend` for each entry it may have left half written or
   * with writes under way, with the entry's lock held, and frees the locks. The one it held is free when this
   * returns; for others the event loop goes round, since their holder may have gone as well and be buried next.
   * @returns how many entries that were
   */
  async bury(
    cpu: number,
    indexOf: (address: number) => number,
    slotAt: (index: number) => number,
    mend: (slot: number, writers: number) => void,
  ): Promise<number> {
    const { spinLock } = bury(this.#kernel, cpu);
    const half = spinLock === 0 ? -1 : indexOf(spinLock);
    const column = this.#columns[cpu];
    let mended = 0;
    if (half >= 0) {
      if (column) column[half] = 0;
      mend(spinLock, this.#writers(half));
      mended++;
    }
    if (spinLock !== 0) this.#rt.locks?.bury(spinLock, cpu);
    if (column === undefined) return mended;
    for (let index = 0; index < column.length; index++) {
      if (column[index] === 0) continue;
      const slot = slotAt(index);
      while (!this.#rt.tryLock(slot)) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      column[index] = 0;
      mend(slot, this.#writers(index));
      this.unlock(slot);
      mended++;
    }
    return mended;
  }

  #writers(index: number): number {
    let sum = 0;
    for (const column of this.#columns) sum += column[index]!;
    return sum;
  }
}
