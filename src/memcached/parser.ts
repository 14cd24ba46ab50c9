/**
 * Cuts a byte stream into command lines and data blocks, at any split of the input. It knows lengths, not
 * commands: its sink reads the line and says what follows it. One command at a time: while the sink waits
 * for a promise, later bytes are held back, so replies keep their order. Memory is bounded: a line under
 * way, the part of a data block that really came, and the chunks fed while waiting (the caller stops
 * reading then).
 */
import type { MaybePromise } from "../tiers/cold/store.ts";

export interface CommandSink {
  /** A line without its end. It may call expectBlock, swallow or close before it returns. */
  line(bytes: Buffer, start: number, end: number): MaybePromise<void>;
  /** The data block a line asked for; `intact` = it was followed by \r\n. */
  block(value: Uint8Array, intact: boolean): MaybePromise<void>;
  /** The bytes a line wanted thrown away are gone. */
  swallowed(): void;
  /** A line too long to wait for its end; the stream is over. */
  lineTooLong(): void;
  /** Work that had waited for a promise has come to a stop again: its replies can be sent. */
  settled(): void;
}

/** memcached waits this long for a line's end, except in a get with many keys. */
const LINE_MAX_BYTES = 2_048;
/** memcached grows without bound for a get; this is ~ 4,000 keys of the longest kind. */
const GET_LINE_MAX_BYTES = 1_048_576;
/** A block's first reservation: a lying length costs no more than this until bytes come. */
const BLOCK_START_BYTES = 16_384;

/** Then the other connections have theirs, as with memcached's -R. */
const COMMANDS_A_TURN = 64;

type Mode = "line" | "block" | "swallow" | "closed";

export class CommandParser {
  readonly #sink: CommandSink;
  #mode: Mode = "line";
  /** Stopped by pause() or by a promise under way. */
  #paused = false;
  #waiting = false;
  /** Bytes not looked at yet, after a stop. */
  #rest: Buffer | null = null;
  #partial: Buffer = Buffer.alloc(0);
  #partialLength = 0;
  #block: Uint8Array | null = null;
  #blockFilled = 0;
  /** Bytes of the block with its line end, or bytes still to swallow. */
  #wanted = 0;

  constructor(sink: CommandSink) {
    this.#sink = sink;
  }

  get isClosed(): boolean {
    return this.#mode === "closed";
  }

  /** Between commands: nothing under way, nothing waiting. */
  get isIdle(): boolean {
    return this.#mode === "line" && !this.#waiting && this.#partialLength === 0 && this.#rest === null;
  }

  get isPaused(): boolean {
    return this.#paused;
  }

  get isWaiting(): boolean {
    return this.#waiting;
  }

  /** True while a sink's call left a block or swallow to come: the command is not over. */
  get expectsMore(): boolean {
    return this.#mode === "block" || this.#mode === "swallow";
  }

  /** Bytes held for later. */
  get heldBytes(): number {
    return this.#partial.length + (this.#block?.length ?? 0) + (this.#rest?.length ?? 0);
  }

  expectBlock(bytes: number): void {
    this.#mode = "block";
    this.#wanted = bytes + 2;
    this.#blockFilled = 0;
  }

  /** The data block of a command that was refused: `bytes` of it and its line end. */
  swallow(bytes: number): void {
    this.#mode = "swallow";
    this.#wanted = bytes + 2;
  }

  close(): void {
    this.#mode = "closed";
    this.#rest = null;
    this.#block = null;
    this.#partial = Buffer.alloc(0);
    this.#partialLength = 0;
  }

  /** Forgets a command under way (a datagram ends where it ends). */
  reset(): void {
    this.close();
    this.#mode = "line";
    this.#paused = false;
  }

  pause(): void {
    this.#paused = true;
  }

