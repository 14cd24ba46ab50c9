/** One connection that asks and answers in turn, over HTTP or memcached's text protocol. */
import net from "node:net";

export class TurnClient {
  readonly #socket: net.Socket;
  #buffer = Buffer.alloc(0);
  #wake = () => {};
  closed = false;

  constructor(port: number) {
    this.#socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
    this.#socket.on("data", (chunk) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#wake();
    });
    const end = () => {
      this.closed = true;
      this.#wake();
    };
    this.#socket.on("error", end).on("close", end);
  }

  /** @param ends how many bytes the answer has, once that can be told */
  async ask(bytes: string, ends: (text: string) => number): Promise<string> {
    this.#socket.write(bytes, "latin1");
    for (;;) {
      const text = this.#buffer.toString("latin1");
      const length = ends(text);
      if (length > 0 && text.length >= length) {
        this.#buffer = this.#buffer.subarray(length);
        return text.slice(0, length);
      }
      if (this.closed) throw new Error("the connection was closed");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async http(request: string): Promise<{ status: number; body: string; hot: boolean }> {
    const text = await this.ask(request, (answer) => {
      const end = answer.indexOf("\r\n\r\n");
      return end < 0 ? 0 : end + 4 + Number(/content-length: (\d+)/i.exec(answer.slice(0, end))?.[1] ?? 0);
    });
    const [head = "", body = ""] = text.split("\r\n\r\n", 2);
    return { status: Number(head.slice(9, 12)), body, hot: /cache-status: bmc-hot; hit/i.test(head) };
  }

  get(key: string) {
    return this.http(`GET /kv/${key} HTTP/1.1\r\nHost: t\r\n\r\n`);
  }

  put(key: string, value: string) {
    return this.http(`PUT /kv/${key} HTTP/1.1\r\nHost: t\r\nContent-Length: ${value.length}\r\n\r\n${value}`);
  }

  line(command: string): Promise<string> {
    return this.ask(command, (text) => text.indexOf("\r\n") + (text.includes("\r\n") ? 2 : 0));
  }

  block(command: string): Promise<string> {
    return this.ask(command, (text) => (text.endsWith("END\r\n") ? text.length : 0));
  }

  /** Bytes that came and belong to no answer yet. */
  get rest(): string {
    return this.#buffer.toString("latin1");
  }

  close(): void {
    this.#socket.destroy();
  }
}
