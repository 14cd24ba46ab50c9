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
import { Lease } from "./lease.ts";
import { OwnWrites, type Write } from "./own-writes.ts";
import { RemoteHolds } from "./remote-holds.ts";
import { confirm, newRound, type Round } from "./round.ts";
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

const RENEWALS_A_TRUST = 4;
/** Holds older than so many leases were never let go: their node is gone, or a message was lost. */
const STALE_HOLD_LEASES = 3;
const REMEMBERED_GONE = 1_000;

type Joiner = { readonly id: string; readonly isIdle: boolean; readonly before: Set<Write> };

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
  readonly #lease: Lease;
  readonly #writes: OwnWrites;
  readonly #joiners = new Set<Joiner>();
  readonly #toConfirm = new Set<string>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #id = `${this.node}.0`;
  #incarnation = 0;
  #state: "out" | "joining" | "in" | "stopped" = "out";
  #broadcasts = 0;
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
    this.#lease = new Lease(options.leaseMs, this.#now, (isTrusted) => {
      if (!isTrusted && this.#state === "in") this.counters.lapses++;
      options.trusted(isTrusted);
    });
    this.#writes = new OwnWrites({
      peers: this.#peers,
      isIn: () => this.#state === "in",
      send: (what) => {
        const sent = this.#send(what);
        return { n: this.#broadcasts, sent };
      },
      lost: () => this.#rejoin(),
      suspectLater: (round) => this.#suspectLater(round),
      suspectNoMore: (round) => this.#forgetTimer(round),
      monotonicMs: this.#now,
      counters: this.counters,
    });
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
    return this.#lease.untilMs;
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
    this.#lease.check();
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
    if (this.#state !== "in" || !this.#lease.runs) {
      throw new LostPlace("this node is not joined with those that share the store (cold.coherence strict)");
    }
    return this.#writes.begin(key);
  }

  end(write: Write): void {
    if (!this.#writes.end(write)) return;
    for (const joiner of this.#joiners) {
      if (joiner.before.delete(write) && joiner.before.size === 0) this.#welcome(joiner);
    }
    if (this.#writes.underWay.size === 0) this.#drained?.();
  }

  /** Null when this node may write, else resolved when it may again; rejected when it never will. */
  ready(): Promise<void> | null {
    if (this.#state === "in" && this.#lease.runs) return null;
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
    if (upTo !== undefined) this.#writes.confirmedUpTo(from, upTo);
    if (knows) {
      if (!this.#gone.has(from)) this.#peers.add(from);
      this.#knownBy(from);
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
    this.#lease.drop();
    this.#held.freeAll();
    this.#writes.abandon(error);
    this.#joining?.fail(error);
    this.#joining = null;
    for (const joiner of this.#joiners) joiner.before.clear();
    this.#joiners.clear();
    this.#peers.clear();
    this.#heard.clear();
  }

  async #joinUntilIn(old: string): Promise<void> {
    // Nobody may be told that the old incarnation is gone while a write of its could still be stored.
    if (this.#writes.underWay.size > 0) {
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
    const { suspectMs, expiryMs } = this.#lease;
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
      this.#after(this.#lease.suspectMs, () => resolve(false));
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

  /** @returns false when expelled; throws when Redis does not answer. The lease counts from before we asked. */
  async #renew(id: string): Promise<boolean> {
    const askedMs = this.#now();
    if (!(await this.#bus.renew(id))) return false;
    if (!this.#is(id)) return false;
    this.#lease.extend(askedMs);
    if (this.#lease.runs && this.#state === "in") this.#passReady();
    return true;
  }

  #passReady(): void {
    this.#ready?.pass();
    this.#ready = null;
  }

  #renewLater(id: string): void {
    this.#after(this.#lease.trustMs / RENEWALS_A_TRUST, async () => {
      if (!this.#is(id)) return;
      this.check();
      this.#renewLater(id);
      if (this.#held.hasOlderThan(STALE_HOLD_LEASES * this.#options.leaseMs)) return this.#rejoin();
      const stays = await this.#renew(id).catch(() => true);
      if (!stays && this.#is(id)) this.#rejoin();
    });
  }

  /** A node that joins: from here on our writes wait for it, and it is told so when the earlier ones are over. */
  #admit(id: string): void {
    const isIdle = this.#state === "out";
    if (!isIdle) this.#peers.add(id);
    const joiner = { id, isIdle, before: new Set(this.#writes.underWay) };
    if (joiner.before.size === 0) this.#welcome(joiner);
    else this.#joiners.add(joiner);
  }

  #welcome(joiner: Joiner): void {
    this.#joiners.delete(joiner);
    this.#tell(joiner.id, joiner.isIdle ? { idle: true } : { knows: true });
  }

  /** In two halves: if it was this process that stood still, what others said meanwhile is read in between. */
  #suspectLater(round: Round): void {
    const halfMs = this.#lease.suspectMs / 2;
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
    const { suspectMs, expiryMs } = this.#lease;
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
    this.#writes.forget(id);
    this.#knownBy(id);
  }

  /** The node waits for us from now on, or is gone. */
  #knownBy(id: string): void {
    if (this.#joining !== null && confirm(this.#joining, id)) this.#joining.pass();
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

  // --- messages and timers

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
