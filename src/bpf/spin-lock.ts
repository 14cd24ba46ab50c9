/**
 * Locks of a memory that several threads share: a word that is 0, or 1 + the CPU that holds it. Taking is a
 * compare-and-exchange, tried SPINS times in a row and then between short sleeps, since a holder here may be
 * off its core as no holder in a kernel is. Before it takes a lock a CPU notes the lock's address in its machine
 * state, so that whoever buries it knows what it held.
 */
import { ProgramFault } from "./fault.ts";
import type { LinearMemory } from "./memory.ts";

/** Tries before the first sleep: some microseconds, longer than any value is copied. */
export const SPINS = 1_000;
const SLEEP_MS = 0.05;
/** The holder is gone, and nobody buries it. */
const PATIENCE_MS = 10_000;

export class SpinLocks {
  /** What a lock held by this CPU reads. */
  readonly mark: number;
  readonly #memory: LinearMemory;
  /** A word of this CPU's own that never changes: to sleep on. */
  readonly #pillow: number;

  constructor(memory: LinearMemory, cpu: number, pillowAddress: number) {
    this.#memory = memory;
    this.mark = cpu + 1;
    this.#pillow = pillowAddress >> 2;
  }

  /** @param noteAddress word of this CPU's machine state that says which lock it is about to hold */
  take(lock: number, noteAddress: number): void {
    const { words } = this.#memory;
    words[noteAddress >> 2] = lock;
    for (let i = 0; i < SPINS; i++) {
      if (Atomics.compareExchange(words, lock >> 2, 0, this.mark) === 0) return;
    }
    this.wait(lock);
  }

  /** As take(), but gives up at once: a holder that has gone, too, waits to be buried by whoever asks. */
  tryTake(lock: number, noteAddress: number): boolean {
    const { words } = this.#memory;
    words[noteAddress >> 2] = lock;
    if (Atomics.compareExchange(words, lock >> 2, 0, this.mark) === 0) return true;
    words[noteAddress >> 2] = 0;
    return false;
  }

  release(lock: number, noteAddress: number): void {
    const { words } = this.#memory;
    Atomics.store(words, lock >> 2, 0);
    words[noteAddress >> 2] = 0;
  }

  /** Takes a lock that did not become free while spinning. @throws ProgramFault when it never does */
  wait(lock: number): void {
    const { words } = this.#memory;
    const end = performance.now() + PATIENCE_MS;
    while (Atomics.compareExchange(words, lock >> 2, 0, this.mark) !== 0) {
      if (performance.now() > end) {
        throw new ProgramFault(
          "helper",
          `spin_lock: the lock at 0x${lock.toString(16)} was not released within ${PATIENCE_MS / 1000} s`,
        );
      }
      this.#sleep(words);
    }
  }

  /** Frees a lock if a CPU that has gone holds it. */
  bury(lock: number, cpu: number): boolean {
    return Atomics.compareExchange(this.#memory.words, lock >> 2, cpu + 1, 0) === cpu + 1;
  }

  isHeldBy(lock: number, cpu: number): boolean {
    return Atomics.load(this.#memory.words, lock >> 2) === cpu + 1;
  }

  #sleep(words: Int32Array): void {
    try {
      Atomics.wait(words, this.#pillow, 0, SLEEP_MS);
    } catch {
      // A browser's main thread may not wait: it goes on trying.
    }
  }
}
