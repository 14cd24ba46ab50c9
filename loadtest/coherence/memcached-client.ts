/** memcached's text protocol over one TCP connection, or over one UDP socket. */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import type { Client, Heard, Request } from "./client.ts";
import { AnswerLost, LineSocket } from "./line-socket.ts";
import { answerIn, command, MEMCACHED_SAYS } from "./memcached-text.ts";

const FRAME_BYTES = 8;
/** The programs answer no meta command: too many of them, and little would be answered hot. */
const META_EVERY = { read: 16, write: 3 } as const;

/** A datagram may be dropped for good; loopback answers within a fraction of this. */
const UDP_DEADLINE_MS = 1_000;

export class MemcachedTcpClient implements Client {
  readonly protocol = "tcp";
  readonly says = MEMCACHED_SAYS;
  readonly #socket: LineSocket;
  #asked = 0;

  constructor(port: number) {
    this.#socket = new LineSocket(port);
  }

  async ask(request: Request): Promise<Heard> {
    const question = Buffer.from(command(request, isMeta(request, this.#asked++)), "latin1");
    try {
      return await this.#socket.ask(question, (came) => answerIn(came, request));
    } catch (error) {
      if (error instanceof AnswerLost) return { outcome: "lost", why: error.message };
      throw error;
    }
  }

  close(): void {
    this.#socket.close();
  }
}

export class MemcachedUdpClient implements Client {
  readonly protocol = "udp";
  readonly says = MEMCACHED_SAYS;
  readonly #port: number;
  readonly #socket: DatagramSocket;
  #hear: ((datagram: Buffer) => void) | null = null;
  #asked = 0;

  constructor(port: number) {
    this.#port = port;
    this.#socket = createSocket("udp4");
    this.#socket.on("message", (datagram) => this.#hear?.(datagram));
    this.#socket.on("error", () => {}); // a port that is closed: the answer is lost
  }

  ask(request: Request): Promise<Heard> {
    const id = this.#asked++ & 0xffff;
    const frame = Buffer.from([id >> 8, id & 255, 0, 0, 0, 1, 0, 0]);
    const text = Buffer.from(command(request, isMeta(request, id)), "latin1");
    return new Promise<Heard>((resolve, reject) => {
      const parts: Buffer[] = [];
      const done = (): void => {
        clearTimeout(timer);
        this.#hear = null;
      };
      const timer = setTimeout(() => {
        done();
        resolve({ outcome: "lost", why: "no datagram came" });
      }, UDP_DEADLINE_MS);
      this.#hear = (datagram) => {
        if (datagram.readUInt16BE(0) !== id) return; // an answer that was given up
        parts[datagram.readUInt16BE(2)] = datagram.subarray(FRAME_BYTES);
        for (let i = 0; i < datagram.readUInt16BE(4); i++) if (parts[i] === undefined) return;
        try {
          const heard = answerIn(Buffer.concat(parts), request);
          if (heard === null) throw new Error("a UDP answer ends too early");
          done();
          resolve(heard);
        } catch (error) {
          done();
          reject(error);
        }
      };
      this.#socket.send([frame, text], this.#port, "127.0.0.1");
    });
  }

  close(): void {
    this.#socket.close();
  }
}

function isMeta({ operation }: Request, count: number): boolean {
  return count % META_EVERY[operation.kind === "read" ? "read" : "write"] === 0;
}
