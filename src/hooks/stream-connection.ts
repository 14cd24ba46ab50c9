/**
 * One TCP connection at the hook. Bytes arrive here first. Messages the program answers are answered here;
 * the bytes of the others go untouched to the server above. Order is kept by asking it: while it works on
 * something of this connection, all that follows goes there too.
 *
 * Bytes lie in the shared read buffer until the callback returns: what outlives it is copied. Two bounds on
 * memory: an unfinished head is held only until the parser gives it up (4 KiB), and reading stops while the
 * reader of our answers does not keep up.
 */
import type { Socket } from "node:net";
import { CROSSING_INDEX } from "../tiers/crossing.ts";
import type { Backlog, Waiting } from "./backlog.ts";
import { readIntoShared, sharedReadBuffer } from "./raw-reads.ts";
import type { ReplyBatch } from "./reply-batch.ts";
import { identify, type SocketIdentity } from "./socket-key.ts";
import { FATE, type StreamPrograms } from "./stream-programs.ts";

/** What a connection needs of the hook it belongs to. */
export type ConnectionHost = {
  readonly programs: StreamPrograms;
  readonly replies: ReplyBatch;
  readonly backlog: Backlog;
  readonly splitTimeoutMs: number;
  /** Index in CROSSINGS by the program's reason code. */
  readonly crossingOfReason: Uint8Array;
  /** Bytes arrived. */
  received(bytes: number): void;
  /** A chunk has arrived: the clock of its answers starts. */
  chunkStarts(): void;
  /** Answers of the batch were computed; called before they are written. */
  charge(hits: number): void;
  /** Answers were handed to the kernel. */
  answered(hits: number): void;
  pinned(reason: number): void;
  /** Instructions executed since this was asked last; and some of them again, for who asks next. */
  takeInstructions(): number;
  returnInstructions(instructions: number): void;
  /** What a look-up that missed is told when too many wait. */
  readonly refusal: Buffer;
  /** A look-up was refused here. */
  refused(): void;
  faulted(): void;
  closed(connection: StreamConnection): void;
};

/** The server above the hook, as one of its connections. */
export interface Upper {
  /** It works on something of this connection: an answer from the hook would overtake its own. */
  readonly busy: boolean;
  /** It does not want to read now, for reasons of its own. */
  readonly paused: boolean;
  /** May it keep views of bytes beyond the call? Of bodies it always may. */
  readonly keepsViews: boolean;
  /** A message is handed up; `why` is an index in CROSSINGS. */
  crossed(why: number): void;
  /** Bytes that passed. */
  receive(bytes: Buffer): void;
  /** The client has sent its last byte; `release` hands up what is held. */
  end(release: () => void): void;
}

export class StreamConnection implements Waiting {
  readonly socket: Socket;
  readonly handle: number;
  readonly identity: SocketIdentity;
  readonly #host: ConnectionHost;
  /** Do bytes come in the shared buffer? Else in 'data' events, in buffers of their own. */
  readonly #shared: boolean;
  readonly #upper: Upper;
  /** Bytes of a message that is not complete, or that wait for the reader. */
  #held: Buffer | null = null;
  /** How many of the held bytes userspace has already; they stay, so that the message's end can be told. */
  #released = 0;
  #timer: NodeJS.Timeout | null = null;
  /** Bytes of a request body still to come; they pass without a look. */
  #bodyLeft = 0;
  /** Pieces that have passed and wait for userspace's turn; null: none do. */
  #deferred: Buffer[] | null = null;
  #deferredBytes = 0;
  /** What the programs executed on them. */
  #deferredInstructions = 0;
  /** The client has sent its last byte. */
  #ended = false;
  /** Userspace for life; index in CROSSINGS, or -1. */
  #pinned = -1;
  #stalled = false;
  /** For the host's sweep: bytes since the last one, any bytes ever, idle since when. */
  touched = false;
  everTouched = false;
  idleSinceMs = 0;

  readonly #onData = (chunk: Buffer): void => this.#receive(chunk, chunk.length);

