/**
 * A quantile sketch in constant memory: log-linear buckets, 64 to each power of two, so any quantile is
 * right to 1.6 % (HdrHistogram's idea). Values are non-negative integers, picoseconds here.
 */
const SUB_BITS = 6;
const SUB = 1 << SUB_BITS;
const BUCKETS = SUB * 48;

export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sum = 0;
  #sumSquares = 0;
  #max = 0;
  #min = Number.POSITIVE_INFINITY;

  record(value: number): void {
    this.#counts[bucketOf(value)]!++;
    this.#count++;
    this.#sum += value;
    this.#sumSquares += value * value;
    if (value > this.#max) this.#max = value;
    if (value < this.#min) this.#min = value;
  }

  get count(): number {
    return this.#count;
  }
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }
  get max(): number {
    return this.#max;
  }
  get min(): number {
    return this.#count === 0 ? 0 : this.#min;
  }
  get variance(): number {
    return this.#count === 0 ? 0 : Math.max(0, this.#sumSquares / this.#count - this.mean * this.mean);
  }

  /** Value at quantile q in [0, 1], linear inside its bucket; 0 when empty. */
  quantile(q: number): number {
    if (this.#count === 0) return 0;
    const rank = q * this.#count;
    let seen = 0;
    for (let i = 0; i < BUCKETS; i++) {
      const here = this.#counts[i]!;
      if (here > 0 && seen + here >= rank) {
        const low = lowOf(i);
        const value = low + (lowOf(i + 1) - low) * Math.max(0, (rank - seen) / here);
        return Math.min(this.#max, Math.max(this.#min, value));
      }
      seen += here;
    }
    return this.#max;
  }

  /** Adds another sketch's samples. */
  merge(other: Histogram): void {
    for (let i = 0; i < BUCKETS; i++) this.#counts[i]! += other.#counts[i]!;
    this.#count += other.#count;
    this.#sum += other.#sum;
    this.#sumSquares += other.#sumSquares;
    this.#max = Math.max(this.#max, other.#max);
    this.#min = Math.min(this.#min, other.#min);
  }
}

function bucketOf(value: number): number {
  if (value < SUB) return value | 0;
  // The position of the top bit, by halving where 32 bits do not reach.
  const high = value >= 4294967296 ? Math.floor(value / 4294967296) : 0;
  const exponent = high > 0 ? 63 - Math.clz32(high) : 31 - Math.clz32(value);
  const shift = exponent - SUB_BITS;
  const sub = high > 0 ? Math.floor(value / 2 ** shift) - SUB : (value >>> shift) - SUB;
  return Math.min(BUCKETS - 1, (shift + 1) * SUB + sub);
}

function lowOf(bucket: number): number {
  if (bucket < SUB) return bucket;
  const shift = Math.floor(bucket / SUB) - 1;
  return (SUB + (bucket % SUB)) * 2 ** shift;
}
