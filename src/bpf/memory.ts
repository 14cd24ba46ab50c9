/**
 * The emulated kernel's one linear memory. A program's pointer is a byte offset in it, zero-extended to
 * 64 bits. Page 0 is never handed out, so that 0 is NULL and small offsets from NULL hit nothing live.
 * Allocation only bumps: maps and buffers live as long as their kernel does.
 */
export const PAGE_BYTES = 65_536;
/** WebAssembly's 32-bit address space, in pages. */
const MAX_PAGES = 65_536;

/** Thrown when the linear memory cannot hold what was asked for. */
export class OutOfMemory extends Error {
  readonly code = "OUT_OF_MEMORY";
}

export class LinearMemory {
  readonly memory: WebAssembly.Memory;
  readonly #limitBytes: number;
  #nextFree = PAGE_BYTES;
  /** The whole memory. Read the fields anew after an alloc(): growing detaches the old buffer. */
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView<ArrayBuffer>;
  /** Aligned 32-bit words, for what the machine itself keeps here. */
  words: Int32Array<ArrayBuffer>;

  /** @param limitBytes upper bound for everything together, at most 4 GiB */
  constructor(limitBytes: number = MAX_PAGES * PAGE_BYTES) {
    this.#limitBytes = Math.min(limitBytes, MAX_PAGES * PAGE_BYTES);
    this.memory = new WebAssembly.Memory({ initial: 4, maximum: MAX_PAGES });
    this.bytes = new Uint8Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
    this.words = new Int32Array(this.memory.buffer);
  }

  get usedBytes(): number {
    return this.#nextFree;
  }

  /** @returns address of `byteLength` zeroed bytes; `what` names them in the error. */
  alloc(byteLength: number, alignBytes: number, what: string): number {
    const at = Math.ceil(this.#nextFree / alignBytes) * alignBytes;
    const end = at + byteLength;
    if (end > this.#limitBytes) {
      throw new OutOfMemory(
        `${what} needs ${byteLength} bytes, but the machine's memory holds ${this.#limitBytes} and ${this.#nextFree} are in use. Lower max_entries or the value size.`,
      );
    }
    const missing = Math.ceil((end - this.memory.buffer.byteLength) / PAGE_BYTES);
    if (missing > 0) {
      try {
        this.memory.grow(missing);
      } catch (cause) {
        throw new OutOfMemory(`${what} needs ${byteLength} bytes, but this process could not get them.`, {
          cause,
        });
      }
    }
    if (missing > 0) {
      this.bytes = new Uint8Array(this.memory.buffer);
      this.view = new DataView(this.memory.buffer);
      this.words = new Int32Array(this.memory.buffer);
    }
    this.#nextFree = end;
    return at;
  }
}