  constructor(
    host: ConnectionHost,
    socket: Socket,
    handle: number,
    upper: (connection: StreamConnection) => Upper,
  ) {
    this.#host = host;
    this.socket = socket;
    this.handle = handle;
    this.identity = identify(socket);
    this.#shared = readIntoShared(socket, (bytes) => this.#receive(sharedReadBuffer, bytes));
    if (this.#shared) socket.resume();
    else socket.on("data", this.#onData);
    this.#upper = upper(this);
    socket.on("end", () => this.#upper.end(() => this.#end()));
    socket.on("drain", () => this.#drained());
    socket.on("error", ignore);
    socket.on("close", () => {
      this.#cancelTimer();
      this.#held = null;
      this.#deferred = null;
      host.closed(this);
    });
  }

  /** Nothing is under way: no request in userspace, none half here. */
  get idle(): boolean {
    return this.#held === null && this.#bodyLeft === 0 && !this.#isBusy;
  }

  /** Is userspace at work on something of this connection, or about to be? */
  get #isBusy(): boolean {
    return this.#deferred !== null || this.#upper.busy;
  }

  /** Why all of it goes to userspace for life, as an index in CROSSINGS; -1: it does not. */
  get pinned(): number {
    return this.#pinned;
  }

  /** Runs `listen`, which puts a 'data' listener on the socket, as if none of ours were there. */
  aside(listen: () => void): void {
    const { socket } = this;
    if (!this.#shared) socket.removeListener("data", this.#onData);
    listen();
    if (!this.#shared) socket.on("data", this.#onData);
  }

  /** No program any more: what is held, and all that comes, goes to userspace. */
  detach(): void {
    if (this.#pinned < 0) this.#pinned = CROSSING_INDEX.fault;
    // The server above may be about to close connections it believes idle.
    this.cross();
    if (this.#stalled) return; // what waits for the reader goes up once it reads
    this.#release();
    this.#held = null;
  }

  #receive(chunk: Buffer, length: number): void {
    this.touched = true;
    this.everTouched = true;
    this.#host.received(length);
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
    /** May the server keep views of what passes? */
    let isKept = this.#upper.keepsViews;
    let hits = 0;
    if (this.#bodyLeft > 0) {
      at = Math.min(this.#bodyLeft, end);
      this.#bodyLeft -= at;
      passFrom = 0;
      isKept = true;
    }
    let mayAnswer = passFrom < 0 && !this.#isBusy && !this.socket.writableEnded;
    while (at < end) {
      const length = programs.frame(chunk, at, end, this.identity);
      if (length <= 0 || programs.fault !== null) {
        if (programs.fault === null) {
          if (length === 0) break;
          this.#pin(programs.reason);
        }
        if (passFrom < 0) passFrom = at;
        isKept = true;
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
          if (!this.#answer(hits)) {
            this.#hold(chunk, at, end);
            return;
          }
          hits = 0;
          continue;
        }
        if (bodyless && length <= here && this.#mayRefuse()) {
          at += length;
          if (!this.#refuse(hits)) {
            this.#hold(chunk, at, end);
            return;
          }
          hits = 0;
          continue;
        }
        mayAnswer = false;
        if (programs.fault !== null) {
          passFrom = at;
          isKept = true;
          at = end;
          break;
        }
        why = host.crossingOfReason[programs.reason] ?? UNSUPPORTED;
      } else programs.watch(Math.min(length, here));
      this.#upper.crossed(why);
      if (!bodyless) isKept = true;
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
    if (passFrom >= 0 && passFrom < at) this.#pass(chunk, passFrom, at, isKept);
  }

  /** Do more wait for userspace than may, and is this a request it would only look up? */
  #mayRefuse(): boolean {
    const { backlog, programs, crossingOfReason } = this.#host;
    return programs.fault === null && MISSED.has(crossingOfReason[programs.reason]) && backlog.refuses();
  }

  /** Refuses a look-up, behind the answers there are. @returns as #answer */
  #refuse(hits: number): boolean {
    if (hits > 0) this.#answer(hits);
    this.#host.refused();
    return this.#write(this.#host.refusal);
  }

  /** The rest waits for the reader. */
  #hold(chunk: Buffer, at: number, end: number): void {
    if (at < end) this.#held = Buffer.from(chunk.subarray(at, end));
  }

  /** @returns false when the reader does not keep up; reading is paused then */
  #answer(hits: number): boolean {
    const host = this.#host;
    host.charge(hits);
    const kept = this.#write(host.replies.take());
    host.answered(hits);
    return kept;
  }

  #write(bytes: Buffer): boolean {
    const more = this.socket.write(bytes);
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
    if (!this.#stalled && !this.#upper.paused) this.socket.resume();
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

  /** Nothing more will come, so nothing waits: the server above is to know it all before it hears of the end. */
  #end(): void {
    this.#ended = true;
    this.cross();
    this.#release();
  }

  /** Hands bytes up, now or at userspace's next turn; `copy`: views of them may be kept. */
  #pass(chunk: Buffer, from: number, to: number, copy: boolean): void {
    const view = from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to);
    if (this.#deferred !== null || !(this.#ended || this.#host.backlog.admits())) this.#defer(view);
    else this.#upper.receive(copy && this.#shared ? Buffer.from(view) : view);
  }

  #defer(view: Buffer): void {
    const piece = this.#shared ? Buffer.from(view) : view;
    const { backlog } = this.#host;
    if (this.#deferred === null) {
      this.#deferred = [];
      this.#deferredBytes = 0;
      backlog.wait(this);
    }
    this.#deferred.push(piece);
    this.#deferredBytes += piece.length;
    this.#deferredInstructions += this.#host.takeInstructions();
    if (this.#deferredBytes >= DEFERRED_MAX_BYTES) this.socket.pause();
  }

  cross(): void {
    const pieces = this.#deferred;
    if (pieces === null) return;
    this.#host.returnInstructions(this.#deferredInstructions);
    this.#deferredInstructions = 0;
    // Bytes that come meanwhile get in behind.
    for (let piece = pieces.shift(); piece !== undefined; piece = pieces.shift()) this.#upper.receive(piece);
    this.#deferred = null;
    if (this.#deferredBytes >= DEFERRED_MAX_BYTES && !this.#stalled && !this.#upper.paused)
      this.socket.resume();
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

/** A connection that waits with more than this is not read on. */
const DEFERRED_MAX_BYTES = 64 * 1024;
/** Why plain look-ups cross: the program understood all of the request, and had no answer. */
const MISSED: ReadonlySet<number | undefined> = new Set(
  (["miss", "collision", "expired", "invalidated"] as const).map((why) => CROSSING_INDEX[why]),
);
const ORDERED = CROSSING_INDEX.ordered;
const UNSUPPORTED = CROSSING_INDEX.unsupported;
const EMPTY = Buffer.alloc(0);

function ignore(): void {}
