/**
 * Answers on their way from the kernel's memory to a socket: copied once, several of one chunk joined into
 * one write. They are handed out as slices of a slab, which is left to the garbage collector when full.
 */
const SLAB_BYTES = 65_536;
const BATCH_BYTES = 16_384;

export class ReplyBatch {
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #start = 0;
  #end = 0;

  /** Time to take what there is. */
  get full(): boolean {
    return this.#end - this.#start >= BATCH_BYTES;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  append(source: Uint8Array, from: number, to: number): void {
    if (this.#end + to - from > SLAB_BYTES) this.#renew();
    this.#slab.set(source.subarray(from, to), this.#end);
    this.#end += to - from;
  }

  /** The answers so far; the batch is empty after. */
  take(): Buffer {
    const out = this.#slab.subarray(this.#start, this.#end);
    this.#end = (this.#end + 7) & ~7; // aligned copies are faster
    this.#start = this.#end;
    return out;
  }

  #renew(): void {
    const old = this.#slab.subarray(this.#start, this.#end);
    this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.#slab.set(old);
    this.#start = 0;
    this.#end = old.length;
  }
}
