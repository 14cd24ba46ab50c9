/**
 * The sk_skb hook on a listening HTTP server: it takes the server's place at the 'connection' event and
 * sees every byte of every connection first. Detaching (wanted, or after a fault of the program) gives the
 * server its connections back; it cannot tell the difference. The listening socket, its options and its
 * closing stay the server's own, so with and without a program the same server runs.
 */
import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Fault } from "../bpf/fault.ts";
import type { RequestSampler } from "../metrics/request-sampler.ts";
import { CROSSING_INDEX } from "../tiers/crossing.ts";
import { REASON_NAMES, RUN_REASONS } from "../tiers/hot/run-info.ts";
import type { Meter } from "./meter.ts";
import { ReplyBatch } from "./reply-batch.ts";
import { type ConnectionHost, StreamConnection } from "./stream-connection.ts";
import type { StreamPrograms } from "./stream-programs.ts";

export type TcpStreamOptions = {
  readonly programs: StreamPrograms;
  readonly meter: Meter;
  /** Monotonic clock in nanoseconds; fractions welcome. */
  readonly nowNs: () => number;
  readonly splitTimeoutMs: number;
  readonly sampler: RequestSampler;
  readonly onFault: (fault: Fault) => void;
};

/** Why the request at hand crossed, and what the hook spent on it. */
export type CrossingNote = { why: number; hookRuns: number; instructions: number };

type Listener = (socket: Socket) => void;

/** Look-ups and helper calls of one hit and of one pass of the pair (http_kv.h): the JIT inlines look-ups. */
const HIT_FACTS = { arrayLookups: 7, helperCalls: 2, locks: 1 } as const;
/** The reply's head, and the instructions of one turn of the value's copy loop: copied bytes are priced whole. */
const REPLY_HEAD_BYTES = 195;
const COPY_INSTRUCTIONS_PER_BYTE = 20 / 8;

const TIMED_A_SECOND = 1_000;
const SAMPLE = 8;

export class TcpStreamHook implements ConnectionHost {
  readonly programs: StreamPrograms;
  readonly replies = new ReplyBatch();
  readonly splitTimeoutMs: number;
  readonly crossingOfReason: Uint8Array;
  current: StreamConnection | null = null;
  /** Connections given up to userspace, by the parser's reason. */
  readonly pinnedByReason = new Float64Array(REASON_NAMES.length);
  /** Time from a chunk's arrival until its answers lay ready, of the chunks that were timed. */
  timedNs = 0;
  timedMessages = 0;
  /** Faults that ended the program's service: 0 or 1. */
  faults = 0;
  readonly #options: TcpStreamOptions;
  readonly #connections = new Set<StreamConnection>();
  readonly #note: CrossingNote = { why: 0, hookRuns: 0, instructions: 0 };
  #server: Server | null = null;
  #serverListener: Listener | null = null;
  #attached = false;
  #sweeper: NodeJS.Timeout | null = null;
  #nextHandle = 1;
  #chunkStartNs = 0;
  /** In this second. */
  #chunks = 0;
  #instructionsBefore = 0;

  readonly #onConnection: Listener = (socket) => {
    const connection = new StreamConnection(this, socket, this.#nextHandle++);
    connection.idleSinceMs = Date.now();
    this.programs.addSocket(connection.identity, connection.handle);
    this.#connections.add(connection);
  };

  constructor(options: TcpStreamOptions) {
    this.#options = options;
    this.programs = options.programs;
    this.splitTimeoutMs = options.splitTimeoutMs;
    this.crossingOfReason = new Uint8Array(256).fill(CROSSING_INDEX.unsupported);
    for (const row of RUN_REASONS) {
      if ("crossing" in row) this.crossingOfReason[row.code] = CROSSING_INDEX[row.crossing];
    }
  }

  get attached(): boolean {
    return this.#attached;
  }

  get connections(): number {
    return this.#connections.size;
  }

