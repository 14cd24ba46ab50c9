/**
 * Redis as the nodes' notice board and post: the list of nodes is a hash, messages are published. Names carry a
 * hash tag, so that in a Cluster one master has all of it. A connection of its own, since a subscriber whose
 * answers pile up is cut off by Redis (client-output-buffer-limit pubsub).
 */
import type { NodeBus } from "./coherence.ts";
import { connectLink, type LinkOptions, type RedisLink } from "./redis-link.ts";

export type RedisBusOptions = Pick<LinkOptions, "address" | "caFile" | "silenceMs" | "onError"> & {
  /** What the keys of the items begin with: who shares items shares the list. */
  readonly prefix: string;
  readonly deadlineMs: number;
  readonly node: string;
};

export type BusListener = {
  heard(text: string): void;
  told(text: string): void;
  /** Messages may have been missed. */
  lost(): void;
};

export class RedisBus implements NodeBus {
  readonly #name: string;
  readonly #list: Buffer;
  readonly #deadlineMs: number;
  #link!: RedisLink;

  private constructor(options: RedisBusOptions) {
    this.#name = `{${options.prefix}nodes@${options.address.database}}`;
    this.#list = Buffer.from(this.#name, "latin1");
    this.#deadlineMs = options.deadlineMs;
  }

  static async connect(options: RedisBusOptions, listener: BusListener): Promise<RedisBus> {
    const bus = new RedisBus(options);
    const { address, caFile, silenceMs, onError } = options;
    bus.#link = await connectLink({
      address,
      caFile,
      silenceMs,
      onError,
      invalidated: () => {},
      // The client subscribes anew by itself; what was said in between is lost.
      tracking: (isTracking) => {
        if (!isTracking) listener.lost();
      },
    });
    await bus.#link.subscribe(bus.#name, (text) => listener.heard(text));
    await bus.#link.subscribe(`${bus.#name}/${options.node}`, (text) => listener.told(text));
    return bus;
  }

  async enter(id: string): Promise<readonly string[]> {
    const { commands } = this.#link;
    // In this order: of two that enter at once, one sees the other.
    await this.#within(() => commands.hSet(this.#list, id, "in"));
    const ids = await this.#within(() => commands.hKeys(this.#list));
    return ids.map(String);
  }

  async renew(id: string): Promise<boolean> {
    return (await this.#within(() => this.#link.commands.renewNode(this.#list, id))) === "1";
  }

  async expel(id: string): Promise<void> {
    await this.#within(() => this.#link.commands.expelNode(this.#list, id));
  }

  async remove(id: string): Promise<void> {
    await this.#within(() => this.#link.commands.hDel(this.#list, id));
  }

  broadcast(text: string): Promise<number> {
    return this.#within(() => this.#link.publish(this.#name, text));
  }

  async tell(node: string, text: string): Promise<void> {
    await this.#within(() => this.#link.publish(`${this.#name}/${node}`, text));
  }

  close(): Promise<void> {
    return this.#link.close(this.#deadlineMs);
  }

  #within<T>(run: () => Promise<T>): Promise<T> {
    if (!this.#link.isUp) return Promise.reject(new Error("no connection to Redis"));
    return new Promise<T>((resolve, reject) => {
      const late = () => reject(new Error(`no answer within ${this.#deadlineMs} ms`));
      const timer = setTimeout(late, this.#deadlineMs);
      run()
        .then(resolve, reject)
        .finally(() => clearTimeout(timer));
    });
  }
}
