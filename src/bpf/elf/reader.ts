/**
 * Bounds-checked reading of a file nobody vouches for. Every offset, size and count is checked against
 * the bytes that are there before it is used; what does not fit throws Malformed, which parseObject turns
 * into its error value. Work is bounded too: see Budget.
 */

/** Says in one sentence what is wrong with the file. Never leaves src/bpf/elf. */
export class Malformed extends Error {}

/**
 * A small file may ask for much work by pointing many times at the same bytes. Whatever can be multiplied
 * so (strings, functions copied into programs) draws on one budget in bytes.
 */
export class Budget {
  #left: number;
  constructor(bytes: number) {
    this.#left = bytes;
  }
  spend(bytes: number, on: string): void {
    this.#left -= bytes;
    if (this.#left < 0) throw new Malformed(`the file makes more of ${on} than a real object would`);
  }
}

export class Reader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;

  /** @param what names these bytes in errors: "section .BTF" */
  constructor(bytes: Uint8Array, what: string) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  get length(): number {
    return this.bytes.length;
  }

  u8(at: number): number {
    this.#check(at, 1);
    return this.#view.getUint8(at);
  }

  u16(at: number): number {
    this.#check(at, 2);
    return this.#view.getUint16(at, true);
  }

  u32(at: number): number {
    this.#check(at, 4);
    return this.#view.getUint32(at, true);
  }

  i32(at: number): number {
    return this.u32(at) | 0;
  }

  /** A u64 that counts bytes. One beyond 2^53 cannot be true of any file. */
  u64(at: number): number {
    const value = this.u32(at + 4) * 2 ** 32 + this.u32(at);
    if (!Number.isSafeInteger(value)) {
      throw new Malformed(`${this.#what} has the impossible size or offset ${value} at byte ${at}`);
    }
    return value;
  }

  /** A view of part of the bytes, not a copy. */
  part(at: number, length: number, what: string): Reader {
    if (at < 0 || length < 0 || at + length > this.length) {
      throw new Malformed(
        `${what} should be ${length} bytes at ${at}, but ${this.#what} has ${this.length} bytes`,
      );
    }
    return new Reader(this.bytes.subarray(at, at + length), what);
  }

  #check(at: number, length: number): void {
    if (at < 0 || at + length > this.length) {
      throw new Malformed(`${this.#what} ends at byte ${this.length}, but byte ${at + length - 1} is needed`);
    }
  }
}

/** NUL-terminated strings, named by their byte offset. */
export class StringTable {
  readonly #reader: Reader;
  readonly #what: string;
  readonly #budget: Budget;
  readonly #cache = new Map<number, string>();
  readonly #decoder = new TextDecoder();

  constructor(reader: Reader, what: string, budget: Budget) {
    this.#reader = reader;
    this.#what = what;
    this.#budget = budget;
  }

  at(offset: number): string {
    const known = this.#cache.get(offset);
    if (known !== undefined) return known;
    if (offset < 0 || offset >= this.#reader.length) {
      throw new Malformed(
        `string offset ${offset} lies outside ${this.#what}, which has ${this.#reader.length} bytes`,
      );
    }
    const end = this.#reader.bytes.indexOf(0, offset);
    if (end < 0) throw new Malformed(`the string at ${offset} of ${this.#what} has no end`);
    this.#budget.spend(end - offset + 1, "its strings");
    // Names and C lines end up on terminals: no control character passes.
    const raw = this.#decoder.decode(this.#reader.bytes.subarray(offset, end));
    const text = raw.replace(/\t/g, " ").replace(/\p{Cc}/gu, "?");
    this.#cache.set(offset, text);
    return text;
  }
}
