/**
 * One in-memory store for several threads. The owner's thread holds the items; other threads ask over message
 * ports. A change is a read, the decision where the request came in, and a compare-and-set on the item's cas
 * number: the loser of a race is told what is there now and decides anew. All that one turn of the event loop
 * asks for goes in one message, and so do its answers.
 */
import type { MessagePort } from "node:worker_threads";
import {
  type Change,
  type ColdStore,
  type Item,
  ItemTooLarge,
  type Key,
  type MaybePromise,
  type NewItem,
  type StoreStats,
  StoreUnavailable,
} from "./store.ts";

type Request =
  | { readonly id: number; readonly op: "get"; readonly key: Key }
  | {
      readonly id: number;
      readonly op: "set";
      readonly key: Key;
      /** null: no item must be there. */
      readonly expected: bigint | null;
      readonly next: NewItem | "delete";
    }
  | { readonly id: number; readonly op: "clear" };

type Answer =
  | { readonly id: number; readonly is: "item"; readonly item: Item | null }
  | { readonly id: number; readonly is: "done"; readonly cas: bigint }
  | { readonly id: number; readonly is: "conflict"; readonly item: Item | null }
  | { readonly id: number; readonly is: "error"; readonly tooLarge: boolean; readonly message: string };

const STATS = ["items", "bytes", "evictions", "expirations"] as const;
/** Made by whoever starts owner and askers: where the owner writes what stats() answers. */
export const sharedStats = (): Float64Array => new Float64Array(new SharedArrayBuffer(8 * STATS.length));

/** The owner's side: serves any number of ports from one store. Synchronous, so every change is atomic. */
export class StoreOwner {
  readonly #store: ColdStore;
  readonly #stats: Float64Array;

  /** @param store answers at once, as MemoryStore does */
  constructor(store: ColdStore, stats: Float64Array) {
    this.#store = store;
    this.#stats = stats;
  }

  /** Closing the port ends it: what came before has been done, what comes after is not heard. */
  serve(port: MessagePort): void {
    port.on("message", (batch: readonly Request[]) => {
      port.postMessage(batch.map((request) => this.#answer(request)));
      this.#note();
    });
  }

  #answer(request: Request): Answer {
    const { id } = request;
    try {
      switch (request.op) {
        case "get":
          return { id, is: "item", item: this.#store.get(request.key) as Item | null };
        case "set":
          return this.#set(request);
        case "clear":
          this.#store.clear();
          return { id, is: "done", cas: 0n };
      }
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { id, is: "error", tooLarge: error instanceof ItemTooLarge, message };
    }
  }

  #set({ id, key, expected, next }: Extract<Request, { op: "set" }>): Answer {
    let cas = 0n;
    const stored = (given: bigint): void => {
      cas = given;
    };
    type Lost = { readonly item: Item | null };
    const lost = this.#store.update<Lost | null>(key, (old) =>
      (old?.cas ?? null) === expected
        ? { next, stored, result: null }
        : { next: "keep", result: { item: old } },
    ) as Lost | null;
    return lost === null ? { id, is: "done", cas } : { id, is: "conflict", item: lost.item };
  }

  #note(): void {
    const now = this.#store.stats();
    STATS.forEach((name, i) => {
      this.#stats[i] = now[name];
    });
  }
}

export type PortStoreOptions = {
  readonly port: MessagePort;
  readonly stats: Float64Array;
  /** Requests under way before new ones are refused. */
  readonly maxPending: number;
};

const RETRY_AFTER_SECONDS = 1;
/** A key's writers take turns within a thread, so a race is lost at most to as many threads as there are. */
const MAX_CONFLICTS = 1_000;

export class PortStore implements ColdStore {
  readonly name = "memory";
  readonly #port: MessagePort;
  readonly #stats: Float64Array;
  readonly #maxPending: number;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  /** The last change under way of each key being changed. */
  readonly #turns = new Map<Key, Promise<unknown>>();
  #batch: Request[] = [];
  #nextId = 1;

  constructor({ port, stats, maxPending }: PortStoreOptions) {
    this.#port = port;
    this.#stats = stats;
    this.#maxPending = maxPending;
    port.on("message", (answers: readonly Answer[]) => {
      for (const answer of answers) {
        const done = this.#waiting.get(answer.id);
        this.#waiting.delete(answer.id);
        done?.(answer);
      }
    });
  }

  async get(key: Key): Promise<Item | null> {
    const answer = await this.#ask({ id: this.#nextId++, op: "get", key });
    return answer.is === "item" ? fromPost(answer.item) : null;
  }

  update<T>(key: Key, change: (old: Item | null) => Change<T>): Promise<T> {
    const before = this.#turns.get(key);
    const run = (): Promise<T> => this.#update(key, change);
    const turn = before === undefined ? run() : before.then(run, run);
    this.#turns.set(key, turn);
    const over = (): void => {
      if (this.#turns.get(key) === turn) this.#turns.delete(key);
    };
    turn.then(over, over);
    return turn;
  }

  async clear(): Promise<void> {
    await this.#ask({ id: this.#nextId++, op: "clear" });
  }

  stats(): StoreStats {
    const [items = 0, bytes = 0, evictions = 0, expirations = 0] = this.#stats;
    return { items, bytes, evictions, expirations };
  }

  close(): MaybePromise<void> {
    this.#port.close();
  }

  async #update<T>(key: Key, change: (old: Item | null) => Change<T>): Promise<T> {
    let item = await this.get(key);
    for (let attempt = 0; attempt < MAX_CONFLICTS; attempt++) {
      const { next, result, stored } = change(item);
      if (next === "keep" || (next === "delete" && item === null)) return result;
      const answer = await this.#ask({
        id: this.#nextId++,
        op: "set",
        key,
        expected: item?.cas ?? null,
        next: next === "delete" ? next : { ...next, value: alone(next.value) },
      });
      if (answer.is === "done") {
        if (next !== "delete") stored?.(answer.cas);
        return result;
      }
      item = answer.is === "conflict" ? fromPost(answer.item) : null;
    }
    throw new StoreUnavailable(`${MAX_CONFLICTS} writers in a row were faster`, RETRY_AFTER_SECONDS);
  }

  #ask(request: Request): Promise<Answer> {
    if (this.#waiting.size >= this.#maxPending) {
      return Promise.reject(
        new StoreUnavailable(
          `${this.#waiting.size} requests are waiting for the store already`,
          RETRY_AFTER_SECONDS,
        ),
      );
    }
    if (this.#batch.length === 0) queueMicrotask(() => this.#send());
    this.#batch.push(request);
    return new Promise((resolve, reject) => {
      this.#waiting.set(request.id, (answer) => {
        if (answer.is !== "error") resolve(answer);
        else if (answer.tooLarge) reject(new ItemTooLarge(answer.message));
        else reject(new Error(answer.message));
      });
    });
  }

  #send(): void {
    const batch = this.#batch;
    this.#batch = [];
    this.#port.postMessage(batch);
  }
}

/** Posting a view takes the whole buffer behind it along: a value goes in a buffer of its own. */
function alone(value: Uint8Array): Uint8Array {
  return value.byteLength === value.buffer.byteLength ? value : Uint8Array.prototype.slice.call(value);
}

/** What was posted as a Buffer arrives as a plain array. */
function fromPost(item: Item | null): Item | null {
  if (item === null) return null;
  const { buffer, byteOffset, byteLength } = item.value;
  return { ...item, value: Buffer.from(buffer, byteOffset, byteLength) };
}
