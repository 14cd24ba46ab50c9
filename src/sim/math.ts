/**
 * log, exp and pow in plain IEEE arithmetic. `Math.log` and its kin may differ in their last bits from
 * one engine build to the next, and one differing bit would change every later event of a run. Additions,
 * multiplications, divisions and `Math.sqrt` are exact by the language standard, so these are the same
 * everywhere. Accurate to a few units in the last place.
 */
const LN2_HI = 0.6931471803691238; // 33 significant bits: k * LN2_HI is exact for |k| < 2^20
const LN2_LO = 1.9082149292705877e-10;
const SQRT_HALF = Math.SQRT1_2; // a constant of the language, not a computation
const view = new DataView(new ArrayBuffer(8));

/** Natural logarithm. Negative: NaN; zero: -Infinity. */
export function ln(x: number): number {
  if (!(x > 0)) return x === 0 ? Number.NEGATIVE_INFINITY : Number.NaN;
  if (x === Number.POSITIVE_INFINITY) return x;
  let k = 0;
  if (x < 2.2250738585072014e-308) {
    x *= 18014398509481984; // 2^54: subnormal to normal
    k = -54;
  }
  view.setFloat64(0, x);
  const high = view.getUint32(0);
  k += (high >>> 20) - 1022;
  view.setUint32(0, (high & 0x000fffff) | 0x3fe00000);
  let m = view.getFloat64(0); // [0.5, 1)
  if (m < SQRT_HALF) {
    m *= 2;
    k--;
  }
  // ln m = 2 artanh s with s = (m-1)/(m+1), |s| <= 0.1716: the first omitted term is below 1e-17.
  const s = (m - 1) / (m + 1);
  const z = s * s;
  const tail =
    z *
    (1 / 3 +
      z *
        (1 / 5 +
          z * (1 / 7 + z * (1 / 9 + z * (1 / 11 + z * (1 / 13 + z * (1 / 15 + z * (1 / 17 + z / 19))))))));
  return k * LN2_HI + (2 * s + (2 * s * tail + k * LN2_LO));
}

export function exp(x: number): number {
  if (x > 709.78) return Number.POSITIVE_INFINITY;
  if (x < -708) return 0;
  const k = Math.round(x * Math.LOG2E);
  const r = x - k * LN2_HI - k * LN2_LO; // |r| <= 0.3466
  const tail =
    1 / 5040 +
    r * (1 / 40320 + r * (1 / 362880 + r * (1 / 3628800 + r * (1 / 39916800 + r * (1 / 479001600)))));
  const p = 1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r * tail))))));
  view.setUint32(0, (k + 1023) << 20);
  view.setUint32(4, 0);
  return k === 1024 ? p * 2 * 8.98846567431158e307 : p * view.getFloat64(0);
}

/** x to the y, x > 0. */
export function pow(x: number, y: number): number {
  return exp(y * ln(x));
}

/** log(1 + x) / x, 1 at 0. */
export function log1pOverX(x: number): number {
  if (x > 1e-4 || x < -1e-4) return ln(1 + x) / x;
  return 1 - x * (1 / 2 - x * (1 / 3 - x * (1 / 4 - x / 5)));
}

/** (exp(x) - 1) / x, 1 at 0. */
export function expm1OverX(x: number): number {
  if (x > 1e-4 || x < -1e-4) return (exp(x) - 1) / x;
  return 1 + x * (1 / 2 + x * (1 / 6 + x * (1 / 24 + x / 120)));
}
