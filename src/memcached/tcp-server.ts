/**
 * memcached over TCP. Commands that arrived together are answered in one write; a client that does not
 * read is not read from: past a high-water mark of unsent replies its commands wait, unparsed, in the
 * chunk they came in.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { SegmentFlow, SegmentHook } from "../hooks/segment.ts";
import type { Upper } from "../hooks/stream-connection.ts";
import type { StreamHook } from "../hooks/stream-hook.ts";
import { COMMANDS } from "./commands.ts";
import type { Engine } from "./engine.ts";
import { ReplyBuffer, SlabPool, text } from "./reply.ts";
import { Session, type SessionHost } from "./session.ts";
import { BINARY_REQUEST } from "./udp-server.ts";

/** Unsent reply bytes at which parsing stops until the socket has drained. */
const HIGH_WATER_BYTES = 1_048_576;
/** Input kept for a connection whose command waits for the cold tier. */
const HELD_MAX_BYTES = 65_536;
const TOO_MANY = text("ERROR Too many open connections\r\n");

export type TcpLimits = {
  readonly maxConnections: number;
  /** A connection silent for so long is closed; 0 = never, as memcached. */
  readonly idleTimeoutMs: number;
};

export class TcpServer {
  readonly server: Server;
  readonly #engine: Engine;
  readonly #limits: TcpLimits;
  readonly #slabs = new SlabPool();
  readonly #connections = new Set<Connection>();
  /** Programs that watch segments on the wire; null where none is attached. */
  hook: SegmentHook | null = null;
  /** Programs at the socket, which see a connection's bytes first; null where none is attached. */
  stream: StreamHook | null = null;

