/**
 * Coherence between the nodes that share one cold tier (docs/redis.md). A write first has every other node hold
 * the key (serve nothing of it, take no fill), is stored, and then lets go: while a hot copy of a key can
 * be served anywhere, nobody changes the key. A node may serve and write only while its lease runs, which
 * it renews in the shared registry; one that does not confirm is expelled there, so that it can renew no
 * more, and is waited for until its lease must have run out. Alone, a node sends nothing and waits for nothing.
 *
 * Times are this machine's monotonic clock and only ever differences: no two clocks are compared.
 */
import { randomBytes } from "node:crypto";
import { type Broadcast, nodeOf, parse, type Reply } from "./coherence-messages.ts";
import { RemoteHolds } from "./remote-holds.ts";
import { newRound, type Round } from "./round.ts";
import { type Key, StoreUnavailable } from "./store.ts";

const RETRY_AFTER_SECONDS = 1;

/** strict: no node serves an old value once another could have served the new one. eventual: not for long. */
export const COHERENCE_RULES = ["strict", "eventual"] as const;
export type CoherenceRule = (typeof COHERENCE_RULES)[number];

/** Who carries messages between nodes and keeps the list of them: RedisBus, or a test's own. */
export interface NodeBus {
  /** Puts a node on the list. @returns all that are on it */
  enter(id: string): Promise<readonly string[]>;
  /** @returns false when the node was expelled, or is not on the list any more */
  renew(id: string): Promise<boolean>;
  /** From when this resolves on, renew(id) fails. */
  expel(id: string): Promise<void>;
  remove(id: string): Promise<void>;
  /** In the order of the calls. @returns how many hear it, the sender included */
  broadcast(text: string): Promise<number>;
  tell(node: string, text: string): Promise<void>;
}

/** The write was not stored, as this node lost its place; it may begin anew once ready() says so. */
export class LostPlace extends StoreUnavailable {
  constructor(message = "this node lost its place among those that share the store (cold.coherence strict)") {
    super(message, RETRY_AFTER_SECONDS);
  }
}

export type CoherenceOptions = {
  readonly bus: NodeBus;
  /** For this long at most can a node that is lost keep others from writing. */
  readonly leaseMs: number;
  readonly monotonicMs?: () => number;
  /** May this node serve from its hot tier? */
  readonly trusted: (isTrusted: boolean) => void;
  /** Another node is about to write the key: nothing hot of it until the result is called. */
  readonly hold: (key: Key) => () => void;
};

/** How a lease divides: others wait suspect + trust + margin for a node that is lost, which is below 1. */
const SUSPECT_PART = 0.15;
const TRUST_PART = 0.7;
const MARGIN_PART = 0.1;
const RENEWALS_A_TRUST = 4;
/** Holds older than so many leases were never let go: their node is gone, or a message was lost. */
const STALE_HOLD_LEASES = 3;
const REMEMBERED_GONE = 1_000;

type Joiner = { readonly id: string; readonly isIdle: boolean; readonly before: Set<Write> };

export class Write {
  readonly no: number;
  /** Null where no other node is: nothing to wait for. */
  readonly confirmed: Promise<void> | null;
  constructor(no: number, confirmed: Promise<void> | null) {
    this.no = no;
    this.confirmed = confirmed;
  }
}

