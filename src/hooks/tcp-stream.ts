/**
 * The sk_skb hook on a listening HTTP server: it takes the server's place at the 'connection' event and
 * sees every byte of every connection first. Detaching (wanted, or after a fault of the program) gives the
 * server its connections back; it cannot tell the difference. The listening socket, its options and its
 * closing stay the server's own, so with and without a program the same server runs.
 */
import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { CROSSING_INDEX } from "../tiers/crossing.ts";
import { type HttpHost, HttpUpper } from "./http-upper.ts";
import type { StreamConnection } from "./stream-connection.ts";
import { type HitFacts, StreamHook, type StreamHookOptions } from "./stream-hook.ts";

export type TcpStreamOptions = Omit<StreamHookOptions, "hitFacts">;

/** Why the request at hand crossed, and what the hook spent on it. */
export type CrossingNote = { why: number; hookRuns: number; instructions: number };

type Listener = (socket: Socket) => void;

/** Of one hit and of one pass of the pair (http_kv.h). */
const HIT_FACTS: HitFacts = {
  arrayLookups: 7,
  helperCalls: 2,
  locks: 1,
  replyHeadBytes: 195,
  copyInstructionsPerByte: 20 / 8,
};

export class TcpStreamHook extends StreamHook implements HttpHost {
  current: HttpUpper | null = null;
  readonly #uppers = new WeakMap<StreamConnection, HttpUpper>();
  readonly #note: CrossingNote = { why: 0, hookRuns: 0, instructions: 0 };
  #server: Server | null = null;
  #serverListener: Listener | null = null;
  #sweeper: NodeJS.Timeout | null = null;

  readonly #onConnection: Listener = (socket) => {
    this.connect(socket, (connection) => {
      const upper = new HttpUpper(this, connection);
      this.#uppers.set(connection, upper);
      return upper;
    });
  };

  constructor(options: TcpStreamOptions) {
    super({ ...options, hitFacts: HIT_FACTS });
    this.isAttached = false;
  }

  /** Call once, before the server listens. */
  attach(server: Server, timeoutCheckMs: number): void {
    this.#server = server;
    const [listener] = server.listeners("connection") as Listener[];
    if (listener === undefined) throw new Error("the server has no 'connection' listener to stand before");
    this.#serverListener = listener;
    server.removeListener("connection", listener);
    server.on("connection", this.#onConnection);
    this.isAttached = true;
    this.#sweeper = setInterval(() => this.#sweep(), timeoutCheckMs).unref();
  }

  /** New connections go straight to the server; those here pass everything on. */
  override detach(): void {
    const server = this.#server;
    const listener = this.#serverListener;
    if (server === null || listener === null || !this.isAttached) return;
    server.removeListener("connection", this.#onConnection);
    server.on("connection", listener);
    super.detach();
  }

  /** Takes the server's place again for new connections, unless the program was detached for a fault. */
  resume(): void {
    const server = this.#server;
    const listener = this.#serverListener;
    if (server === null || listener === null || this.isAttached || this.programs.fault !== null) return;
    server.removeListener("connection", listener);
    server.on("connection", this.#onConnection);
    this.isAttached = true;
  }

  /** Ends connections that no request is under way on and the server was never given. */
  closeIdle(): void {
    for (const connection of this.open) {
      if (connection.idle && !this.#isAdopted(connection)) connection.socket.end();
    }
  }

  destroyAll(): void {
    for (const connection of this.open) connection.socket.destroy();
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
    const upper = this.current;
    note.hookRuns = 0;
    note.instructions = 0;
    if (upper === null) {
      note.why = this.programs.fault !== null ? CROSSING_INDEX.fault : CROSSING_INDEX["no-program"];
      return note;
    }
    note.why = upper.takeNote(response);
    if (note.why !== CROSSING_INDEX.pinned) {
      note.hookRuns = 1;
      note.instructions = this.takeInstructions();
    }
    return note;
  }

  adopt(socket: Socket): void {
    this.#serverListener?.call(this.#server, socket);
  }

  #isAdopted(connection: StreamConnection): boolean {
    return this.#uppers.get(connection)?.attached === true;
  }

  /**
   * Connections the HTTP server was never given are not under its timeouts: here they get the same. One
   * that never sent a byte gets the server's own answer to a slow head; one that fell idle is closed.
   */
  #sweep(): void {
    const server = this.#server;
    if (server === null) return;
    const now = performance.now();
    for (const connection of this.open) {
      if (this.#isAdopted(connection)) continue;
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