  *sockets(): Iterable<Socket> {
    for (const { socket } of this.#connections) yield socket;
  }

  /** Call once, before the server listens. */
  attach(server: Server, timeoutCheckMs: number): void {
    this.#server = server;
    const [listener] = server.listeners("connection") as Listener[];
    if (listener === undefined) throw new Error("the server has no 'connection' listener to stand before");
    this.#serverListener = listener;
    server.removeListener("connection", listener);
    server.on("connection", this.#onConnection);
    this.#attached = true;
    this.#sweeper = setInterval(() => this.#sweep(), timeoutCheckMs).unref();
  }

  /** New connections go straight to the server; those here pass everything on. */
  detach(): void {
    const server = this.#server;
    const listener = this.#serverListener;
    if (server === null || listener === null || !this.#attached) return;
    this.#attached = false;
    server.removeListener("connection", this.#onConnection);
    server.on("connection", listener);
    for (const connection of this.#connections) connection.detach();
  }

  /** Takes the server's place again for new connections, unless the program was detached for a fault. */
  resume(): void {
    const server = this.#server;
    const listener = this.#serverListener;
    if (server === null || listener === null || this.#attached || this.faults > 0) return;
    server.removeListener("connection", listener);
    server.on("connection", this.#onConnection);
    this.#attached = true;
  }

  /** Ends connections that no request is under way on and the server was never given. */
  closeIdle(): void {
    for (const connection of this.#connections) {
      if (connection.idle && !connection.attached) connection.socket.end();
    }
  }

  destroyAll(): void {
    for (const connection of this.#connections) connection.socket.destroy();
  }

  stop(): void {
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
  }

  /**
   * The server emitted 'request': why did it cross? To be asked once, synchronously; from then on the
   * connection waits for the response.
   */
  takeNote(response: ServerResponse): CrossingNote {
    const note = this.#note;
    const connection = this.current;
    note.hookRuns = 0;
    note.instructions = 0;
    if (connection === null) {
      note.why = this.faults > 0 ? CROSSING_INDEX.fault : CROSSING_INDEX["no-program"];
      return note;
    }
    note.why = connection.takeNote(response);
    if (note.why !== CROSSING_INDEX.pinned) {
      note.hookRuns = 1;
      note.instructions = this.#lastInstructions();
    }
    return note;
  }

  adopt(socket: Socket): void {
    this.#serverListener?.call(this.#server, socket);
  }

  charge(hits: number): void {
    const { meter, nowNs } = this.#options;
    if (this.#chunkStartNs !== 0) {
      this.timedNs += nowNs() - this.#chunkStartNs;
      this.timedMessages += hits;
    }
    const { hot } = meter;
    hot.hookRuns = 1;
    const valueBytes = Math.max(0, this.replies.length - hits * REPLY_HEAD_BYTES);
    const instructions = this.#lastInstructions() - valueBytes * COPY_INSTRUCTIONS_PER_BYTE;
    hot.instructions = Math.max(0, instructions) / hits;
    hot.arrayLookups = HIT_FACTS.arrayLookups;
    hot.helperCalls = HIT_FACTS.helperCalls;
    hot.locks = HIT_FACTS.locks;
    hot.ebpfBytes = this.replies.length / hits;
    meter.chargeHot(hits);
    if (meter.injects) meter.injector.pay();
  }

  answered(hits: number): void {
    if (this.#chunkStartNs === 0) return;
    const { meter, nowNs, sampler } = this.#options;
    const now = nowNs();
    const observedNs = now - this.#chunkStartNs;
    meter.stats.observed.hot.observeMany(observedNs, hits);
    if (now >= sampler.dueNs.hot) {
      const { profile, hot: facts } = meter;
      const key = this.programs.lastKey();
      sampler.take({
        method: "GET",
        key,
        status: 200,
        tier: "hot",
        crossed: null,
        observedNs,
        facts,
        profile,
      });
    }
  }

  /** Two looks at the clock cost a tenth of a hot answer: above TIMED_A_SECOND chunks one in SAMPLE is timed. */
  chunkStarts(): void {
    const { date } = this.programs;
    if (date.refresh()) this.#chunks = 0;
    const timed = ++this.#chunks <= TIMED_A_SECOND || this.#chunks % SAMPLE === 0;
    this.#chunkStartNs = timed ? this.#options.nowNs() : 0;
  }

  pinned(reason: number): void {
    this.pinnedByReason[reason < REASON_NAMES.length ? reason : 0]!++;
  }

  faulted(): void {
    const fault = this.programs.fault;
    if (fault === null || this.faults > 0) return;
    this.faults = 1;
    this.detach();
    this.#options.onFault(fault);
  }

  closed(connection: StreamConnection): void {
    this.programs.removeSocket(connection.identity);
    this.#connections.delete(connection);
  }

  #lastInstructions(): number {
    const now = this.programs.instructions;
    const spent = now - this.#instructionsBefore;
    this.#instructionsBefore = now;
    return spent;
  }

  /**
   * Connections the HTTP server was never given are not under its timeouts: here they get the same. One
   * that never sent a byte gets the server's own answer to a slow head; one that fell idle is closed.
   */
  #sweep(): void {
    const server = this.#server;
    if (server === null) return;
    const now = Date.now();
    for (const connection of this.#connections) {
      if (connection.attached) continue;
      if (connection.touched || !connection.idle) {
        connection.touched = false;
        connection.idleSinceMs = now;
        continue;
      }
      const idleMs = now - connection.idleSinceMs;
      if (connection.everTouched) {
        if (server.keepAliveTimeout > 0 && idleMs >= server.keepAliveTimeout) connection.socket.destroy();
      } else if (server.headersTimeout > 0 && idleMs >= server.headersTimeout) {
        const error = Object.assign(new Error("Request timeout"), { code: "ERR_HTTP_REQUEST_TIMEOUT" });
        if (!server.emit("clientError", error, connection.socket)) connection.socket.destroy();
      }
    }
  }
}