export class Coherence {
  /** Of this process; an incarnation's id is `node.k`. */
  readonly node = randomBytes(9).toString("base64url");
  readonly counters = { rounds: 0, expulsions: 0, rejoins: 0, lapses: 0, waitedMs: 0 };
  readonly #bus: NodeBus;
  readonly #options: CoherenceOptions;
  readonly #now: () => number;
  readonly #peers = new Set<string>();
  readonly #expelling = new Set<string>();
  readonly #gone = new Set<string>();
  readonly #heard = new Map<string, number>();
  readonly #held: RemoteHolds;
  readonly #writes = new Set<Write>();
  readonly #rounds = new Map<number, Round>();
  readonly #joiners = new Set<Joiner>();
  readonly #toConfirm = new Set<string>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #id = `${this.node}.0`;
  #incarnation = 0;
  #state: "out" | "joining" | "in" | "stopped" = "out";
  #leaseUntilMs = Number.NEGATIVE_INFINITY;
  #lapsed = true;
  #broadcasts = 0;
  #lastWrite = 0;
  #round: Round | null = null;
  #freed: number[] = [];
  #flushing = false;
  /** Who has yet to confirm that it knows us. */
  #joining: Round | null = null;
  #isJoining = false;
  /** Nodes that answered our joining, listed or not. */
  readonly #greeted = new Set<string>();
  #greet: (() => void) | null = null;
  #hearsItself: (() => void) | null = null;
  /** Passed when the lease runs again. */
  #ready: Round | null = null;
  #drained: (() => void) | null = null;

  constructor(options: CoherenceOptions) {
    this.#options = options;
    this.#bus = options.bus;
    this.#now = options.monotonicMs ?? (() => performance.now());
    this.#held = new RemoteHolds(options.hold, this.#now);
  }

  get peers(): number {
    return this.#peers.size;
  }

  /** Keys other nodes are writing now. */
  get holding(): number {
    return this.#held.size;
  }

  /** When this node's right to serve and to write ends, unless it is renewed. */
  get leaseUntilMs(): number {
    return this.#leaseUntilMs;
  }

  get isIn(): boolean {
    return this.#state === "in";
  }

  /** Begins to join, and goes on trying. @returns settled once joined */
  async start(): Promise<void> {
    this.#rejoin();
    await this.ready();
  }