  /** Goes on after pause(). */
  resume(): void {
    this.#paused = false;
    if (!this.#waiting) this.#goOn();
  }

  feed(chunk: Buffer): void {
    if (this.#rest !== null || this.#waiting || this.#paused) {
      if (this.#mode === "closed") return;
      this.#rest = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
      return;
    }
    this.#run(chunk);
  }

  #goOn(): void {
    const rest = this.#rest;
    if (rest === null) return;
    this.#rest = null;
    this.#run(rest);
  }

  #run(chunk: Buffer): void {
    let at = 0;
    const end = chunk.length;
    for (let commands = 1; at < end; commands++) {
      if (commands % COMMANDS_A_TURN === 0 && !this.#waiting) this.#after(nextTurn());
      if (this.#waiting || this.#paused) {
        this.#rest = chunk.subarray(at);
        return;
      }
      if (this.#mode === "line") at = this.#takeLine(chunk, at);
      else if (this.#mode === "block") at = this.#takeBlock(chunk, at);
      else if (this.#mode === "swallow") at = this.#takeSwallow(chunk, at);
      else return;
    }
  }

  #takeLine(chunk: Buffer, at: number): number {
    const newline = chunk.indexOf(10, at);
    if (newline < 0) {
      this.#keepPartial(chunk, at);
      return chunk.length;
    }
    if (this.#partialLength === 0) {
      const lineEnd = newline > at && chunk[newline - 1] === 13 ? newline - 1 : newline;
      this.#after(this.#sink.line(chunk, at, lineEnd));
      return newline + 1;
    }
    this.#appendPartial(chunk, at, newline);
    const length = this.#partialLength;
    const line = this.#partial;
    this.#partialLength = 0;
    const lineEnd = length > 0 && line[length - 1] === 13 ? length - 1 : length;
    this.#after(this.#sink.line(line, 0, lineEnd));
    // A long get's buffer is not kept for the connection's life.
    if (line.length > 2 * LINE_MAX_BYTES) this.#partial = Buffer.alloc(0);
    return newline + 1;
  }

  #keepPartial(chunk: Buffer, at: number): void {
    const length = this.#partialLength + chunk.length - at;
    const isTooLong = length > GET_LINE_MAX_BYTES;
    if (!isTooLong) this.#appendPartial(chunk, at, chunk.length);
    if (isTooLong || (length > LINE_MAX_BYTES && !isLongGet(this.#partial, length))) this.#tooLong();
  }

  #appendPartial(chunk: Buffer, start: number, end: number): void {
    const length = this.#partialLength + end - start;
    if (this.#partial.length < length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(256, 2 * this.#partial.length, length));
      this.#partial.copy(grown, 0, 0, this.#partialLength);
      this.#partial = grown;
    }
    chunk.copy(this.#partial, this.#partialLength, start, end);
    this.#partialLength = length;
  }

  #tooLong(): void {
    this.close();
    this.#sink.lineTooLong();
  }

  #takeBlock(chunk: Buffer, at: number): number {
    const available = chunk.length - at;
    const length = this.#wanted - 2;
    if (this.#blockFilled === 0 && available >= this.#wanted) {
      const value = new Uint8Array(length);
      value.set(chunk.subarray(at, at + length));
      const end = at + this.#wanted;
      this.#blockDone(value, chunk[end - 2] === 13 && chunk[end - 1] === 10);
      return end;
    }
    const take = Math.min(available, this.#wanted - this.#blockFilled);
    let block = this.#block;
    if (block === null || block.length < this.#blockFilled + take) {
      const size = Math.max(BLOCK_START_BYTES, 2 * (block?.length ?? 0), this.#blockFilled + take);
      const grown = new Uint8Array(Math.min(size, this.#wanted));
      if (block) grown.set(block.subarray(0, this.#blockFilled));
      block = grown;
      this.#block = block;
    }
    block.set(chunk.subarray(at, at + take), this.#blockFilled);
    this.#blockFilled += take;
    if (this.#blockFilled === this.#wanted) {
      this.#block = null;
      const intact = block[length] === 13 && block[length + 1] === 10;
      // A view keeps two bytes more than the value: cheaper than copying a megabyte once again.
      this.#blockDone(length < 1_024 ? block.slice(0, length) : block.subarray(0, length), intact);
    }
    return at + take;
  }

  #blockDone(value: Uint8Array, intact: boolean): void {
    this.#mode = "line";
    this.#blockFilled = 0;
    this.#after(this.#sink.block(value, intact));
  }

  #takeSwallow(chunk: Buffer, at: number): number {
    const take = Math.min(chunk.length - at, this.#wanted);
    this.#wanted -= take;
    if (this.#wanted === 0) {
      this.#mode = "line";
      this.#sink.swallowed();
    }
    return at + take;
  }

  #after(done: MaybePromise<void>): void {
    if (!(done instanceof Promise)) return;
    this.#waiting = true;
    const goOn = (): void => {
      this.#waiting = false;
      if (!this.#paused && this.#mode !== "closed") this.#goOn();
      this.#sink.settled();
    };
    done.then(goOn, goOn);
  }
}

/** When the sockets that are ready by then have been read. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** memcached lets only these lines grow: a get or gets that begins within the first 100 bytes. */
function isLongGet(bytes: Buffer, length: number): boolean {
  let at = 0;
  while (at < length && bytes[at] === 32) at++;
  if (at > 100) return false;
  const head = bytes.toString("latin1", at, at + 5);
  return head.startsWith("get ") || head === "gets ";
}
