/** Asks the worker. One that takes too long is ended, and the next question starts a fresh one. */
import type { Reply, Request } from "./protocol.ts";

/** The shipped programs take about a second; a program at the instruction limit several. */
const TIME_LIMIT_MS = 20_000;

type Waiting = { readonly resolve: (reply: Reply) => void; readonly timer: ReturnType<typeof setTimeout> };

export class VerifierClient {
  #worker: Worker | null = null;
  #nextId = 0;
  readonly #waiting = new Map<number, Waiting>();

  ask(request: Request): Promise<Reply> {
    this.#worker ??= this.#start();
    const id = ++this.#nextId;
    const asked = new Promise<Reply>((resolve) => {
      const timer = setTimeout(
        () => this.#fail(`stopped after ${TIME_LIMIT_MS / 1000} seconds: too much to walk in a page`),
        TIME_LIMIT_MS,
      );
      this.#waiting.set(id, { resolve, timer });
    });
    this.#worker.postMessage({ id, request });
    return asked;
  }

  close(): void {
    this.#fail("the page was left");
  }

  #start(): Worker {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = (event: MessageEvent<{ id: number; reply: Reply }>) => {
      const { id, reply } = event.data;
      const waiting = this.#waiting.get(id);
      if (!waiting) return;
      clearTimeout(waiting.timer);
      this.#waiting.delete(id);
      waiting.resolve(reply);
    };
    worker.onerror = (event) => this.#fail(event.message || "the worker could not be started");
    return worker;
  }

  #fail(message: string): void {
    this.#worker?.terminate();
    this.#worker = null;
    for (const { resolve, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      resolve({ kind: "failed", message, errors: [] });
    }
    this.#waiting.clear();
  }
}
