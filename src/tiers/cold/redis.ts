/**
 * The cold tier in Redis or Valkey, shared by many nodes, through the official client. Acknowledged means
 * stored by Redis: an update resolves only after the script ran there. Every call has a deadline and a
 * place in a bounded queue; past either it fails with StoreUnavailable, and nothing waits for ever.
 *
 * A write whose outcome is unknown (its deadline passed, its connection broke) may still be stored, but not
 * after its deadline by Redis's own clock: until then its key is kept out of the hot tiers, here and elsewhere.
 */
import { ErrorReply } from "redis";
import { Coherence, type CoherenceRule, LostPlace } from "./coherence.ts";
import type { Write } from "./own-writes.ts";
import { parseRedisAddress } from "./redis-address.ts";
import { RedisBus } from "./redis-bus.ts";
import { connectLink, type RedisLink } from "./redis-link.ts";
import { CONFLICT, ITEM_FIELDS, LATE } from "./redis-script.ts";
import {
  type Change,
  type ColdStore,
  type Item,
  type Key,
  type SharedStats,
  type StoreListener,
  type StoreStats,
  StoreUnavailable,
} from "./store.ts";

export type RedisStoreOptions = {
  /** As in redis-address.ts. */
  readonly url: string;
  /** PEM file of authorities to trust, for TLS. */
  readonly caFile?: string | null;
  readonly prefix?: string;
  /** Milliseconds a call may take, waiting included. */
  readonly deadlineMs?: number;
  /** Calls under way before new ones are refused. */
  readonly maxPending?: number;
  /** Bytes of the values of writes under way before new ones are refused. */
  readonly maxPendingBytes?: number;
  readonly coherence?: CoherenceRule;
  /** How long a node that is lost can keep others from writing. */
  readonly leaseMs?: number;
  /** Wall clock: what has expired. */
  readonly now?: () => number;
  readonly onError?: (error: Error) => void;
};

const DEFAULTS = {
  caFile: null,
  prefix: "bmc:",
  deadlineMs: 1_000,
  maxPending: 10_000,
  maxPendingBytes: 64 * 1_048_576,
  coherence: "strict",
  leaseMs: 2_000,
  now: Date.now,
  onError: () => {},
} as const;
const RETRY_AFTER_SECONDS = 1;
/** Writers of one key that keep losing the race give up rather than spin. */
const MAX_CONFLICTS = 64;
const SCAN_COUNT = 1_000;

/** An item as read, and the cas its writer must name: an expired item is null but still has one. */
type Snapshot = { readonly item: Item | null; readonly cas: string };
/** The server's clock, read when or before this machine's monotonic clock showed `atMs`. */
type ServerTime = { readonly us: number; readonly atMs: number };
type EarlyHold = { readonly key: Key; release: () => void };

export class RedisStore implements ColdStore {
  readonly name = "redis";
  readonly #options: Required<RedisStoreOptions>;
  readonly #counters = { refused: 0, timedOut: 0, failed: 0, conflicts: 0, late: 0 };
  #link!: RedisLink;
  #bus: RedisBus | null = null;
  #coherence: Coherence | null = null;
  #listener: StoreListener | null = null;
  /** What others hold since before there was a hot tier to hold it in. */
  readonly #early = new Set<EarlyHold>();
  #hasLease = false;
  #trusted = false;
  #pending = 0;
  #pendingBytes = 0;
  #updates = 0;
  #items = 0;

  private constructor(options: RedisStoreOptions) {
    this.#options = { ...DEFAULTS, ...options };
  }

