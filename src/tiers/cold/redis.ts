/**
 * The cold tier in Redis or Valkey, shared by many nodes, through the official client. Acknowledged means
 * stored by Redis: an update resolves only after the script ran there. Every call has a deadline and a
 * place in a bounded queue; past either it fails with StoreUnavailable, and nothing waits for ever.
 *
 * A call that ran into its deadline may still take effect later: its writer was told "unavailable", not
 * "stored", and Redis's invalidation push makes the hot tier forget the key when it does.
 */
import { createClient, RESP_TYPES, type RedisClientType } from "redis";
import { CONFLICT, compareAndSet, ITEM_FIELDS } from "./redis-script.ts";
import {
  type Change,
  type ColdStore,
  type Item,
  type Key,
  type StoreListener,
  type StoreStats,
  StoreUnavailable,
} from "./store.ts";

export type RedisStoreOptions = {
  /** redis:// or rediss:// */
  readonly url: string;
  readonly prefix?: string;
  /** Milliseconds a call may take, waiting included. */
  readonly deadlineMs?: number;
  /** Calls in flight before new ones are refused. */
  readonly maxPending?: number;
  readonly now?: () => number;
  readonly onError?: (error: Error) => void;
};

const DEFAULTS = { prefix: "bmc:", deadlineMs: 1_000, maxPending: 10_000 } as const;
const RETRY_AFTER_SECONDS = 1;
/** Writers of one key that keep losing the race give up rather than spin. */
const MAX_CONFLICTS = 64;
const BACKOFF_MIN_MS = 50;
const BACKOFF_MAX_MS = 2_000;
const SCAN_COUNT = 1_000;

type Scripts = { compareAndSet: typeof compareAndSet };
type Client = RedisClientType<Record<never, never>, Record<never, never>, Scripts, 3>;
/** An item as read, and the cas its writer must name: an expired item is null but still has one. */
type Snapshot = { readonly item: Item | null; readonly cas: string };

export class RedisStore implements ColdStore {
  readonly name = "redis";
  readonly #client: Client;
  readonly #prefix: string;
  readonly #deadlineMs: number;
  readonly #maxPending: number;
  readonly #now: () => number;
  #listener: StoreListener | null = null;
  #pending = 0;
  #items = 0;

  private constructor(client: Client, options: RedisStoreOptions) {
    this.#client = client;
    this.#prefix = options.prefix ?? DEFAULTS.prefix;
    this.#deadlineMs = options.deadlineMs ?? DEFAULTS.deadlineMs;
    this.#maxPending = options.maxPending ?? DEFAULTS.maxPending;
    this.#now = options.now ?? Date.now;
  }

  /** @throws when the server cannot be reached at all: a wrong address is told at start, not later. */
  static async connect(options: RedisStoreOptions): Promise<RedisStore> {
    let connectedOnce = false;
    const client = createClient({
      url: options.url,
      RESP: 3,
      scripts: { compareAndSet },
      // Tracking: Redis tells this connection when a key it has read is changed by anyone.
      emitInvalidate: true,
      disableOfflineQueue: true,
      socket: {
        connectTimeout: 5_000,
        reconnectStrategy: (retries, cause) => (connectedOnce ? backoffMs(retries) : cause),
      },
    });
    const store = new RedisStore(client, options);
    client.on("error", (error: Error) => options.onError?.(error));
    client.on("ready", () => store.#listener?.trusted(true));
    // "reconnecting" and "end" both mean that invalidations are being missed from now on.
    client.on("reconnecting", () => store.#listener?.trusted(false));
    client.on("end", () => store.#listener?.trusted(false));
    client.on("invalidate", (key: Buffer | string | null) => store.#invalidated(key));
    await client.connect();
    connectedOnce = true;
    return store;
  }

  watch(listener: StoreListener): void {
    this.#listener = listener;
    listener.trusted(this.#client.isReady);
  }

  async get(key: Key): Promise<Item | null> {
    return (await this.#read(key)).item;
  }

  async update<T>(key: Key, change: (old: Item | null) => Change<T>): Promise<T> {
    for (let attempt = 0; attempt < MAX_CONFLICTS; attempt++) {
      const { item, cas } = await this.#read(key);
      const { next, result } = change(item);
      if (next === "keep" || (next === "delete" && cas === "")) return result;
      const outcome = await this.#call(() => this.#client.compareAndSet(this.#redisKey(key), cas, next));
      if (outcome !== CONFLICT) return result;
    }
    throw new StoreUnavailable(`${MAX_CONFLICTS} writers in a row were faster`, RETRY_AFTER_SECONDS);
  }

  /** Removes every key under this store's prefix, other users' keys stay. */
  async clear(): Promise<void> {
    let cursor = "0";
    do {
      const page = await this.#call(() =>
        this.#client.scan(cursor, { MATCH: `${this.#prefix}*`, COUNT: SCAN_COUNT }),
      );
      cursor = page.cursor;
      if (page.keys.length > 0) await this.#call(() => this.#client.unlink(page.keys));
    } while (cursor !== "0");
  }

  /** `items` is what Redis said when last asked; bytes, evictions and expirations are Redis's own affair. */
  stats(): StoreStats {
    this.#call(() => this.#client.dbSize()).then(
      (items) => {
        this.#items = items;
      },
      () => {},
    );
    return { items: this.#items, bytes: 0, evictions: 0, expirations: 0 };
  }

  async close(): Promise<void> {
    this.#listener = null;
    if (this.#client.isReady) await this.#client.close();
    else this.#client.destroy();
  }

  async #read(key: Key): Promise<Snapshot> {
    const reply = await this.#call(() =>
      this.#client
        .withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
        .hmGet(this.#redisKey(key), [...ITEM_FIELDS]),
    );
    const [value, flags, cas, expiry, marks] = reply as (Buffer | null)[];
    if (!value || !cas) return { item: null, cas: cas?.toString() ?? "" };
    const expiresAtMs = Number(expiry?.toString() ?? 0);
    const isLive = expiresAtMs === 0 || expiresAtMs > this.#now();
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

  /** Runs a call under the deadline and the bound, and names every failure the same way. */
  async #call<T>(run: () => Promise<T>): Promise<T> {
    if (this.#pending >= this.#maxPending) {
      throw new StoreUnavailable(`${this.#pending} calls are waiting for Redis already`, RETRY_AFTER_SECONDS);
    }
    this.#pending++;
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      const deadline = new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(new Error(`no answer within ${this.#deadlineMs} ms`)),
          this.#deadlineMs,
        );
      });
      return await Promise.race([run(), deadline]);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new StoreUnavailable(`Redis: ${why}`, RETRY_AFTER_SECONDS, { cause });
    } finally {
      clearTimeout(timer);
      this.#pending--;
    }
  }

  #redisKey(key: Key): Buffer {
    return Buffer.from(this.#prefix + key, "latin1");
  }

  #invalidated(redisKey: Buffer | string | null): void {
    // null: the server forgot what it tracked (FLUSHALL, or its table was full).
    const text = Buffer.isBuffer(redisKey) ? redisKey.toString("latin1") : redisKey;
    if (text === null) this.#listener?.remoteWrite(null);
    else if (text.startsWith(this.#prefix)) this.#listener?.remoteWrite(text.slice(this.#prefix.length));
  }
}

/** Doubling from 50 ms to 2 s, each spread over half its length, so that nodes do not come back in step. */
function backoffMs(retries: number): number {
  const full = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(retries, 10));
  return full / 2 + (Math.random() * full) / 2;
}
