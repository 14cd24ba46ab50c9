/**
 * One client's conversation: a parser's sink that finds the command of each line and runs it. Handlers
 * (the table in commands.ts) read the request's tokens from the session and write to its reply buffer. A handler that
 * waits writes nothing before it goes on: what stands in the buffer then is sent.
 */
import { ItemTooLarge, type Key, type MaybePromise, StoreUnavailable } from "../tiers/cold/store.ts";
import type { Engine, Transport } from "./engine.ts";
import { ERROR, INTERNAL, LINE_TOO_LONG, TOO_LARGE } from "./lines.ts";
import { CommandParser, type CommandSink } from "./parser.ts";
import { type ReplyBuffer, text } from "./reply.ts";

/** memcached's MAX_TOKENS without the closing one: no command but a get has a use for more. */
const MAX_TOKENS = 24;

export type Command = {
  readonly name: string;
  /** Tokens on the line, the command's name included; others answer ERROR. */
  readonly min: number;
  readonly max: number;
  /** A last token `noreply` silences it. */
  readonly noreply: boolean;
  /** It can change what a key holds, so the hot tier must not answer for the key any more. */
  readonly writes: boolean;
  readonly run: (session: Session) => MaybePromise<void>;
};

export interface SessionHost {
  readonly transport: Transport;
  readonly reply: ReplyBuffer;
  /** A command is over and its whole reply written (a datagram server cuts messages here). */
  commandDone(): void;
  /** Replies written after a wait can be sent. */
  settled(): void;
}

/** What a storage command's line asked for, until its block is there. */
export type BlockHandler = (session: Session, value: Uint8Array, intact: boolean) => MaybePromise<void>;

export class Session implements CommandSink {
  readonly engine: Engine;
  readonly reply: ReplyBuffer;
  readonly parser: CommandParser;
  readonly #host: SessionHost;
  readonly #commands: ReadonlyMap<string, Command>;
  readonly #get: Command["run"];

  /** The line under way. Valid until the next one, also across a wait; across a block after keepLine(). */
  bytes: Buffer = Buffer.alloc(0);
  lineEnd = 0;
  readonly starts = new Int32Array(MAX_TOKENS);
  readonly ends = new Int32Array(MAX_TOKENS);
  count = 0;
  noreply = false;

  /** Reply bytes of earlier commands still in the buffer; 0 after a wait, when they were sent. */
  #replyStart = 0;
  #onBlock: BlockHandler | null = null;
  #afterSwallow: Uint8Array | null = null;

  constructor(engine: Engine, host: SessionHost, commands: ReadonlyMap<string, Command>) {
    this.#commands = commands;
    this.#get = commands.get("get")!.run;
    this.engine = engine;
    this.#host = host;
    this.reply = host.reply;
    this.parser = new CommandParser(this);
  }

  line(bytes: Buffer, start: number, end: number): MaybePromise<void> {
    this.bytes = bytes;
    this.lineEnd = end;
    this.noreply = false;
    // "get " at the very start, nearly every line: no table, no tokens.
    if (
      end - start > 4 &&
      bytes[start] === 0x67 &&
      bytes[start + 1] === 0x65 &&
      bytes[start + 2] === 0x74 &&
      bytes[start + 3] === 0x20
    ) {
      this.starts[0] = start;
      this.ends[0] = start + 3;
      return this.#run(this.#get);
    }
    this.#tokenize(start, end);
    const name = this.count === 0 ? "" : bytes.toString("latin1", this.starts[0]!, this.ends[0]!);
    const command = this.#commands.get(name);
    if (command === undefined || this.count < command.min || this.count > command.max) {
      if (command === undefined && this.#isHttp()) this.parser.close();
      else this.reply.bytes(ERROR);
      this.#host.commandDone();
      return;
    }
    if (command.noreply) this.noreply = this.is(this.count - 1, "noreply");
    return this.#run(command.run);
  }

  /** A browser led here by a page is to be told nothing, as memcached does: `POST / HTTP/1.1`. */
  #isHttp(): boolean {
    return this.count > 0 && this.key(this.count - 1).startsWith("HTTP/");
  }