  /** @throws when Redis cannot be reached at all: a wrong address is told at start, not later. */
  static async connect(options: RedisStoreOptions): Promise<RedisStore> {
    const store = new RedisStore(options);
    const { url, caFile, leaseMs, deadlineMs, prefix, coherence, onError } = store.#options;
    const address = parseRedisAddress(url);
    if (address === null) throw new TypeError(`not an address of Redis: ${url}`);
    const way = { address, caFile, silenceMs: leaseMs, onError };
    store.#link = await connectLink({
      ...way,
      invalidated: (key) => store.#invalidated(key),
      tracking: () => store.#tellTrust(),
    });
    if (coherence === "strict") await store.#join({ ...way, prefix, deadlineMs });
    store.#tellTrust();
    return store;
  }

  async #join(way: Omit<Parameters<typeof RedisBus.connect>[0], "node">): Promise<void> {
    const { leaseMs } = this.#options;
    const nodes: Coherence = new Coherence({
      // The bus is there before anything is asked of it.
      bus: lazily(() => this.#bus as RedisBus),
      leaseMs,
      trusted: (hasLease) => {
        this.#hasLease = hasLease;
        this.#tellTrust();
      },
      hold: (key) => this.#hold(key),
    });
    try {
      this.#bus = await RedisBus.connect({ ...way, node: nodes.node }, nodes);
    } catch (error) {
      await this.#link.close(0);
      throw error;
    }
    this.#coherence = nodes;
    // A node that crashed a moment ago is waited for, once; then writes are refused until it is settled.
    await settledWithin(nodes.start(), 2 * leaseMs);
  }

  watch(listener: StoreListener): void {
    this.#listener = listener;
    for (const held of this.#early) held.release = listener.hold(held.key);
    this.#early.clear();
    listener.trusted(this.#trusted);
  }

  checkTrust(): void {
    this.#coherence?.check();
  }

  async get(key: Key): Promise<Item | null> {
    const untilMs = performance.now() + this.#options.deadlineMs;
    const fields = await this.#call(untilMs, () =>
      this.#link.commands.hmGet(this.#redisKey(key), ITEM_FIELDS),
    );
    return this.#snapshot(fields).item;
  }

  async update<T>(key: Key, change: (old: Item | null) => Change<T>): Promise<T> {
    if (this.#updates >= this.#options.maxPending)
      throw this.#refusal(`${this.#updates} writes are under way`);
    this.#updates++;
    try {
      const untilMs = performance.now() + this.#options.deadlineMs;
      for (;;) {
        await this.#untilReady(untilMs);
        try {
          return await this.#updateOnce(key, change, untilMs);
        } catch (error) {
          if (!(error instanceof LostPlace) || performance.now() >= untilMs) throw error;
        }
      }
    } finally {
      this.#updates--;
    }
  }

  /** @throws LostPlace when nothing was stored, because the node has to join anew first */
  async #updateOnce<T>(key: Key, change: (old: Item | null) => Change<T>, untilMs: number): Promise<T> {
    const write = this.#coherence?.begin(key) ?? null;
    let isKnown = true;
    try {
      return await this.#write(key, change, untilMs, write, (known) => {
        isKnown = known;
      });
    } finally {
      if (isKnown) this.#end(write);
      else this.#endLater(key, untilMs, write);
    }
  }

  async #untilReady(untilMs: number): Promise<void> {
    const ready = this.#coherence?.ready() ?? null;
    if (ready) await this.#within(untilMs, ready, "this node was not joined with the others");
  }

  /** Removes every key under this store's prefix, other users' keys stay. */
  async clear(): Promise<void> {
    const { prefix, deadlineMs } = this.#options;
    const soon = () => performance.now() + deadlineMs;
    let cursor = "0";
    do {
      const from = cursor;
      const page = await this.#call(soon(), () =>
        this.#link.commands.scan(from, { MATCH: `${prefix}*`, COUNT: SCAN_COUNT }),
      );
      cursor = page.cursor.toString();
      if (page.keys.length > 0) await this.#removeAll(page.keys, soon());
    } while (cursor !== "0");
  }

  /** `items` is what Redis said when last asked; bytes, evictions and expirations are Redis's own affair. */
  stats(): StoreStats {
    this.#call(performance.now() + this.#options.deadlineMs, () => this.#link.commands.dbSize()).then(
      (items) => {
        this.#items = items;
      },
      () => {},
    );
    return { items: this.#items, bytes: 0, evictions: 0, expirations: 0 };
  }

  sharedStats(): SharedStats {
    const nodes = this.#coherence;
    return {
      ...this.#counters,
      pending: this.#pending,
      isTracking: this.#link.isTracking,
      nodes: nodes && { ...nodes.counters, others: nodes.peers, holding: nodes.holding, isIn: nodes.isIn },
    };
  }

  async close(): Promise<void> {
    this.#listener = null;
    await this.#coherence?.stop();
    await this.#bus?.close();
    await this.#link.close(this.#options.deadlineMs);
  }

  async #write<T>(
    key: Key,
    change: (old: Item | null) => Change<T>,
    untilMs: number,
    write: Write | null,
    outcome: (isKnown: boolean) => void,
  ): Promise<T> {
    const redisKey = this.#redisKey(key);
    for (let attempt = 0; attempt < MAX_CONFLICTS; attempt++) {
      const fields = await this.#call(untilMs, () => this.#link.commands.readForUpdate(redisKey));
      const time = { us: Number(fields[ITEM_FIELDS.length]), atMs: performance.now() };
      const { item, cas } = this.#snapshot(fields);
      const { next, result, stored } = change(item);
      if (next === "keep" || (next === "delete" && cas === "")) return result;
      if (write?.confirmed) await this.#within(untilMs, write.confirmed, "another node has not confirmed");
      const lastMs = Math.min(untilMs, this.#coherence?.leaseUntilMs ?? untilMs);
      if (performance.now() >= lastMs) {
        throw lastMs < untilMs ? new LostPlace() : this.#refusal("the write's deadline is over");
      }
      const bytes = next === "delete" ? 0 : next.value.length;
      outcome(false);
      let answer: string;
      try {
        const lastUs = serverTime(time, lastMs);
        const run = () => this.#link.commands.compareAndSet(redisKey, cas, next, lastUs);
        answer = await this.#call(untilMs, run, bytes);
      } catch (error) {
        // Not sent, or refused by Redis itself: then nothing was stored.
        if (!(error instanceof StoreUnavailable) || error.cause instanceof ErrorReply || isUnsent(error)) {
          outcome(true);
        }
        throw error;
      }
      outcome(true);
      if (answer === LATE) this.#counters.late++;
      else if (answer === CONFLICT) this.#counters.conflicts++;
      else {
        stored?.(BigInt(answer));
        return result;
      }
    }
    throw this.#refusal(`${MAX_CONFLICTS} writers in a row were faster`);
  }

  async #removeAll(redisKeys: readonly Buffer[], untilMs: number): Promise<void> {
    const { prefix } = this.#options;
    const keys = redisKeys.map((redisKey) => redisKey.toString("latin1").slice(prefix.length));
    await this.#untilReady(untilMs);
    const writes = keys.map((key) => this.#coherence?.begin(key) ?? null);
    try {
      for (const write of writes) {
        if (write?.confirmed) await this.#within(untilMs, write.confirmed, "another node has not confirmed");
      }
      await this.#call(untilMs, () => this.#link.commands.unlink(redisKeys));
    } finally {
      for (const write of writes) this.#end(write);
    }
  }

  #end(write: Write | null): void {
    if (write !== null) this.#coherence?.end(write);
  }

  /** Nobody may hold a hot copy while the write could still be stored. */
  #endLater(key: Key, untilMs: number, write: Write | null): void {
    const release = this.#listener?.hold(key);
    const end = () => {
      release?.();
      this.#end(write);
    };
    setTimeout(end, Math.max(0, untilMs - performance.now()) + 1).unref();
  }

  #snapshot([value, flags, cas, expiry, marks]: readonly (Buffer | null)[]): Snapshot {
    if (!value || !cas) return { item: null, cas: cas?.toString() ?? "" };
    const expiresAtMs = Number(expiry?.toString() ?? 0);
    const isLive = expiresAtMs === 0 || expiresAtMs > this.#options.now();
    const markBits = Number(marks?.toString() ?? 0);
    const item: Item = {
      value,
      flags: Number(flags?.toString() ?? 0),
      expiresAtMs,
      cas: BigInt(cas.toString()),
      ...(markBits === 0 ? {} : { marks: markBits }),
    };
    return { item: isLive ? item : null, cas: cas.toString() };
  }

  /**
   * Runs a call under the bounds, and names every failure the same way. A call that was given up keeps its
   * place until the client lets go of it, so that what lies in the client's queues is bounded as well.
   */
  #call<T>(untilMs: number, run: () => Promise<T>, bytes = 0): Promise<T> {
    const { maxPending, maxPendingBytes } = this.#options;
    if (!this.#link.isUp) return Promise.reject(new Unsent("Redis: no connection", RETRY_AFTER_SECONDS));
    if (this.#pending >= maxPending || this.#pendingBytes + bytes > maxPendingBytes) {
      this.#counters.refused++;
      const waiting = `${this.#pending} calls with ${this.#pendingBytes} bytes are waiting for Redis already`;
      return Promise.reject(new Unsent(waiting, RETRY_AFTER_SECONDS));
    }
    this.#pending++;
    this.#pendingBytes += bytes;
    const done = run().finally(() => {
      this.#pending--;
      this.#pendingBytes -= bytes;
    });
    const answer = done.catch((cause: unknown) => {
      this.#counters.failed++;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new StoreUnavailable(`Redis: ${why}`, RETRY_AFTER_SECONDS, { cause });
    });
    return this.#within(untilMs, answer, "Redis: no answer");
  }

  #within<T>(untilMs: number, promise: Promise<T>, what: string): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const late = () => {
        this.#counters.timedOut++;
        reject(this.#refusal(`${what} within ${this.#options.deadlineMs} ms`));
      };
      const timer = setTimeout(late, untilMs - performance.now());
      promise.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  #refusal(why: string): StoreUnavailable {
    return new StoreUnavailable(why, RETRY_AFTER_SECONDS);
  }

  #redisKey(key: Key): Buffer {
    return Buffer.from(this.#options.prefix + key, "latin1");
  }

  #hold(key: Key): () => void {
    if (this.#listener !== null) return this.#listener.hold(key);
    const held: EarlyHold = { key, release: () => {} };
    this.#early.add(held);
    return () => {
      this.#early.delete(held);
      held.release();
    };
  }

  #tellTrust(): void {
    const trusted = this.#link.isTracking && (this.#options.coherence === "eventual" || this.#hasLease);
    if (trusted === this.#trusted) return;
    this.#trusted = trusted;
    this.#listener?.trusted(trusted);
  }

  #invalidated(redisKey: Buffer | null): void {
    // null: the server forgot what it tracked (FLUSHALL, or its table was full).
    const { prefix } = this.#options;
    const text = redisKey?.toString("latin1");
    if (text === undefined) this.#listener?.remoteWrite(null);
    else if (text.startsWith(prefix)) this.#listener?.remoteWrite(text.slice(prefix.length));
  }
}

/** Refused before anything was sent. */
class Unsent extends StoreUnavailable {}

function isUnsent(error: StoreUnavailable): boolean {
  // The client throws these before it writes anything.
  const name = error.cause instanceof Error ? error.cause.constructor.name : "";
  return error instanceof Unsent || name === "ClientOfflineError" || name === "ClientClosedError";
}

/** What the server's clock shows at least when this machine's shows `ms`. */
function serverTime({ us, atMs }: ServerTime, ms: number): number {
  return us + (ms - atMs) * 1_000;
}

function lazily(bus: () => RedisBus): ConstructorParameters<typeof Coherence>[0]["bus"] {
  return {
    enter: (id) => bus().enter(id),
    renew: (id) => bus().renew(id),
    expel: (id) => bus().expel(id),
    remove: (id) => bus().remove(id),
    broadcast: (text) => bus().broadcast(text),
    tell: (node, text) => bus().tell(node, text),
  };
}

async function settledWithin(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([promise.catch(() => {}), late]);
  clearTimeout(timer);
}
