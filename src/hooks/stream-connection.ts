/**
 * One TCP connection at the hook. Bytes arrive here first. Messages the program answers are answered here;
 * from the first one that passes, the bytes go untouched to Node's HTTP server, which is given the socket
 * only then. Order is kept by a look at the last response: while a request of this connection is in
 * userspace, all that follow it go there too.
 *
 * Bytes lie in the shared read buffer until the callback returns: what outlives it is copied. Two bounds on
 * memory: an unfinished head is held only until the parser gives it up (4 KiB), and reading stops while the
 * reader of our answers does not keep up.
 */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { CROSSING_INDEX } from "../tiers/crossing.ts";
import { readIntoShared, sharedReadBuffer } from "./raw-reads.ts";
import type { ReplyBatch } from "./reply-batch.ts";
import { identify, type SocketIdentity } from "./socket-key.ts";
import { FATE, type StreamPrograms } from "./stream-programs.ts";

/** What a connection needs of the hook it belongs to. */
export type ConnectionHost = {
  readonly programs: StreamPrograms;
  readonly replies: ReplyBatch;
  readonly splitTimeoutMs: number;
  /** Index in CROSSINGS by the program's reason code. */
  readonly crossingOfReason: Uint8Array;
  /** Hands the socket to the HTTP server. */
  adopt(socket: Socket): void;
  /** The connection whose bytes the HTTP server is reading right now. */
  current: StreamConnection | null;
  /** A chunk has arrived: the clock of its answers starts. */
  chunkStarts(): void;
  /** Answers of the batch were computed; called before they are written. */
  charge(hits: number): void;
  /** Answers were handed to the kernel. */
  answered(hits: number): void;
  pinned(reason: number): void;
  faulted(): void;
  closed(connection: StreamConnection): void;
};

type DataListener = (chunk: Buffer) => void;

export class StreamConnection {
  readonly socket: Socket;
  readonly handle: number;
  readonly identity: SocketIdentity;
  readonly #host: ConnectionHost;
  /** Do bytes come in the shared buffer? Else in 'data' events, in buffers of their own. */
  readonly #shared: boolean;
  /** The latest response userspace works on for this connection: those before it are done when it is. */
  #lastResponse: ServerResponse | null = null;
  /** Why each request handed up crossed, for the ones whose 'request' event has not come yet. */
  readonly #notes: number[] = [];
  /** Bytes of a message that is not complete, or that wait for the reader. */
  #held: Buffer | null = null;
  /** How many of the held bytes userspace has already; they stay, so that the message's end can be told. */
  #released = 0;
  #timer: NodeJS.Timeout | null = null;
  /** Bytes of a request body still to come; they pass without a look. */
  #bodyLeft = 0;
  /** Userspace for life; index in CROSSINGS, or -1. */
  #pinned = -1;
  #stalled = false;
  #httpData: DataListener | null = null;
  /** For the host's sweep: bytes since the last one, any bytes ever, idle since when. */
  touched = false;
  everTouched = false;
  idleSinceMs = 0;

  readonly #onData = (chunk: Buffer): void => this.#receive(chunk, chunk.length);

