/**
 * A histogram of nanoseconds in powers of two: bucket i counts values in (2^(i-1), 2^i]. One typed array,
 * no allocation, no label hashing: cheap enough to count every request where a labelled histogram of a
 * metrics library is not. Rendered at scrape time.
 */
export const LOG_BUCKETS = 40; // 2^39 ns = 9.2 minutes

export class LogHistogram {
  readonly buckets = new Float64Array(LOG_BUCKETS);
  sumNs = 0;

  observe(ns: number): void {
    this.observeMany(ns, 1);
  }

  /** Counts `times` values of `ns` each. */
  observeMany(ns: number, times: number): void {
    const whole = Math.max(ns, 1);
    // Math.clz32 takes 32 bits: longer times go by their upper part.
    const index = whole <= 0x80000000 ? 32 - Math.clz32(Math.ceil(whole) - 1) : 32 + upperIndex(whole);
    this.buckets[index < LOG_BUCKETS ? index : LOG_BUCKETS - 1]! += times;
    this.sumNs += ns * times;
  }

  get count(): number {
    let total = 0;
    for (const n of this.buckets) total += n;
    return total;
  }
}

/** Upper bound of bucket i, in nanoseconds. */
export function bucketBoundNs(index: number): number {
  return 2 ** index;
}

function upperIndex(ns: number): number {
  return Math.max(0, Math.ceil(Math.log2(ns)) - 32);
}
