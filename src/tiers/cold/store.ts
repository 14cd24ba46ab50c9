/**
 * The cold tier's contract. A store may answer at once (in memory) or later (over a network): every
 * operation returns a value or a promise, and callers go through `andThen`, so that the in-memory path
 * never pays for a microtask. Every change is one atomic read-modify-write per key.
 */

/** A key as a latin1 string: one char a byte, 1..250 of them, so that any bytes survive. */
export type Key = string;

export type Item = {
  readonly value: Uint8Array;
  /** memcached's opaque client flags; 0 over HTTP. */
  readonly flags: number;
  /** Wall-clock milliseconds since the epoch; 0 = never. */
  readonly expiresAtMs: number;
  /** Changes with every write of the key, never repeats. */
  readonly cas: bigint;
  /** memcached's marks on an item, bits of MARK; absent = none. A store keeps them with the item. */
  readonly marks?: number | undefined;
  /** Who read it last; shared by reference, lost where items leave the process. */
  readonly access?: Access | undefined;
};

/** Stale and token sent steer who recomputes an item (meta commands); binaryKey says how it was named. */
export const MARK = { stale: 1, tokenSent: 2, binaryKey: 4 } as const;

/** Wall-clock seconds of the last read or write, and whether there was a read at all. */
export type Access = { fetched: boolean; atSeconds: number };

/** What to store. With a `cas` the item keeps that number (a touch changes none), else it gets a new one. */
export type NewItem = Omit<Item, "cas"> & { readonly cas?: bigint | undefined };

/** What a read-modify-write decided: the item to store, or to delete or keep what is there. */
export type Change<T> = {
  readonly next: NewItem | "delete" | "keep";
  readonly result: T;
  /** Told the cas of the item once it is stored, before `update` answers. */
  readonly stored?: ((cas: bigint) => void) | undefined;
};

export type MaybePromise<T> = T | Promise<T>;

export type StoreStats = { items: number; bytes: number; evictions: number; expirations: number };

/** What only a store that is shared counts; `nodes` is null where others are only heard of in passing. */
export type SharedStats = {
  readonly pending: number;
  /** Calls refused because too many were waiting, given up at their deadline, answered by an error. */
  readonly refused: number;
  readonly timedOut: number;
  readonly failed: number;
  /** Writes that were repeated because another one came first, or their time was over when they got there. */
  readonly conflicts: number;
  readonly late: number;
  /** Redis tells of every foreign write of what was read. */
  readonly isTracking: boolean;
  readonly nodes: {
    readonly others: number;
    readonly isIn: boolean;
    readonly holding: number;
    readonly rounds: number;
    readonly waitedMs: number;
    readonly expulsions: number;
    readonly rejoins: number;
    readonly lapses: number;
  } | null;
};

/** What a store shared with other nodes tells its node, so that no hot copy outlives a write elsewhere. */
export interface StoreListener {
  /** The key was, or may have been, written by anyone; null: every key. */
  remoteWrite(key: Key | null): void;
  /** The key is about to be written elsewhere: its hot entry serves and takes nothing until the result is called. */
  hold(key: Key): () => void;
  /** False while writes elsewhere may go unnoticed: the hot tier must not be used. */
  trusted(trusted: boolean): void;
}

export interface ColdStore {
  readonly name: string;
  /** Only stores that others can write to have it. Calls `trusted` at once. */
  watch?(listener: StoreListener): void;
  /**
   * Only stores whose trust is good for a time have it: tells the listener when the time is over. To be called
   * before anything is served hot, since a process that slept runs its timers too late.
   */
  checkTrust?(): void;
  /** The live item, or null. An expired item is never returned. */
  get(key: Key): MaybePromise<Item | null>;
  /**
   * Atomic per key: `change` sees the live item (with its cas) and decides. It may be called again when
   * another writer won the race, so it must be pure.
   */
  update<T>(key: Key, change: (old: Item | null) => Change<T>): MaybePromise<T>;
  /** Drops everything. */
  clear(): MaybePromise<void>;
  stats(): StoreStats;
  sharedStats?(): SharedStats;
  close(): MaybePromise<void>;
}

/** The cold tier cannot answer now: HTTP 503 with Retry-After, memcached SERVER_ERROR. */
export class StoreUnavailable extends Error {
  readonly code = "STORE_UNAVAILABLE";
  readonly retryAfterSeconds: number;
  constructor(message: string, retryAfterSeconds: number, options?: ErrorOptions) {
    super(message, options);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** An item does not fit the store's bounds. */
export class ItemTooLarge extends Error {
  readonly code = "ITEM_TOO_LARGE";
}

/** Goes on at once where the value is there, else when it comes. */
export function andThen<A, B>(value: MaybePromise<A>, next: (a: A) => MaybePromise<B>): MaybePromise<B> {
  return value instanceof Promise ? value.then(next) : next(value);
}