  constructor(host: ConnectionHost, socket: Socket, handle: number) {
    this.#host = host;
    this.socket = socket;
    this.handle = handle;
    this.identity = identify(socket);
    this.#shared = readIntoShared(socket, (bytes) => this.#receive(sharedReadBuffer, bytes));
    if (this.#shared) socket.resume();
    else socket.on("data", this.#onData);
    socket.on("end", () => this.#end());
    socket.on("drain", () => this.#drained());
    socket.on("error", ignore);
    socket.on("close", () => {
      this.#cancelTimer();
      this.#held = null;
      host.closed(this);
    });
  }

  /** Has the HTTP server been given the socket? */
  get attached(): boolean {
    return this.#httpData !== null;
  }

  /** Nothing is under way: no request in userspace, none half here. */
  get idle(): boolean {
    return this.#held === null && this.#bodyLeft === 0 && !this.#busy();
  }

  /** The HTTP server emitted a request of this connection: why did it cross? Index in CROSSINGS. */
  takeNote(response: ServerResponse): number {
    this.#lastResponse = response;
    return this.#notes.shift() ?? (this.#pinned >= 0 ? this.#pinned : UNSUPPORTED);
  }

  /** No program any more: what is held, and all that comes, goes to userspace. */
  detach(): void {
    if (this.#pinned < 0) this.#pinned = CROSSING_INDEX.fault;
    if (this.#stalled) return; // what waits for the reader goes up once it reads
    this.#release();
    this.#held = null;
  }

  #busy(): boolean {
    if (this.#notes.length > 0) return true;
    const last = this.#lastResponse;
    if (last === null) return false;
    if (!last.writableFinished) return true;
    this.#lastResponse = null;
    return false;
  }

  #receive(chunk: Buffer, length: number): void {
    this.touched = true;
    this.everTouched = true;
    if (this.#held !== null) this.#receiveMore(chunk, length);
    else if (this.#pinned >= 0) this.#pass(chunk, 0, length, true);
    else {
      this.#host.chunkStarts();
      this.#process(chunk, length, 0);
    }
  }

  #receiveMore(chunk: Buffer, length: number): void {
    const joined = Buffer.concat([this.#held ?? EMPTY, chunk.subarray(0, length)]);
    const released = this.#released;
    this.#cancelTimer();
    this.#held = null;
    this.#released = 0;
    if (this.#stalled) this.#held = joined;
    else if (this.#pinned >= 0) this.#pass(joined, released, joined.length, false);
    else {
      this.#host.chunkStarts();
      this.#process(joined, joined.length, released);
    }
  }

  /** Takes messages off the first `end` bytes of the chunk. Its first `released` are with userspace already. */
  #process(chunk: Buffer, end: number, released: number): void {
    const host = this.#host;
    const { programs, replies } = host;
    let at = 0;
    let passFrom = released > 0 ? released : -1;
    /** Does what passes hold a body? The HTTP server keeps views of those. */
    let withBody = false;
    let hits = 0;
    if (this.#bodyLeft > 0) {
      at = Math.min(this.#bodyLeft, end);
      this.#bodyLeft -= at;
      passFrom = 0;
      withBody = true;
    }
    let mayAnswer = passFrom < 0 && !this.#busy() && !this.socket.writableEnded;
    while (at < end) {
      const length = programs.frame(chunk, at, end, this.identity);
      if (length <= 0 || programs.fault !== null) {
        if (programs.fault === null) {
          if (length === 0) break;
          this.#pin(programs.reason);
        }
        if (passFrom < 0) passFrom = at;
        withBody = true;
        at = end;
        break;
      }
      const here = end - at;
      let why = ORDERED;
      const bodyless = programs.headLength === length;
      if (mayAnswer) {
        const fate = programs.judge(Math.min(length, here), this.handle);
        if (fate !== FATE.pass && length <= here) {
          at += length;
          if (fate === FATE.drop) continue;
          hits++;
          replies.append(programs.memoryBytes, programs.packet.data, programs.packet.dataEnd);
          if (!replies.full) continue;
          const kept = this.#answer(hits);
          hits = 0;
          if (kept) continue;
          if (at < end) this.#held = Buffer.from(chunk.subarray(at, end));
          return;
        }
        mayAnswer = false;
        if (programs.fault !== null) {
          passFrom = at;
          withBody = true;
          at = end;
          break;
        }
        why = host.crossingOfReason[programs.reason] ?? UNSUPPORTED;
      }
      this.#notes.push(why);
      if (!bodyless) withBody = true;
      if (passFrom < 0) passFrom = at;
      if (length > here) {
        this.#bodyLeft = length - here;
        at = end;
      } else at += length;
    }
    if (hits > 0) this.#answer(hits);
    if (at < end) {
      this.#held = Buffer.from(chunk.subarray(at, end));
      if (passFrom < 0 && mayAnswer) {
        this.#timer = setTimeout(() => this.#splitTimeout(), host.splitTimeoutMs);
      } else {
        // It could not be answered here anyway, and userspace may have something to say to it at once.
        if (passFrom < 0) passFrom = at;
        this.#released = end - at;
        at = end;
      }
    }
    if (programs.fault !== null) host.faulted();
    if (passFrom >= 0 && passFrom < at) this.#pass(chunk, passFrom, at, withBody);
  }

  /** @returns false when the reader does not keep up; reading is paused then */
  #answer(hits: number): boolean {
    const host = this.#host;
    host.charge(hits);
    const more = this.socket.write(host.replies.take());
    host.answered(hits);
    if (!more) {
      this.#stalled = true;
      this.socket.pause();
    }
    return more;
  }

  #drained(): void {
    if (!this.#stalled) return;
    this.#stalled = false;
    const held = this.#held;
    if (held !== null && this.#timer === null && this.#released === 0) {
      this.#held = null;
      if (this.#pinned >= 0) this.#pass(held, 0, held.length, false);
      else this.#process(held, held.length, 0);
    }
    // The HTTP server may have paused the socket for reasons of its own.
    if (!this.#stalled && (this.socket as { _paused?: boolean })._paused !== true) this.socket.resume();
  }

  #splitTimeout(): void {
    this.#timer = null;
    if (this.socket.isPaused()) {
      this.#timer = setTimeout(() => this.#splitTimeout(), this.#host.splitTimeoutMs);
      return;
    }
    this.#release();
  }

  /** Userspace gets what it has not of the held bytes; they are kept for framing. */
  #release(): void {
    this.#cancelTimer();
    const held = this.#held;
    if (held === null || this.#released >= held.length) return;
    const from = this.#released;
    this.#released = held.length;
    this.#pass(held, from, held.length, false);
  }

  #end(): void {
    const wasAttached = this.attached;
    this.#release();
    if (wasAttached) return;
    if (!this.attached) {
      this.socket.end();
      return;
    }
    // Attached while 'end' was being told: the server's listener came too late to be called.
    const listeners = this.socket.listeners("end");
    listeners[listeners.length - 1]?.call(this.socket);
  }

  /** Hands bytes to the HTTP server; `copy`: it may keep views of them. */
  #pass(chunk: Buffer, from: number, to: number, copy: boolean): void {
    if (this.#httpData === null) this.#attach();
    const view = from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to);
    const host = this.#host;
    const before = host.current;
    host.current = this;
    this.#httpData?.(copy && this.#shared ? Buffer.from(view) : view);
    host.current = before;
  }

  /**
   * Node's HTTP server reads the socket's handle directly until someone else listens for 'data'. Taking its
   * own listener off and, where bytes come that way, ours on again makes it let go, and leaves us its
   * listener to call.
   */
  #attach(): void {
    const { socket } = this;
    if (!this.#shared) socket.removeListener("data", this.#onData);
    this.#host.adopt(socket);
    const listener = socket.listeners("data").at(-1) as DataListener | undefined;
    if (listener) socket.removeListener("data", listener);
    if (!this.#shared) socket.on("data", this.#onData);
    this.#httpData = listener ?? ignore;
  }

  #pin(reason: number): void {
    this.#pinned = CROSSING_INDEX.pinned;
    this.#host.pinned(reason);
  }

  #cancelTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

const ORDERED = CROSSING_INDEX.ordered;
const UNSUPPORTED = CROSSING_INDEX.unsupported;
const EMPTY = Buffer.alloc(0);

function ignore(): void {}
