/**
 * memcached over UDP: one datagram is one or more whole commands, each answered by one message of as many
 * datagrams as it takes. What does not end in its datagram is dropped, never joined with the next one's.
 * A command that waits for the cold tier keeps its own session, so requests may overtake one another.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { type DatagramHook, EGRESS_DROP, INGRESS } from "../hooks/datagram.ts";
import { COMMANDS } from "./commands.ts";
import type { Engine } from "./engine.ts";
import { ReplyBuffer, SlabPool } from "./reply.ts";
import { Session, type SessionHost } from "./session.ts";
import { DATAGRAM_MAX_BYTES, FRAME_BYTES, PAYLOAD_MAX_BYTES, requestId, writeFrame } from "./udp-frame.ts";

/** Requests waiting for the cold tier at a time; more are dropped, as a full socket buffer would. */
const WAITING_MAX = 1_024;
/** First byte of the binary protocol, which is not spoken here. */
export const BINARY_REQUEST = 0x80;

export class UdpServer {
  readonly #engine: Engine;
  readonly #socket: Socket;
  readonly #slabs = new SlabPool();
  readonly #idle: DatagramConversation[] = [];
  #waiting = 0;
  #frame = Buffer.alloc(DATAGRAM_MAX_BYTES);
  /** The programs on the wire side; null where none is attached. */
  hook: DatagramHook | null = null;

  constructor(engine: Engine, family: "udp4" | "udp6", reusePort = false) {
    this.#engine = engine;
    // Replies go to numeric addresses only: answering at once spares each send a trip through nextTick.
    const lookup = (address: string, _family: unknown, done: LookupDone): void =>
      done(null, address, family === "udp4" ? 4 : 6);
    this.#socket = createSocket({ type: family, lookup: lookup as never, ...(reusePort && { reusePort }) });
    this.#socket.on("message", (datagram, from) => this.#receive(datagram, from));
    // A client that is gone (ICMP port unreachable) is no fault of ours.
    this.#socket.on("error", () => undefined);
  }

  get socket(): Socket {
    return this.#socket;
  }

  bind(address: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.once("error", reject);
      this.#socket.bind({ address, port, exclusive: true }, () => {
        this.#socket.off("error", reject);
        resolve();
      });
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }

  #receive(datagram: Buffer, from: RemoteInfo): void {
    const { counters, latency } = this.#engine;
    const startNs = latency === null ? 0 : latency.start();
    counters.bytes_read += datagram.length;
    if (this.hook !== null) {
      const answer = this.hook.ingress(datagram, from);
      if (answer !== INGRESS.pass) {
        if (answer === INGRESS.drop) return;
        this.#sendAnswer(this.hook, answer, from);
        if (startNs !== 0) latency?.done("udp", "hot", startNs, 1);
        return;
      }
    }
    const id = requestId(datagram);
    if (id < 0 || datagram[FRAME_BYTES] === BINARY_REQUEST || this.#waiting >= WAITING_MAX) {
      counters.udp_dropped++;
      return;
    }
    counters.udp_requests++;
    const conversation = this.#idle.pop() ?? new DatagramConversation(this.#engine, this, this.#slabs);
    if (conversation.take(datagram, id, from)) {
      this.#idle.push(conversation);
      if (startNs !== 0) latency?.done("udp", "cold", startNs, 1);
    } else this.#waiting++;
  }

  /** A conversation that had waited is free again. */
  release(conversation: DatagramConversation): void {
    this.#waiting--;
    this.#idle.push(conversation);
  }

  /** Sends what the conversation has to say as one message. */
  send(id: number, reply: ReplyBuffer, to: RemoteInfo): void {
    const bytes = reply.length;
    if (bytes === 0) return;
    const total = Math.ceil(bytes / PAYLOAD_MAX_BYTES);
    let sequence = 0;
    let filled = FRAME_BYTES;
    for (const piece of reply.pieces()) {
      for (let at = 0; at < piece.length; ) {
        const take = Math.min(DATAGRAM_MAX_BYTES - filled, piece.length - at);
        this.#frame.set(at === 0 && take === piece.length ? piece : piece.subarray(at, at + take), filled);
        at += take;
        filled += take;
        if (filled === DATAGRAM_MAX_BYTES) {
          this.#sendFrame(id, sequence++, total, filled, to);
          filled = FRAME_BYTES;
        }
      }
    }
    if (filled > FRAME_BYTES) this.#sendFrame(id, sequence, total, filled, to);
    reply.reset(true);
  }

  /** What the XDP program left in the packet: on the way out already, tc does not see it. */
  #sendAnswer(hook: DatagramHook, length: number, to: RemoteInfo): void {
    this.#engine.counters.bytes_written += length;
    this.#socket.send(hook.reply, 0, length, to.port, to.address);
    if (this.#socket.getSendQueueCount() > 0) hook.renewReply();
  }

  #sendFrame(id: number, sequence: number, total: number, length: number, to: RemoteInfo): void {
    writeFrame(this.#frame, id, sequence, total);
    if (this.hook !== null && this.hook.egress(this.#frame, length, to) === EGRESS_DROP) return;
    this.#engine.counters.bytes_written += length;
    this.#socket.send(this.#frame, 0, length, to.port, to.address);
    // Sent at once unless the socket's buffer is full; only then somebody still holds the bytes.
    if (this.#socket.getSendQueueCount() > 0) this.#frame = Buffer.alloc(DATAGRAM_MAX_BYTES);
  }
}

type LookupDone = (error: Error | null, address: string, family: number) => void;

/** The session of the datagram under way. */
class DatagramConversation implements SessionHost {
  readonly transport = "udp";
  readonly reply: ReplyBuffer;
  readonly #server: UdpServer;
  readonly #session: Session;
  #id = 0;
  #from: RemoteInfo = { address: "", family: "IPv4", port: 0, size: 0 };

  constructor(engine: Engine, server: UdpServer, slabs: SlabPool) {
    this.reply = new ReplyBuffer(slabs);
    this.#server = server;
    this.#session = new Session(engine, this, COMMANDS);
  }

  /** @returns false while a command of it waits */
  take(datagram: Buffer, id: number, from: RemoteInfo): boolean {
    this.#id = id;
    this.#from = from;
    const { parser } = this.#session;
    parser.feed(datagram.subarray(FRAME_BYTES));
    if (parser.isWaiting) return false;
    parser.reset();
    return true;
  }

  commandDone(): void {
    this.#server.send(this.#id, this.reply, this.#from);
  }

  settled(): void {
    const { parser } = this.#session;
    if (parser.isWaiting) return;
    parser.reset();
    this.#server.release(this);
  }
}
