/**
 * Exact recency order of elements: a doubly linked list in two typed arrays. Linux only approximates it
 * (per-CPU lists, reference bits); here the victim is always the element used longest ago, which is easier
 * to teach and to test. A use is a program's look-up or any update; userspace reads do not count, as in Linux.
 */
const NONE = -1;

export class LruList {
  readonly #newer: Int32Array;
  readonly #older: Int32Array;
  #newest = NONE;
  #oldest = NONE;

  constructor(capacity: number) {
    this.#newer = new Int32Array(capacity);
    this.#older = new Int32Array(capacity);
  }

  /** The element used longest ago, or -1. */
  get oldest(): number {
    return this.#oldest;
  }

  add(element: number): void {
    this.#older[element] = this.#newest;
    this.#newer[element] = NONE;
    if (this.#newest === NONE) this.#oldest = element;
    else this.#newer[this.#newest] = element;
    this.#newest = element;
  }

  touch(element: number): void {
    if (element === this.#newest) return;
    this.remove(element);
    this.add(element);
  }

  remove(element: number): void {
    const newer = this.#newer[element]!;
    const older = this.#older[element]!;
    if (newer === NONE) this.#newest = older;
    else this.#older[newer] = older;
    if (older === NONE) this.#oldest = newer;
    else this.#newer[older] = newer;
  }
}
