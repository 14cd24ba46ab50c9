/**
 * The emulated kernel's one linear memory. A program's pointer is a byte offset in it, zero-extended to
 * 64 bits. Page 0 is never handed out, so that 0 is NULL and small offsets from NULL hit nothing live.
 * Allocation only bumps: maps and buffers live as long as their kernel does. Several kernels may lie in one
 * shared memory (shared-memory.ts); then `alloc` is this CPU's own and `allocShared` is everyone's.
 */
import { LayoutMismatch, MAX_PAGES, OutOfMemory, PAGE_BYTES } from "./memory-limits.ts";
import { Directory, EVERYONE } from "./shared-memory.ts";

export { LayoutMismatch, OutOfMemory, PAGE_BYTES };

export class LinearMemory {
  readonly memory: WebAssembly.Memory;
  /** null: this kernel has the memory for itself. */
  readonly directory: Directory | null;
  readonly #owner: number;
  readonly #limitBytes: number;
  #nextFree = PAGE_BYTES;
  /** The whole memory. Read the fields anew after an alloc(): growing detaches the old buffer. */
  bytes: Uint8Array;
  view: DataView;
  /** Aligned 32-bit words, for what the machine itself keeps here. */
  words: Int32Array;

  /**
   * @param limitBytes upper bound for everything together, at most 4 GiB
   * @param shared memory of several kernels, made by createSharedMemory(), and which of them this is
   */
  constructor(
    limitBytes: number = MAX_PAGES * PAGE_BYTES,
    shared: { readonly memory: WebAssembly.Memory; readonly cpu: number } | null = null,
  ) {
    this.#limitBytes = Math.min(limitBytes, MAX_PAGES * PAGE_BYTES);
    this.memory = shared?.memory ?? new WebAssembly.Memory({ initial: 4, maximum: MAX_PAGES });
    this.#owner = shared === null ? EVERYONE : shared.cpu + 1;
    this.directory = shared && new Directory(shared.memory, this.#owner, this.#limitBytes);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
    this.words = new Int32Array(this.memory.buffer);
  }

  get isShared(): boolean {
    return this.directory !== null;
  }

  get usedBytes(): number {
    return this.#nextFree;
  }

  /** @returns address of `byteLength` zeroed bytes; `what` names them in the error. */
  alloc(byteLength: number, alignBytes: number, what: string): number {
    if (this.directory !== null) return this.#claim(this.#owner, byteLength, alignBytes, what);
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
      this.#renewViews();
    }
    this.#nextFree = end;
    return at;
  }

  /**
   * As alloc(), of what all kernels over the memory have in common: each gets the same address.
   * @param init fills the zeroed bytes, called by the first who asks only
   */
  allocShared(
    byteLength: number,
    alignBytes: number,
    what: string,
    init?: (address: number) => void,
  ): number {
    if (this.directory !== null) return this.#claim(EVERYONE, byteLength, alignBytes, what, init);
    const at = this.alloc(byteLength, alignBytes, what);
    init?.(at);
    return at;
  }

  /**
   * Address of an area another kernel laid out for itself, or 0. It may lie where the memory has grown since this
   * kernel last looked.
   */
  find(owner: number, byteLength: number, what: string): number {
    const at = this.directory?.find(owner, what) ?? 0;
    if (at !== 0) this.#reach(at + byteLength);
    return at;
  }

  #claim(
    owner: number,
    byteLength: number,
    alignBytes: number,
    what: string,
    init?: (address: number) => void,
  ): number {
    // The directory aligns to 64; a larger wish (a stack's frame) is met within a larger area.
    const slack = alignBytes > 64 ? alignBytes : 0;
    const directory = this.directory as Directory;
    const at = directory.claim(owner, byteLength + slack, what, (address) => {
      this.#reach(address + byteLength + slack);
      init?.(Math.ceil(address / alignBytes) * alignBytes);
    });
    this.#reach(at + byteLength + slack);
    return Math.ceil(at / alignBytes) * alignBytes;
  }

  /** Another kernel may have grown the memory: the views here must reach as far. */
  #reach(end: number): void {
    if (end <= this.bytes.byteLength) return;
    // Growing by nothing makes this thread see the length the others made.
    if (this.memory.buffer.byteLength < end) this.memory.grow(0);
    this.#renewViews();
  }

  #renewViews(): void {
    this.bytes = new Uint8Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
    this.words = new Int32Array(this.memory.buffer);
  }
}
