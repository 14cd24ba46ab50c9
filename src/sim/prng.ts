/**
 * Seeded randomness: xoshiro128** on 32-bit integers (Blackman & Vigna), seeded through splitmix32.
 * Every consumer takes its own stream, so that adding a draw in one place moves nothing elsewhere.
 */
import { ln } from "./math.ts";

export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** Streams of one seed are independent for practical purposes. */
  constructor(seed: number, stream = 0) {
    let state = (seed ^ Math.imul(stream, 0x9e3779b9)) | 0;
    const next = () => {
      state = (state + 0x9e3779b9) | 0;
      let z = state ^ (state >>> 16);
      z = Math.imul(z, 0x21f0aaad);
      z ^= z >>> 15;
      z = Math.imul(z, 0x735a2d97);
      return z ^ (z >>> 15);
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1; // never all zero
  }

  /** Uniform in [0, 2^32). */
  u32(): number {
    const x = Math.imul(this.#b, 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9);
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result >>> 0;
  }

  /** Uniform in [0, 1), 53 bits. */
  unit(): number {
    return ((this.u32() >>> 5) * 67108864 + (this.u32() >>> 6)) / 9007199254740992;
  }

  /** Uniform integer in [0, n). */
  below(n: number): number {
    return n <= 0x100000000 ? Math.floor((this.u32() * n) / 4294967296) : Math.floor(this.unit() * n);
  }

  /** Exponential with the given mean; 32-bit resolution, never 0 exactly at the log. */
  exponential(mean: number): number {
    return -mean * ln((this.u32() + 0.5) / 4294967296);
  }
}
