/** A TCP proxy that a test can make a bad network of: stalled one way or both, slow, or cut. */
import { once } from "node:events";
import net, { type AddressInfo, type Socket } from "node:net";

export type Direction = "up" | "down";

type Pipe = {
  readonly from: Socket;
  readonly to: Socket;
  readonly direction: Direction;
  /** On their way, in order: a chunk never overtakes an earlier one, also when the delay ends. */
  readonly late: { readonly chunk: Buffer; readonly atMs: number }[];
  held: Buffer[];
};

export class TcpProxy {
  readonly port: number;
  /** Each chunk comes so much later. */
  delayMs = 0;
  readonly #server: net.Server;
  readonly #pipes = new Set<Pipe>();
  readonly #stalled = new Set<Direction>();
  #isCut = false;

  private constructor(server: net.Server, targetPort: number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (client) => {
      if (this.#isCut) return void client.destroy();
      const upstream = net.connect({ port: targetPort, host: "127.0.0.1", noDelay: true });
      client.setNoDelay(true);
      this.#pipe(client, upstream, "up");
      this.#pipe(upstream, client, "down");
    });
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const server = net.createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new TcpProxy(server, targetPort);
  }

  /** What is sent that way is kept back, up to resume(): nobody is told. */
  stall(...directions: readonly Direction[]): void {
    for (const direction of directions) this.#stalled.add(direction);
  }

  /** Connections break, new ones are refused. */
  cut(): void {
    this.#isCut = true;
    for (const { from } of this.#pipes) from.destroy();
  }

  resume(): void {
    this.#isCut = false;
    this.#stalled.clear();
    for (const pipe of this.#pipes) {
      for (const chunk of pipe.held) pipe.to.write(chunk);
      pipe.held = [];
    }
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #pipe(from: Socket, to: Socket, direction: Direction): void {
    const pipe: Pipe = { from, to, direction, late: [], held: [] };
    this.#pipes.add(pipe);
    from.on("data", (chunk) => {
      pipe.late.push({ chunk, atMs: performance.now() + this.delayMs });
      if (pipe.late.length === 1) this.#deliver(pipe);
    });
    from.on("error", () => {});
    from.on("close", () => {
      this.#pipes.delete(pipe);
      to.destroy();
    });
  }

  #deliver(pipe: Pipe): void {
    for (let first = pipe.late[0]; first !== undefined; first = pipe.late[0]) {
      const restMs = first.atMs - performance.now();
      if (restMs > 0) {
        setTimeout(() => this.#deliver(pipe), restMs);
        return;
      }
      this.#pass(pipe, first.chunk);
      pipe.late.shift();
    }
  }

  #pass(pipe: Pipe, chunk: Buffer): void {
    if (this.#stalled.has(pipe.direction)) pipe.held.push(chunk);
    else if (pipe.to.writable) pipe.to.write(chunk);
  }
}
