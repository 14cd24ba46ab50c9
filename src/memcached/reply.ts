/**
 * Reply bytes on their way out. Small pieces are copied into one slab, values of PART_BYTES and more are
 * kept by reference (stored values never change), so that a reply naming a megabyte value a thousand times
 * costs a thousand references. Each conversation has a buffer of its own: over an asynchronous cold tier many
 * write in turns before any of them is sent. Slabs are shared, though: one is taken with the first byte and
 * given back with the flush, so that conversations which never wait use the same one in turns.
 */
const SLAB_BYTES = 65_536;
const FREE_SLABS_MAX = 16;
const NO_SLAB = Buffer.alloc(0);
/** From here on a copy costs more than one more piece in the write. */
const PART_BYTES = 8_192;

/** A constant line as bytes. */
export const text = (line: string): Uint8Array => new Uint8Array(Buffer.from(line, "latin1"));

/** Slabs between two uses. */
export class SlabPool {
  readonly #free: Buffer[] = [];

  take(bytes: number): Buffer {
    if (bytes > SLAB_BYTES) return Buffer.allocUnsafeSlow(bytes);
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
  }

  give(slab: Buffer): void {
    if (slab.length === SLAB_BYTES && this.#free.length < FREE_SLABS_MAX) this.#free.push(slab);
  }
}

export type Mark = {
  readonly slab: Buffer;
  readonly from: number;
  readonly at: number;
  readonly parts: number;
  readonly partBytes: number;
};

export class ReplyBuffer {
  readonly #pool: SlabPool;
  #slab: Buffer = NO_SLAB;
  /** Where the piece under way begins. */
  #from = 0;
  #at = 0;
  #parts: Uint8Array[] = [];
  #partBytes = 0;

  constructor(pool: SlabPool) {
    this.#pool = pool;
  }

  get length(): number {
    return this.#partBytes + this.#at - this.#from;
  }

  /** The bytes as few pieces; they stay valid until `reset`. */
  pieces(): Uint8Array[] {
    this.#seal();
    return this.#parts;
  }

  /** All of it as one piece where that needs no copy, which is nearly always. */
  single(): Buffer | null {
    return this.#parts.length === 0 ? this.#slab.subarray(this.#from, this.#at) : null;
  }

  /** @param written false when someone still holds the pieces: the slab is theirs then */
  reset(written: boolean): void {
    if (written) this.#pool.give(this.#slab);
    this.#slab = NO_SLAB;
    this.#from = 0;
    this.#at = 0;
    this.#partBytes = 0;
    if (this.#parts.length > 0) this.#parts = [];
  }

  mark(): Mark {
    return {
      slab: this.#slab,
      from: this.#from,
      at: this.#at,
      parts: this.#parts.length,
      partBytes: this.#partBytes,
    };
  }

  /** Takes back everything written since the mark. */
  rewind(mark: Mark): void {
    this.#parts.length = mark.parts;
    this.#partBytes = mark.partBytes;
    if (this.#slab === mark.slab) {
      this.#from = mark.from;
      this.#at = mark.at;
      return;
    }
    if (mark.at > mark.from) this.#push(mark.slab.subarray(mark.from, mark.at));
    this.#from = 0;
    this.#at = 0;
  }

  /** A constant line, or any short run of bytes. */
  bytes(source: Uint8Array): void {
    this.#room(source.length);
    this.#slab.set(source, this.#at);
    this.#at += source.length;
  }

  byte(value: number): void {
    this.#room(1);
    this.#slab[this.#at++] = value;
  }

  /** `source[start, end)`: a key or token of the request, copied byte by byte since it is short. */
  range(source: Uint8Array, start: number, end: number): void {
    this.#room(end - start);
    const slab = this.#slab;
    let at = this.#at;
    if (end - start > 48) {
      slab.set(source.subarray(start, end), at);
      at += end - start;
    } else for (let i = start; i < end; i++) slab[at++] = source[i]!;
    this.#at = at;
  }

  latin1(line: string): void {
    this.#room(line.length);
    this.#at += this.#slab.write(line, this.#at, "latin1");
  }

  /** A non-negative integer below 2^53 in decimal. */
  number(value: number): void {
    this.#room(16);
    let digits = 1;
    for (let bound = 10; bound <= value; bound *= 10) digits++;
    let rest = value;
    for (let i = this.#at + digits - 1; i >= this.#at; i--) {
      const next = Math.floor(rest / 10);
      this.#slab[i] = 48 + rest - next * 10;
      rest = next;
    }
    this.#at += digits;
  }

  big(value: bigint): void {
    if (value < 9_007_199_254_740_992n) this.number(Number(value));
    else this.latin1(value.toString());
  }

  /** A stored value and its line end. */
  value(value: Uint8Array): void {
    if (value.length >= PART_BYTES) {
      this.#seal();
      this.#push(value);
      this.#room(2);
    } else {
      this.#room(value.length + 2);
      this.#slab.set(value, this.#at);
      this.#at += value.length;
    }
    this.#slab[this.#at++] = 13;
    this.#slab[this.#at++] = 10;
  }

  #push(part: Uint8Array): void {
    this.#parts.push(part);
    this.#partBytes += part.length;
  }

  #seal(): void {
    if (this.#at > this.#from) this.#push(this.#slab.subarray(this.#from, this.#at));
    this.#from = this.#at;
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#slab.length) return;
    this.#seal();
    this.#slab = this.#pool.take(bytes);
    this.#from = 0;
    this.#at = 0;
  }
}
