/** A TCP connection for one question at a time, made anew after every failure. */
import { connect, type Socket } from "node:net";
import { ANSWER_DEADLINE_MS } from "./client.ts";

export class AnswerLost extends Error {}

export class LineSocket {
  readonly #port: number;
  #socket: Socket | null = null;

  constructor(port: number) {
    this.#port = port;
  }

  /**
   * @param parse of all bytes that came so far; null = more is to come
   * @throws AnswerLost when the connection ended, or nothing came in time
   */
  ask<T>(question: Buffer, parse: (came: Buffer) => T | null): Promise<T> {
    const socket = this.#socket ?? this.#open();
    return new Promise<T>((resolve, reject) => {
      let came: Buffer = Buffer.alloc(0);
      const timer = setTimeout(() => lose("no answer in time"), ANSWER_DEADLINE_MS);
      const done = (): void => {
        clearTimeout(timer);
        socket.removeListener("data", hear).removeListener("close", closed);
      };
      const lose = (why: string): void => {
        done();
        this.close();
        reject(new AnswerLost(why));
      };
      const closed = (): void => lose("the connection ended");
      const hear = (chunk: Buffer): void => {
        came = came.length === 0 ? chunk : Buffer.concat([came, chunk]);
        let answer: T | null;
        try {
          answer = parse(came);
        } catch (error) {
          done();
          this.close();
          reject(error);
          return;
        }
        if (answer === null) return;
        done();
        resolve(answer);
      };
      socket.on("data", hear).on("close", closed);
      socket.write(question);
    });
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = null;
  }

  #open(): Socket {
    const socket = connect({ port: this.#port, host: "127.0.0.1", noDelay: true });
    socket.on("error", () => {}); // 'close' follows
    socket.on("close", () => {
      if (this.#socket === socket) this.#socket = null;
    });
    this.#socket = socket;
    return socket;
  }
}
