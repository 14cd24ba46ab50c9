/**
 * Node's HTTP server above the hook. It is given a connection's socket only when the first message passes,
 * and then reads what is put into its 'data' listener. While the last response it works on is not finished,
 * it is busy: those before that one are done when it is.
 */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { CROSSING_INDEX } from "../tiers/crossing.ts";
import type { StreamConnection, Upper } from "./stream-connection.ts";

export type HttpHost = {
  /** Hands the socket to the HTTP server. */
  adopt(socket: Socket): void;
  /** Whose bytes the HTTP server is reading right now. */
  current: HttpUpper | null;
};

type DataListener = (chunk: Buffer) => void;

export class HttpUpper implements Upper {
  /** Heads are parsed at once. */
  readonly keepsViews = false;
  readonly #host: HttpHost;
  readonly #connection: StreamConnection;
  #lastResponse: ServerResponse | null = null;
  /** Why each request handed up crossed, for the ones whose 'request' event has not come yet. */
  readonly #notes: number[] = [];
  #httpData: DataListener | null = null;

  constructor(host: HttpHost, connection: StreamConnection) {
    this.#host = host;
    this.#connection = connection;
  }

  /** Has the HTTP server been given the socket? */
  get attached(): boolean {
    return this.#httpData !== null;
  }

  get busy(): boolean {
    if (this.#notes.length > 0) return true;
    const last = this.#lastResponse;
    if (last === null) return false;
    if (!last.writableFinished) return true;
    this.#lastResponse = null;
    return false;
  }

  get paused(): boolean {
    return (this.#connection.socket as { _paused?: boolean })._paused === true;
  }

  crossed(why: number): void {
    this.#notes.push(why);
  }

  /** The HTTP server emitted a request of this connection: why did it cross? Index in CROSSINGS. */
  takeNote(response: ServerResponse): number {
    this.#lastResponse = response;
    const { pinned } = this.#connection;
    return this.#notes.shift() ?? (pinned >= 0 ? pinned : CROSSING_INDEX.unsupported);
  }

  receive(bytes: Buffer): void {
    if (this.#httpData === null) this.#attach();
    const host = this.#host;
    const before = host.current;
    host.current = this;
    this.#httpData?.(bytes);
    host.current = before;
  }

  end(release: () => void): void {
    const { socket } = this.#connection;
    const wasAttached = this.attached;
    release();
    if (wasAttached) return;
    if (!this.attached) {
      socket.end();
      return;
    }
    // Attached while 'end' was being told: the server's listener came too late to be called.
    const listeners = socket.listeners("end");
    listeners[listeners.length - 1]?.call(socket);
  }

  /**
   * Node's HTTP server reads the socket's handle directly until someone else listens for 'data'. Taking its
   * own listener off and, where bytes come that way, ours on again makes it let go, and leaves us its
   * listener to call.
   */
  #attach(): void {
    const { socket } = this.#connection;
    this.#connection.aside(() => {
      this.#host.adopt(socket);
      const listener = socket.listeners("data").at(-1) as DataListener | undefined;
      if (listener) socket.removeListener("data", listener);
      this.#httpData = listener ?? ignore;
    });
  }
}

function ignore(): void {}
