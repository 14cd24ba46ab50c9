/**
 * Exact recency order of elements: a doubly linked list in typed arrays its owner lays out. Linux only approximates it
 * (per-CPU lists, reference bits); here the victim is always the element used longest ago, which is easier
 * to teach and to test. A use is a program's look-up or any update; userspace reads do not count, as in Linux.
 * Links hold element + 1, so that zeroed arrays are an empty list.
 */
const NONE = 0;

export class LruList {
  readonly #newer: Int32Array;
  readonly #older: Int32Array;
  readonly #ends: Int32Array;
  readonly #newest: number;
  readonly #oldest: number;

  /** @param ends holds the list's two ends at the indices `newest` and `oldest` */
  constructor(newer: Int32Array, older: Int32Array, ends: Int32Array, newest: number, oldest: number) {
    this.#newer = newer;
    this.#older = older;
    this.#ends = ends;
    this.#newest = newest;
    this.#oldest = oldest;
  }

  /** The element used longest ago, or -1. */
  get oldest(): number {
    return this.#ends[this.#oldest]! - 1;
  }

  add(element: number): void {
    const ends = this.#ends;
    const newest = ends[this.#newest]!;
    this.#older[element] = newest;
    this.#newer[element] = NONE;
    if (newest === NONE) ends[this.#oldest] = element + 1;
    else this.#newer[newest - 1] = element + 1;
    ends[this.#newest] = element + 1;
  }

  touch(element: number): void {
    if (element + 1 === this.#ends[this.#newest]) return;
    this.remove(element);
    this.add(element);
  }

  remove(element: number): void {
    const newer = this.#newer[element]!;
    const older = this.#older[element]!;
    if (newer === NONE) this.#ends[this.#newest] = older;
    else this.#older[newer - 1] = older;
    if (older === NONE) this.#ends[this.#oldest] = newer;
    else this.#newer[older - 1] = newer;
  }
}
