/**
 * One TCP connection at the hook. Bytes arrive here first. Messages the program answers are answered here;
 * from the first one that passes, the bytes go untouched to Node's HTTP server, which is given the socket
 * only then. Order is kept by a count: while a request of this connection is in userspace, all that
 * follow it go there too.
 *
 * Two bounds on memory: an unfinished head is held only until the parser gives it up (4 KiB), and reading
 * stops while the reader of our answers does not keep up.
 */
import type { Socket } from "node:net";
import { CROSSING_INDEX, type Crossing } from "../tiers/crossing.ts";
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
  /** Requests handed to userspace and not yet answered. */
  #outstanding = 0;
  /** Why each of those crossed, for the ones whose 'request' event has not come yet. */
  readonly #notes: number[] = [];
  /** Bytes of a message that is not complete, or that wait for the reader. */
  #held: Buffer | null = null;
  /** How many of the held bytes userspace has already. */
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

  readonly #onData = (chunk: Buffer): void => this.#receive(chunk);

  constructor(host: ConnectionHost, socket: Socket, handle: number) {
    this.#host = host;
    this.socket = socket;
    this.handle = handle;
    this.identity = identify(socket);
    socket.on("data", this.#onData);
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

  get idle(): boolean {
    return this.#outstanding === 0 && this.#held === null && this.#bodyLeft === 0;
  }

  /** The HTTP server emitted a request of this connection: why did it cross? Index in CROSSINGS. */
  takeNote(): number {
    return this.#notes.shift() ?? (this.#pinned >= 0 ? this.#pinned : UNSUPPORTED);
  }

  /** A request of this connection has been answered, or has died. */
  requestDone(): void {
    this.#outstanding--;
  }

  /** No program any more: what is held, and all that comes, goes to userspace. */
  detach(): void {
    if (this.#pinned < 0) this.#pinned = CROSSING_INDEX.fault;
    this.#release();
    this.#held = null;
  }

  #receive(chunk: Buffer): void {
    this.touched = true;
    this.everTouched = true;
    if (this.#pinned >= 0) {
      this.#pass(chunk);
      return;
    }
    const host = this.#host;
    host.chunkStarts();
    host.programs.date?.refresh();
    if (this.#held === null) {
      this.#process(chunk, 0);
      return;
    }
    this.#cancelTimer();
    const joined = Buffer.concat([this.#held, chunk]);
    const released = this.#released;
    this.#held = null;
    this.#released = 0;
    this.#process(joined, released);
  }

  /** Takes messages off the chunk until it ends. Its first `released` bytes are with userspace already. */
  #process(chunk: Buffer, released: number): void {
    const host = this.#host;
    const { programs, replies, crossingOfReason } = host;
    const end = chunk.length;
    let at = 0;
    let passFrom = released > 0 ? released : -1;
    let hits = 0;
    if (this.#bodyLeft > 0) {
      at = Math.min(this.#bodyLeft, end);
      this.#bodyLeft -= at;
      passFrom = 0;
    }
    while (at < end) {
      const length = programs.frame(chunk, at, this.identity);
      if (length <= 0 || programs.fault !== null) {
        if (programs.fault === null) {
          if (length === 0) break;
          this.#pin(programs.reason);
        }
        if (passFrom < 0) passFrom = at;
        at = end;
        break;
      }
      const here = end - at;
      let why = ORDERED;
      if (passFrom < 0 && this.#outstanding === 0 && !this.socket.writableEnded) {
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
          this.#stall(chunk, at);
          return;
        }
        if (programs.fault !== null) {
          if (passFrom < 0) passFrom = at;
          at = end;
          break;
        }
        why = crossingOfReason[programs.reason] ?? UNSUPPORTED;
      }
      this.#outstanding++;
      this.#notes.push(why);
      if (passFrom < 0) passFrom = at;
      if (length > here) {
        this.#bodyLeft = length - here;
        at = end;
      } else at += length;
    }
    if (hits > 0) this.#answer(hits);
    if (at < end) this.#hold(chunk, at, released);
    if (programs.fault !== null) host.faulted();
    if (passFrom >= 0 && passFrom < at) this.#pass(slice(chunk, passFrom, at));
  }

  /** @returns false when the reader does not keep up; reading is paused then */
  #answer(hits: number): boolean {
    this.#host.charge(hits);
    const more = this.socket.write(this.#host.replies.take());
    this.#host.answered(hits);
    if (!more) {
      this.#stalled = true;
      this.socket.pause();
    }
    return more;
  }

  #stall(chunk: Buffer, at: number): void {
    if (at < chunk.length) this.#held = chunk.subarray(at);
  }

  #drained(): void {
    if (!this.#stalled) return;
    this.#stalled = false;
    const held = this.#held;
    if (held !== null && this.#timer === null && this.#released === 0) {
      this.#held = null;
      if (this.#pinned >= 0) this.#pass(held);
      else this.#process(held, 0);
    }
    // The HTTP server may have paused the socket for reasons of its own.
    if (!this.#stalled && (this.socket as { _paused?: boolean })._paused !== true) this.socket.resume();
  }

  /** Keeps the start of an unfinished message. What of it userspace has (`released`) stays known. */
  #hold(chunk: Buffer, at: number, released: number): void {
    if (at === 0 && released > 0) {
      // Given up waiting for this head before: its new bytes go up at once.
      this.#held = chunk;
      this.#released = chunk.length;
      this.#pass(chunk.subarray(released));
      return;
    }
    this.#held = at === 0 ? chunk : chunk.subarray(at);
    this.#released = 0;
    this.#timer = setTimeout(() => this.#splitTimeout(), this.#host.splitTimeoutMs);
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
    const fresh = held.subarray(this.#released);
    this.#released = held.length;
    this.#pass(fresh);
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

  #pass(bytes: Buffer): void {
    if (this.#httpData === null) this.#attach();
    const host = this.#host;
    const before = host.current;
    host.current = this;
    this.#httpData?.(bytes);
    host.current = before;
  }

  /**
   * Node's HTTP server reads the socket's handle directly until someone else listens for 'data'. Taking its
   * own listener off and ours on again makes it let go, and leaves us its listener to call.
   */
  #attach(): void {
    const { socket } = this;
    socket.removeListener("data", this.#onData);
    this.#host.adopt(socket);
    const listener = socket.listeners("data").at(-1) as DataListener | undefined;
    if (listener) socket.removeListener("data", listener);
    socket.on("data", this.#onData);
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

const ORDERED = CROSSING_INDEX["ordered" satisfies Crossing];
const UNSUPPORTED = CROSSING_INDEX["unsupported" satisfies Crossing];

function slice(chunk: Buffer, from: number, to: number): Buffer {
  return from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to);
}

function ignore(): void {}
