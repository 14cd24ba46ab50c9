/**
 * What this node is writing, as the other nodes hear of it: writes that begin in one turn of the event loop are one
 * round, a broadcast that each other node must confirm before they are stored; writes that are over are let go in the
 * next one. Who the others are, and whether this node may write at all, is coherence.ts's affair.
 */
import type { Broadcast } from "./coherence-messages.ts";
import { confirm, newRound, type Round } from "./round.ts";
import type { Key } from "./store.ts";

export class Write {
  readonly no: number;
  /** Null where no other node is: nothing to wait for. */
  readonly confirmed: Promise<void> | null;
  constructor(no: number, confirmed: Promise<void> | null) {
    this.no = no;
    this.confirmed = confirmed;
  }
}

export type OwnWritesOptions = {
  /** The other nodes, as they are now. */
  readonly peers: ReadonlySet<string>;
  /** May this node send writes to come? What it has begun is abandoned otherwise. */
  readonly isIn: () => boolean;
  /** @returns the broadcast's number, and a promise that fails when it may not have been heard */
  readonly send: (what: Pick<Broadcast, "hold" | "free">) => {
    readonly n: number;
    readonly sent: Promise<unknown>;
  };
  /** A broadcast may not have been heard. */
  readonly lost: () => void;
  /** Who has not confirmed in time is suspected, until the round has ended. */
  readonly suspectLater: (round: Round) => void;
  readonly suspectNoMore: (round: Round) => void;
  readonly monotonicMs: () => number;
  /** What it counts. */
  readonly counters: { rounds: number; waitedMs: number };
};

export class OwnWrites {
  readonly #options: OwnWritesOptions;
  readonly #underWay = new Set<Write>();
  /** Sent, and not confirmed by all, in the order of their numbers. */
  readonly #rounds = new Map<number, Round>();
  /** Of this turn. */
  #round: Round | null = null;
  #freed: number[] = [];
  #lastWrite = 0;
  #flushing = false;

  constructor(options: OwnWritesOptions) {
    this.#options = options;
  }

  get underWay(): ReadonlySet<Write> {
    return this.#underWay;
  }

  begin(key: Key): Write {
    const no = ++this.#lastWrite;
    let round: Round | null = null;
    if (this.#options.peers.size > 0) {
      round = this.#round ??= newRound();
      round.holds.push([no, key]);
      this.#scheduleFlush();
    }
    const write = new Write(no, round?.done ?? null);
    this.#underWay.add(write);
    return write;
  }

  /** @returns false where it had ended already */
  end(write: Write): boolean {
    if (!this.#underWay.delete(write)) return false;
    if (write.confirmed !== null) {
      this.#freed.push(write.no);
      this.#scheduleFlush();
    }
    return true;
  }

  /** The node has obeyed all our broadcasts so far. */
  confirmedUpTo(id: string, upTo: number): void {
    for (const round of this.#rounds.values()) {
      if (round.n > upTo) break;
      if (confirm(round, id)) this.#endRound(round, null);
    }
  }

  /** The node serves nothing any more: nobody waits for it. */
  forget(id: string): void {
    for (const round of [...this.#rounds.values()]) if (confirm(round, id)) this.#endRound(round, null);
  }

  /** This node has lost its place: who waits for a confirmation hears `error`, and nobody is told of anything. */
  abandon(error: Error): void {
    this.#round?.fail(error);
    this.#round = null;
    for (const round of [...this.#rounds.values()]) this.#endRound(round, error);
    this.#freed = [];
  }

  #scheduleFlush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    // Writes that begin in this turn share a message.
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    const round = this.#round;
    const free = this.#freed;
    this.#round = null;
    this.#freed = [];
    const { peers, isIn, send, lost, suspectLater, monotonicMs, counters } = this.#options;
    if (!isIn()) return;
    if (round === null) {
      send({ free }).sent.catch(lost);
      return;
    }
    for (const peer of peers) round.missing.add(peer);
    counters.rounds++;
    const startedMs = monotonicMs();
    round.done.then(
      () => {
        counters.waitedMs += monotonicMs() - startedMs;
      },
      () => {},
    );
    const { n, sent } = send({ hold: round.holds, ...(free.length > 0 && { free }) });
    // Also where nobody is left to confirm it: a failure that nobody catches would end the process.
    sent.catch(lost);
    round.n = n;
    if (round.missing.size === 0) {
      round.pass();
      return;
    }
    this.#rounds.set(round.n, round);
    suspectLater(round);
  }

  #endRound(round: Round, error: Error | null): void {
    this.#rounds.delete(round.n);
    this.#options.suspectNoMore(round);
    if (error) round.fail(error);
    else round.pass();
  }
}
