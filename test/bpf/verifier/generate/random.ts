/** A small seeded generator (mulberry32): same seed, same program and same input bytes. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }
  below(n: number): number {
    return this.next() % n;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  bytes(length: number): Uint8Array {
    const edgy = this.chance(60);
    return Uint8Array.from({ length }, () => (edgy ? this.pick(EDGE_BYTES) : this.below(256)));
  }
}

const EDGE_BYTES = [0, 1, 0x7f, 0x80, 0xff];

export type Weighted<T> = { readonly weight: number; readonly make: T };

export function pickWeighted<T>(random: Random, rows: readonly Weighted<T>[]): T {
  let left = random.below(rows.reduce((sum, { weight }) => sum + weight, 0));
  for (const { weight, make } of rows) {
    if (left < weight) return make;
    left -= weight;
  }
  throw new Error("no row: all weights are zero");
}
