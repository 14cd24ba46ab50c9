/** A session without sockets: bytes in, reply bytes out. */
import { COMMANDS } from "../../src/memcached/commands.ts";
import { Engine, type EngineOptions } from "../../src/memcached/engine.ts";
import { ReplyBuffer, SlabPool } from "../../src/memcached/reply.ts";
import { Session } from "../../src/memcached/session.ts";
import { memoryCache } from "./peers.ts";

export class Conversation {
  readonly engine: Engine;
  readonly session: Session;
  readonly reply = new ReplyBuffer(new SlabPool());
  readonly faults: unknown[] = [];
  /** Replies of finished commands. */
  text = "";

  constructor(options: Partial<EngineOptions> = {}) {
    const onFault = (error: unknown): void => {
      this.faults.push(error);
    };
    this.engine = new Engine({ cache: memoryCache(100), onFault, ...options });
    const take = (): void => this.#take();
    this.session = new Session(
      this.engine,
      { transport: "tcp", reply: this.reply, commandDone: take, settled: take },
      COMMANDS,
    );
  }

  feed(bytes: Buffer | string): this {
    this.session.parser.feed(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
    this.#take();
    return this;
  }

  /** Waits until what was fed is answered: a long piece takes several turns of the event loop. */
  async turns(): Promise<void> {
    while (this.session.parser.isWaiting) await new Promise((resolve) => setImmediate(resolve));
  }

  #take(): void {
    this.text += Buffer.concat(this.reply.pieces()).toString("latin1");
    this.reply.reset(true);
  }
}
