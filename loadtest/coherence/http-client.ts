/** GET, PUT and DELETE on /kv over one kept-alive connection. */
import type { Client, Heard, Request } from "./client.ts";
import { AnswerLost, LineSocket } from "./line-socket.ts";
import type { Answer } from "./model.ts";
import { namesIn } from "./values.ts";

type Response = { readonly status: number; readonly body: string };

/** The request line's method, and what a status says of the operation. */
const SAYS = {
  read: { method: "GET", answers: { 404: null } },
  set: { method: "PUT", answers: { 201: { wrote: "created" }, 204: { wrote: "exists" } } },
  delete: { method: "DELETE", answers: { 204: { wrote: "deleted" }, 404: { wrote: "not-found" } } },
} as const satisfies Readonly<Record<string, { method: string; answers: Readonly<Record<number, Answer>> }>>;

export class HttpClient implements Client {
  readonly protocol = "http";
  readonly says = new Set(["read", "set", "delete"] as const);
  readonly #socket: LineSocket;

  constructor(port: number) {
    this.#socket = new LineSocket(port);
  }

  async ask({ key, operation, body, ttlSeconds }: Request): Promise<Heard> {
    const { method, answers } = SAYS[operation.kind as keyof typeof SAYS];
    const query = ttlSeconds > 0 ? `?ttl=${ttlSeconds}` : "";
    const length = method === "PUT" ? `Content-Length: ${body.length}\r\n` : "";
    const head = `${method} /kv/${key}${query} HTTP/1.1\r\nHost: test\r\n${length}\r\n`;
    let response: Response;
    try {
      response = await this.#socket.ask(Buffer.from(head + body, "latin1"), responseIn);
    } catch (error) {
      if (error instanceof AnswerLost) return { outcome: "lost", why: error.message };
      throw error;
    }
    const { status } = response;
    if (operation.kind === "read" && status === 200) {
      return { outcome: "answered", answer: namesIn(response.body) };
    }
    const answer = (answers as Readonly<Record<number, Answer>>)[status];
    if (answer !== undefined) return { outcome: "answered", answer };
    const why = `${status} ${response.body.slice(0, 200)}`;
    // It may have been carried out.
    if (status >= 500) return { outcome: "lost", why };
    throw new Error(`${method} ${key} was answered ${why}`);
  }

  close(): void {
    this.#socket.close();
  }
}

/** The first response of a stream, once it is whole. */
function responseIn(came: Buffer): Response | null {
  const end = came.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const head = came.toString("latin1", 0, end);
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
  const from = end + 4;
  if (came.length < from + length) return null;
  return { status: Number(head.slice(9, 12)), body: came.toString("latin1", from, from + length) };
}
