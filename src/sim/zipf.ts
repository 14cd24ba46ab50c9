/**
 * Zipf ranks by rejection-inversion (Hoermann & Derflinger, ACM TOMACS 6(3), 1996): constant memory and
 * constant time at any number of keys and any exponent > 0, exact (not an approximation of the law).
 */
import { exp, expm1OverX, ln, log1pOverX } from "./math.ts";
import type { Prng } from "./prng.ts";

export class Zipf {
  readonly keys: number;
  readonly skew: number;
  readonly #hX1: number;
  readonly #hN: number;
  readonly #shortcut: number;

  /** @param keys ranks 1..keys @param skew exponent, > 0 */
  constructor(keys: number, skew: number) {
    this.keys = keys;
    this.skew = skew;
    this.#hX1 = this.#integral(1.5) - 1;
    this.#hN = this.#integral(keys + 0.5);
    this.#shortcut = 2 - this.#integralInverse(this.#integral(2.5) - exp(-skew * ln(2)));
  }

  /** A rank in [0, keys), 0 the most popular. */
  sample(rng: Prng): number {
    for (;;) {
      const u = this.#hN + rng.unit() * (this.#hX1 - this.#hN);
      const x = this.#integralInverse(u);
      const k = Math.min(this.keys, Math.max(1, Math.floor(x + 0.5)));
      if (k - x <= this.#shortcut || u >= this.#integral(k + 0.5) - exp(-this.skew * ln(k))) return k - 1;
    }
  }

  /** Integral of x^-skew from 1, continued through skew = 1 without cancellation. */
  #integral(x: number): number {
    const log = ln(x);
    return expm1OverX((1 - this.skew) * log) * log;
  }

  #integralInverse(x: number): number {
    const t = Math.max(-1, x * (1 - this.skew));
    return exp(log1pOverX(t) * x);
  }
}

/** Sum of i^-skew for i in 1..n: exact for the head, Euler-Maclaurin for the tail. */
export function harmonic(n: number, skew: number): number {
  const head = Math.min(n, 100_000);
  let sum = 0;
  for (let i = head; i >= 1; i--) sum += exp(-skew * ln(i));
  if (n <= head) return sum;
  const span = ln(n / head);
  const a = exp(-skew * ln(head));
  const b = exp(-skew * ln(n));
  // Integral of x^-skew over [head, n] = head^(1-skew) * (e^((1-skew) span) - 1) / (1-skew).
  const integral = head * a * expm1OverX((1 - skew) * span) * span;
  return sum + integral + (b - a) / 2 + (skew * (a / head - b / n)) / 12;
}
