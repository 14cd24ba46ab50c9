/** Questions and answers over a message port, both ways: what supervisor and worker have to say to each other. */
import type { MessagePort } from "node:worker_threads";

type Message =
  | { readonly ask: string; readonly id: number; readonly argument: unknown }
  | { readonly answer: number; readonly value: unknown }
  | { readonly answer: number; readonly error: string };

type Handlers = Readonly<Record<string, (argument: never) => unknown>>;

export class Calls {
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #nextId = 1;

  constructor(port: MessagePort, handlers: Handlers) {
    this.#port = port;
    port.on("message", (message: Message) => {
      if ("ask" in message) void this.#answer(message, handlers[message.ask]);
      else {
        const asked = this.#waiting.get(message.answer);
        this.#waiting.delete(message.answer);
        if ("error" in message) asked?.reject(new Error(message.error));
        else asked?.resolve(message.value);
      }
    });
  }

  ask<T>(ask: string, argument: unknown = null): Promise<T> {
    const id = this.#nextId++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#port.postMessage({ ask, id, argument } satisfies Message);
    });
  }

  /** The other side has gone: it answers nothing any more. */
  close(): void {
    this.#port.close();
    for (const { reject } of this.#waiting.values()) reject(new Error("the thread has ended"));
    this.#waiting.clear();
  }

  async #answer({ id, argument }: { id: number; argument: unknown }, handle: Handlers[string] | undefined) {
    let message: Message;
    try {
      message = { answer: id, value: await handle?.(argument as never) };
    } catch (error) {
      message = { answer: id, error: error instanceof Error ? error.message : String(error) };
    }
    this.#port.postMessage(message);
  }
}