  constructor(engine: Engine, limits: TcpLimits) {
    this.#engine = engine;
    this.#limits = limits;
    this.server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => this.accept(socket));
  }

  listen(host: string, port: number, reusePort = false): Promise<void> {
    return new Promise((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen({ host, port, ...(reusePort && { reusePort }) }, () => {
        this.server.off("error", reject);
        resolve();
      });
    });
  }

  close(): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }

  accept(socket: Socket): void {
    const { counters } = this.#engine;
    if (this.#connections.size >= this.#limits.maxConnections) {
      counters.rejected_connections++;
      socket.on("error", () => undefined);
      socket.end(TOO_MANY);
      return;
    }
    counters.total_connections++;
    counters.curr_connections++;
    const connection = new Connection(this.#engine, this, this.#slabs, socket);
    this.#connections.add(connection);
    if (this.#limits.idleTimeoutMs > 0) {
      socket.setTimeout(this.#limits.idleTimeoutMs, () => socket.destroy());
    }
    socket.once("close", () => {
      counters.curr_connections--;
      this.#connections.delete(connection);
    });
  }
}

class Connection implements SessionHost, Upper {
  readonly transport = "tcp";
  /** Commands that wait keep their line, and what came behind it. */
  readonly keepsViews = true;
  readonly reply: ReplyBuffer;
  readonly #engine: Engine;
  readonly #flow: SegmentFlow | null;
  readonly #socket: Socket;
  readonly #session: Session;
  #isFirstByte = true;
  #draining = false;
  #inputEnded = false;
  /** Do the programs at the socket read it? */
  readonly #isHooked: boolean;
  /** Of the commands under way, if they are timed; and how many are done. */
  #startNs = 0;
  #done = 0;

  constructor(engine: Engine, server: TcpServer, slabs: SlabPool, socket: Socket) {
    this.#engine = engine;
    this.reply = new ReplyBuffer(slabs);
    this.#socket = socket;
    const { remoteAddress = "", remotePort = 0, localAddress = "", localPort = 0 } = socket;
    this.#flow = server.hook?.open({ remoteAddress, remotePort, localAddress, localPort }) ?? null;
    this.#session = new Session(engine, this, COMMANDS);
    socket.on("drain", () => this.#drained());
    // A client that vanishes ends in "close"; there is nobody left to tell.
    socket.on("error", () => undefined);
    socket.once("close", () => this.#flow?.close());
    const { stream } = server;
    this.#isHooked = stream?.attached === true;
    if (this.#isHooked) stream?.connect(socket, () => this);
    else {
      socket.on("data", (chunk: Buffer) => this.receive(chunk));
      socket.on("end", () => this.end(() => undefined));
    }
  }

  get busy(): boolean {
    const { parser } = this.#session;
    return !parser.isIdle || parser.isPaused || parser.isClosed;
  }

  /** Its commands wait, for the client to read or for the cold tier. */
  get paused(): boolean {
    return this.#draining || this.#session.parser.heldBytes >= HELD_MAX_BYTES;
  }

  crossed(why: number): void {
    this.#engine.onCrossed?.(why);
  }

  /** What came before the client's FIN is still answered. */
  end(release: () => void): void {
    release();
    this.#inputEnded = true;
    this.#flush();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  commandDone(): void {
    this.#done++;
    if (this.reply.length >= HIGH_WATER_BYTES) this.#session.parser.pause();
  }

  settled(): void {
    this.#flush();
    this.#measure();
  }

  receive(chunk: Buffer): void {
    const { counters, latency } = this.#engine;
    if (latency !== null && this.#startNs === 0) this.#startNs = latency.start();
    if (!this.#isHooked) counters.bytes_read += chunk.length;
    // A segment a program does not let through is never sent again here: the stream has a hole.
    if (this.#flow !== null && !this.#flow.ingress(chunk)) {
      this.destroy();
      return;
    }
    if (this.#isFirstByte) {
      this.#isFirstByte = false;
      // A binary-protocol client would wait for an answer for ever.
      if (chunk[0] === BINARY_REQUEST && this.#socket.bytesWritten === 0) {
        this.destroy();
        return;
      }
    }
    this.#session.parser.feed(chunk);
    this.#flush();
    this.#measure();
  }

  #measure(): void {
    if (this.#session.parser.isWaiting) return;
    if (this.#startNs !== 0 && this.#done > 0) {
      this.#engine.latency?.done("tcp", "cold", this.#startNs, this.#done);
    }
    this.#startNs = 0;
    this.#done = 0;
  }

  #drained(): void {
    if (!this.#draining) return;
    this.#draining = false;
    this.#session.parser.resume();
    this.#flush();
  }

  /** Sends what there is, and goes on with commands held back if the socket took it. */
  #flush(): void {
    const { parser } = this.#session;
    const socket = this.#socket;
    for (;;) {
      this.#write();
      if (parser.isClosed) {
        this.#end();
        return;
      }
      if (socket.writableLength >= HIGH_WATER_BYTES) {
        this.#draining = true;
        parser.pause();
        socket.pause();
        return;
      }
      if (!parser.isPaused) break;
      parser.resume();
    }
    if (parser.isWaiting) {
      if (parser.heldBytes >= HELD_MAX_BYTES) socket.pause();
    } else if (this.#inputEnded) socket.end();
    else if (socket.isPaused()) socket.resume();
  }

  #end(): void {
    this.#socket.end();
    // Whatever still comes is not read: a client that never stops sending must not hold the socket.
    this.#socket.resume();
    this.#socket.destroySoon();
  }

  #write(): void {
    const { reply } = this;
    const bytes = reply.length;
    if (bytes === 0) return;
    if (this.#socket.destroyed) {
      reply.reset(true);
      return;
    }
    const socket = this.#socket;
    this.#engine.counters.bytes_written += bytes;
    const single = reply.single();
    if (single !== null) {
      if (this.#flow !== null && !this.#flow.egress(single)) socket.destroy();
      socket.write(single);
    } else {
      socket.cork();
      for (const piece of reply.pieces()) {
        if (this.#flow !== null && !this.#flow.egress(piece)) socket.destroy();
        socket.write(piece);
      }
      socket.uncork();
    }
    // A write that went out at once leaves nothing behind, and the slab serves others.
    reply.reset(socket.writableLength === 0);
  }
}