  /** Ends trust when the lease has run out: to be asked before anything is served. */
  check(): void {
    if (!this.#lapsed && this.#now() >= this.#leaseUntilMs) this.#lapse();
  }

  /** Messages may have been lost: everything they could have said is assumed. */
  lost(): void {
    if (this.#state !== "stopped") this.#rejoin();
  }

  /**
   * Before a write of the key: let it be stored only after `confirmed` and, by the store's own
   * clock, before the lease ends; and call end() when it is known that it can be stored no more.
   * @throws LostPlace while this node may not write
   */
  begin(key: Key): Write {
    if (this.#state !== "in" || this.#now() >= this.#leaseUntilMs) {
      throw new LostPlace("this node is not joined with those that share the store (cold.coherence strict)");
    }
    const no = ++this.#lastWrite;
    let round: Round | null = null;
    if (this.#peers.size > 0) {
      round = this.#round ??= newRound();
      round.holds.push([no, key]);
      this.#scheduleFlush();
    }
    const write = new Write(no, round?.done ?? null);
    this.#writes.add(write);
    return write;
  }

  end(write: Write): void {
    if (!this.#writes.delete(write)) return;
    if (write.confirmed !== null) {
      this.#freed.push(write.no);
      this.#scheduleFlush();
    }
    for (const joiner of this.#joiners) {
      if (joiner.before.delete(write) && joiner.before.size === 0) this.#welcome(joiner);
    }
    if (this.#writes.size === 0) this.#drained?.();
  }

  /** Null when this node may write, else resolved when it may again; rejected when it never will. */
  ready(): Promise<void> | null {
    if (this.#state === "in" && this.#now() < this.#leaseUntilMs) return null;
    this.#ready ??= newRound();
    return this.#ready.done;
  }

  /** Leaves, so that nobody waits for this node. */
  async stop(): Promise<void> {
    if (this.#state === "stopped") return;
    const id = this.#id;
    const wasIn = this.#state === "in";
    const shutDown = new StoreUnavailable("this node is shutting down", RETRY_AFTER_SECONDS);
    this.#leave(shutDown);
    this.#state = "stopped";
    this.#ready?.fail(shutDown);
    for (const timer of this.#timers) clearTimeout(timer);
    if (!wasIn) return;
    await this.#bus.remove(id).catch(() => {});
    await this.#send({ gone: [id] }).catch(() => {});
  }

  /** A broadcast came in, own ones included. */
  heard(text: string): void {
    if (this.#state === "stopped") return;
    const message = parse<Broadcast>(text);
    if (message === null) return;
    if (this.#isOwn(message.f)) {
      if (message.echo && message.f === this.#id) this.#hearsItself?.();
      return;
    }
    if (message.echo) return;
    const { f: from, n, hold, free, joins, gone, expelled } = message;
    const last = this.#heard.get(from);
    if (last !== undefined && n !== last + 1) {
      this.#rejoin();
      return;
    }
    this.#heard.set(from, n);
    if (gone) for (const id of gone) this.#forget(id);
    if (expelled?.includes(this.#id)) {
      this.#rejoin();
      return;
    }
    if (hold) {
      for (const [no, key] of hold) this.#held.take(from, no, key);
      this.#confirm(from);
    }
    if (free) for (const no of free) this.#held.free(from, no);
    if (joins) this.#admit(from);
  }

  /** A message to this node alone came in. */
  told(text: string): void {
    const message = parse<Reply>(text);
    if (message === null || message.to !== this.#id) return;
    const { f: from, upTo, knows, idle } = message;
    if (upTo !== undefined) {
      for (const round of this.#rounds.values()) {
        if (round.n > upTo) break;
        this.#confirmedBy(round, from);
      }
    }
    if (knows) {
      if (!this.#gone.has(from)) this.#peers.add(from);
      if (this.#joining) this.#confirmedBy(this.#joining, from);
    }
    if (knows || idle) {
      this.#greeted.add(nodeOf(from));
      this.#greet?.();
    }
  }

  // --- membership

  #rejoin(): void {
    if (this.#state === "stopped") return;
    if (this.#state === "in") this.counters.rejoins++;
    const old = this.#id;
    this.#leave(new LostPlace());
    // One that is under way notices, and tries anew.
    if (this.#isJoining) return;
    this.#isJoining = true;
    void this.#joinUntilIn(old).finally(() => {
      this.#isJoining = false;
    });
  }

  /** Serves nothing hot and begins no write any more; what others asked to hold no longer matters here. */
  #leave(error: StoreUnavailable): void {
    this.#state = "out";
    this.#leaseUntilMs = Number.NEGATIVE_INFINITY;
    this.#lapse();
    this.#held.freeAll();
    if (this.#round) this.#round.fail(error);
    this.#round = null;
    for (const round of [...this.#rounds.values()]) this.#endRound(round, error);
    this.#joining?.fail(error);
    this.#joining = null;
    this.#freed = [];
    for (const joiner of this.#joiners) joiner.before.clear();
    this.#joiners.clear();
    this.#peers.clear();
    this.#heard.clear();
  }

  async #joinUntilIn(old: string): Promise<void> {
    // Nobody may be told that the old incarnation is gone while a write of its could still be stored.
    if (this.#writes.size > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
      this.#drained = null;
    }
    let gone = [old];
    for (let attempt = 0; !this.#isStopped(); attempt++) {
      try {
        for (const id of gone) await this.#bus.remove(id);
        if (await this.#join(gone)) return;
      } catch {
        // Redis is away: again, after a while.
      }
      gone = [...new Set([...gone, this.#id])];
      if (this.#isStopped()) break;
      this.#leave(new LostPlace());
      await this.#sleep(Math.min(this.#options.leaseMs, 50 * 2 ** Math.min(attempt, 6)));
    }
  }

  #isStopped(): boolean {
    return this.#state === "stopped";
  }

  /** @returns false when something got lost on the way and it has to be tried anew */
  async #join(gone: readonly string[]): Promise<boolean> {
    this.#id = `${this.node}.${++this.#incarnation}`;
    const id = this.#id;
    this.#state = "joining";
    this.#broadcasts = 0;
    this.#greeted.clear();
    // Who does not hear the others would hold them up, and expel them for its own deafness.
    if (!(await this.#echo()) || !this.#is(id)) return false;
    const listed = await this.#bus.enter(id);
    if (!this.#is(id)) return false;
    for (const other of listed) {
      if (!this.#isOwn(other) && !this.#gone.has(other)) this.#peers.add(other);
    }
    // Each of them will wait for us before it stores anything, and none stores anything without.
    const round = newRound();
    for (const peer of this.#peers) round.missing.add(peer);
    this.#joining = round;
    if (round.missing.size === 0) round.pass();
    const { suspectMs, expiryMs } = this.#times();
    this.#suspectLater(round);
    const hearing = await this.#send({ joins: true, ...(gone.length > 0 && { gone }) });
    // Who hears us but is on no list (it was lost with the registry) either answers or its lease runs out.
    const others = new Promise<void>((resolve) => {
      const enough = () => {
        if (this.#greeted.size >= hearing - 1) resolve();
      };
      this.#greet = enough;
      enough();
      this.#after(suspectMs + expiryMs, resolve);
    });
    await Promise.all([round.done, others]);
    this.#forgetTimer(round);
    this.#greet = null;
    this.#joining = null;
    if (!this.#is(id) || !(await this.#renew(id)) || !this.#is(id)) return false;
    this.#state = "in";
    this.#passReady();
    this.#renewLater(id);
    return true;
  }

  async #echo(): Promise<boolean> {
    const echo = new Promise<boolean>((resolve) => {
      this.#hearsItself = () => resolve(true);
      this.#after(this.#times().suspectMs, () => resolve(false));
    });
    await this.#bus.broadcast(JSON.stringify({ f: this.#id, n: 0, echo: true }));
    return echo;
  }

  #is(id: string): boolean {
    return this.#id === id && (this.#state === "joining" || this.#state === "in");
  }

  #isOwn(id: string): boolean {
    return nodeOf(id) === this.node;
  }

  #times(): { suspectMs: number; trustMs: number; expiryMs: number } {
    const { leaseMs } = this.#options;
    const trustMs = leaseMs * TRUST_PART;
    return { suspectMs: leaseMs * SUSPECT_PART, trustMs, expiryMs: trustMs + leaseMs * MARGIN_PART };
  }

  /** @returns false when expelled; throws when Redis does not answer. The lease counts from before we asked. */
  async #renew(id: string): Promise<boolean> {
    const askedMs = this.#now();
    if (!(await this.#bus.renew(id))) return false;
    if (!this.#is(id)) return false;
    this.#leaseUntilMs = Math.max(this.#leaseUntilMs, askedMs + this.#times().trustMs);
    if (this.#now() >= this.#leaseUntilMs) return true;
    if (this.#lapsed) {
      this.#lapsed = false;
      this.#options.trusted(true);
    }
    if (this.#state === "in") this.#passReady();
    return true;
  }

  #passReady(): void {
    this.#ready?.pass();
    this.#ready = null;
  }

  #renewLater(id: string): void {
    const { trustMs } = this.#times();
    this.#after(trustMs / RENEWALS_A_TRUST, async () => {
      if (!this.#is(id)) return;
      this.check();
      this.#renewLater(id);
      if (this.#held.hasOlderThan(STALE_HOLD_LEASES * this.#options.leaseMs)) return this.#rejoin();
      const stays = await this.#renew(id).catch(() => true);
      if (!stays && this.#is(id)) this.#rejoin();
    });
  }

  #lapse(): void {
    if (this.#lapsed) return;
    this.#lapsed = true;
    if (this.#state === "in") this.counters.lapses++;
    this.#options.trusted(false);
  }

  /** A node that joins: from here on our writes wait for it, and it is told so when the earlier ones are over. */
  #admit(id: string): void {
    const isIdle = this.#state === "out";
    if (!isIdle) this.#peers.add(id);
    const joiner = { id, isIdle, before: new Set(this.#writes) };
    if (joiner.before.size === 0) this.#welcome(joiner);
    else this.#joiners.add(joiner);
  }

  #welcome(joiner: Joiner): void {
    this.#joiners.delete(joiner);
    this.#tell(joiner.id, joiner.isIdle ? { idle: true } : { knows: true });
  }

  /** In two halves: if it was this process that stood still, what others said meanwhile is read in between. */
  #suspectLater(round: Round): void {
    const halfMs = this.#times().suspectMs / 2;
    round.timer = this.#after(halfMs, () => {
      round.timer = this.#after(halfMs, () => this.#expelMissing(round));
    });
  }

  #forgetTimer({ timer }: Round): void {
    if (timer === null) return;
    clearTimeout(timer);
    this.#timers.delete(timer);
  }

  #expelMissing({ missing }: Round): void {
    for (const id of missing) void this.#expel(id);
  }

  async #expel(id: string): Promise<void> {
    if (this.#expelling.has(id)) return;
    this.#expelling.add(id);
    this.counters.expulsions++;
    const { suspectMs, expiryMs } = this.#times();
    const isWanted = () => this.#peers.has(id) && this.#state !== "stopped" && this.#state !== "out";
    while (isWanted()) {
      try {
        await this.#bus.expel(id);
        // Renewals fail from now on: what it had lasts no longer than this. (It may also hear of it.)
        this.#send({ expelled: [id] }).catch(() => {});
        await this.#sleep(expiryMs);
        if (!isWanted()) break;
        await this.#bus.remove(id);
        this.#send({ gone: [id] }).catch(() => {});
        this.#forget(id);
      } catch {
        await this.#sleep(suspectMs);
      }
    }
    this.#expelling.delete(id);
  }

  /** The node serves nothing and writes nothing any more. */
  #forget(id: string): void {
    this.#gone.add(id);
    if (this.#gone.size > REMEMBERED_GONE) {
      for (const oldest of this.#gone) {
        this.#gone.delete(oldest);
        break;
      }
    }
    this.#peers.delete(id);
    this.#heard.delete(id);
    this.#held.freeAllOf(id);
    for (const round of [...this.#rounds.values()]) this.#confirmedBy(round, id);
    if (this.#joining) this.#confirmedBy(this.#joining, id);
  }

  // --- what others write

  /** One confirmation answers all that came in this turn. */
  #confirm(to: string): void {
    if (this.#toConfirm.size === 0) setImmediate(() => this.#sendConfirmations());
    this.#toConfirm.add(to);
  }

  #sendConfirmations(): void {
    for (const to of this.#toConfirm) {
      const upTo = this.#heard.get(to);
      if (upTo !== undefined) this.#tell(to, { upTo });
    }
    this.#toConfirm.clear();
  }

  // --- what we write

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
    if (this.#state !== "in") return;
    if (round === null) {
      this.#send({ free }).catch(() => this.#rejoin());
      return;
    }
    for (const peer of this.#peers) round.missing.add(peer);
    this.counters.rounds++;
    const startedMs = this.#now();
    round.done.then(
      () => {
        this.counters.waitedMs += this.#now() - startedMs;
      },
      () => {},
    );
    const sent = this.#send({ hold: round.holds, ...(free.length > 0 && { free }) });
    round.n = this.#broadcasts;
    if (round.missing.size === 0) {
      round.pass();
      return;
    }
    this.#rounds.set(round.n, round);
    this.#suspectLater(round);
    sent.catch(() => this.#rejoin());
  }

  #confirmedBy(round: Round, id: string): void {
    if (!round.missing.delete(id) || round.missing.size > 0) return;
    if (round === this.#joining) round.pass();
    else this.#endRound(round, null);
  }

  #endRound(round: Round, error: Error | null): void {
    this.#rounds.delete(round.n);
    this.#forgetTimer(round);
    if (error) round.fail(error);
    else round.pass();
  }

  #send(what: Omit<Broadcast, "f" | "n">): Promise<number> {
    return this.#bus.broadcast(JSON.stringify({ f: this.#id, n: ++this.#broadcasts, ...what }));
  }

  #tell(id: string, what: Omit<Reply, "f" | "to">): void {
    this.#bus.tell(nodeOf(id), JSON.stringify({ f: this.#id, to: id, ...what })).catch(() => {});
  }

  #after(ms: number, run: () => void): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    timer.unref();
    this.#timers.add(timer);
    return timer;
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      setTimeout(resolve, ms).unref();
    });
  }
}
