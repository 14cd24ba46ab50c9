/**
 * Answers on their way from the kernel's memory to a socket: several of one chunk become one write. One
 * batch serves all connections, since a chunk is worked on to its end.
 */
const BATCH_BYTES = 65_536;
/** No reply is longer: a fixed head and a value of at most 1,000 bytes. */
const REPLY_MAX = 2_048;

export class ReplyBatch {
  readonly #bytes = Buffer.allocUnsafeSlow(BATCH_BYTES + REPLY_MAX);
  #length = 0;

  /** Time to take what there is. */
  get full(): boolean {
    return this.#length >= BATCH_BYTES;
  }

  get length(): number {
    return this.#length;
  }

  append(source: Uint8Array, from: number, to: number): void {
    const length = to - from;
    this.#bytes.set(source.subarray(from, to), this.#length);
    this.#length += length;
  }

  /** The answers so far as a buffer of their own; the batch is empty after. */
  take(): Buffer {
    const out = Buffer.allocUnsafe(this.#length);
    this.#bytes.copy(out, 0, 0, this.#length);
    this.#length = 0;
    return out;
  }
}