  block(value: Uint8Array, intact: boolean): MaybePromise<void> {
    const handler = this.#onBlock!;
    this.#onBlock = null;
    return this.#run((session) => handler(session, value, intact));
  }

  swallowed(): void {
    if (this.#afterSwallow) this.reply.bytes(this.#afterSwallow);
    this.#afterSwallow = null;
    this.#host.commandDone();
  }

  lineTooLong(): void {
    this.reply.bytes(LINE_TOO_LONG);
    this.#host.commandDone();
  }

  settled(): void {
    this.#host.settled();
  }

  /** The command's answer is a line, said unless the client asked for silence. */
  say(line: Uint8Array): void {
    if (!this.noreply) this.reply.bytes(line);
  }

  expectBlock(bytes: number, handler: BlockHandler): void {
    this.#onBlock = handler;
    this.parser.expectBlock(bytes);
  }

  /** Refuses a command but reads past its block; the line is said after that, as memcached does. */
  refuseBlock(bytes: number, line: Uint8Array | null): void {
    this.#afterSwallow = line;
    this.parser.swallow(bytes);
  }

  /** Copies the line, for a handler that reads its tokens again when the block is there. */
  keepLine(): void {
    const first = this.starts[0]!;
    this.bytes = Buffer.from(this.bytes.subarray(first, this.lineEnd));
    for (let i = 0; i < this.count; i++) {
      this.starts[i]! -= first;
      this.ends[i]! -= first;
    }
    this.lineEnd -= first;
  }

  key(token: number): Key {
    return this.bytes.toString("latin1", this.starts[token]!, this.ends[token]!);
  }

  tokenLength(token: number): number {
    return this.ends[token]! - this.starts[token]!;
  }

  is(token: number, word: string): boolean {
    const start = this.starts[token]!;
    if (this.ends[token]! - start !== word.length) return false;
    for (let i = 0; i < word.length; i++) {
      if (this.bytes[start + i] !== word.charCodeAt(i)) return false;
    }
    return true;
  }

  #run(handler: (session: Session) => MaybePromise<void>): MaybePromise<void> {
    this.#replyStart = this.reply.length;
    try {
      const done = handler(this);
      if (done instanceof Promise) {
        this.#replyStart = 0;
        return done.then(this.#ended, (error: unknown) => {
          this.#failed(error);
          this.#ended();
        });
      }
    } catch (error) {
      this.#failed(error);
    }
    this.#ended();
  }

  #ended = (): void => {
    if (this.parser.expectsMore) return;
    const { onCommand } = this.engine;
    if (onCommand) onCommand(this.reply.length - this.#replyStart, this.#host.transport);
    this.#host.commandDone();
  };

  #failed(error: unknown): void {
    if (error instanceof ItemTooLarge) {
      this.engine.counters.store_too_large++;
      this.say(TOO_LARGE);
    } else if (error instanceof StoreUnavailable) {
      this.engine.counters.store_unavailable++;
      this.say(text(`SERVER_ERROR ${error.message.replaceAll(/[\r\n]/g, " ")}\r\n`));
    } else {
      // A fault of ours: the client gets an answer, the operator the error.
      this.engine.onFault(error);
      this.say(INTERNAL);
    }
  }

  /** Splits at spaces. A NUL ends the line: memcached's tokens are C strings. */
  #tokenize(start: number, end: number): void {
    const { bytes, starts, ends } = this;
    let count = 0;
    let at = start;
    while (count < MAX_TOKENS) {
      while (at < end && bytes[at] === 32) at++;
      if (at >= end || bytes[at] === 0) break;
      starts[count] = at;
      while (at < end && bytes[at] !== 32 && bytes[at] !== 0) at++;
      ends[count++] = at;
    }
    this.count = count;
  }
}
