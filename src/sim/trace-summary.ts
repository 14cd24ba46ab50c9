/** What a trace asks for, in constant memory: rate, mix, sizes, and about how many distinct keys. */
import { ln } from "./math.ts";
import type { TraceRequest } from "./traces.ts";

/** The hot tier's limits, as BMC's. */
export const HOT_KEY_MAX = 250;
export const HOT_VALUE_MAX = 1000;

export const admitsKey = (r: TraceRequest): boolean => r.keyBytes <= HOT_KEY_MAX;
export const admitsValue = (r: TraceRequest): boolean => r.valueBytes <= HOT_VALUE_MAX;

/** Bits of the linear counter of distinct keys: right to about 1 % up to ten million keys. */
const COUNTER_BITS = 1 << 23;

export type Summary = {
  readonly requests: number;
  readonly seconds: number;
  /** Requests a second over the trace's own time; 0 where it carries none. */
  readonly rate: number;
  readonly readRatio: number;
  /** Reads whose key and value the hot tier may hold, of all reads. */
  readonly answerable: number;
  /** Means over the reads. */
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly answerableValueBytes: number;
  readonly keys: number;
};

export class TraceSummary {
  #requests = 0;
  #first = Number.POSITIVE_INFINITY;
  #last = Number.NEGATIVE_INFINITY;
  #reads = 0;
  #answerable = 0;
  #keyBytes = 0;
  #valueBytes = 0;
  #answerableBytes = 0;
  readonly #seen = new Uint32Array(COUNTER_BITS / 32);
  #marked = 0;

  add(request: TraceRequest): void {
    this.#requests++;
    if (request.time < this.#first) this.#first = request.time;
    if (request.time > this.#last) this.#last = request.time;
    const bit = request.id & (COUNTER_BITS - 1);
    const word = bit >>> 5;
    const mask = 1 << (bit & 31);
    if ((this.#seen[word]! & mask) === 0) {
      this.#seen[word]! |= mask;
      this.#marked++;
    }
    if (request.operation !== "get") return;
    this.#reads++;
    this.#keyBytes += request.keyBytes;
    this.#valueBytes += request.valueBytes;
    if (admitsKey(request) && admitsValue(request)) {
      this.#answerable++;
      this.#answerableBytes += request.valueBytes;
    }
  }

  result(): Summary {
    const seconds = this.#requests === 0 ? 0 : this.#last - this.#first;
    const reads = Math.max(1, this.#reads);
    const empty = Math.max(1, COUNTER_BITS - this.#marked);
    return {
      requests: this.#requests,
      seconds,
      rate: seconds > 0 ? this.#requests / seconds : 0,
      readRatio: this.#requests === 0 ? 0 : this.#reads / this.#requests,
      answerable: this.#answerable / reads,
      keyBytes: this.#keyBytes / reads,
      valueBytes: this.#valueBytes / reads,
      answerableValueBytes: this.#answerableBytes / Math.max(1, this.#answerable),
      keys: Math.round(-COUNTER_BITS * ln(empty / COUNTER_BITS)),
    };
  }
}
