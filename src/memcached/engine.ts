/**
 * What all connections of one memcached service share: the cache, the clock, the counters that `stats`
 * shows, and a flush_all still to come. Knows no sockets.
 */
import type { Cache } from "../tiers/cache.ts";
import type { Access } from "../tiers/cold/store.ts";
import { PrefixStats } from "./prefix-stats.ts";

/** The release whose answers ours are compared with (docs/memcached.md). */
export const VERSION = "1.6.18-bmc";
/** memcached's bound of an item with header, key and line end. */
export const ITEM_MAX_BYTES = 1_048_576;

/** Other workers of the same service: `stats` tells of all, and a delayed flush is everyone's. */
export interface Peers {
  /** Counters of all, this one's included, added up. */
  counters(): Promise<Counters>;
  resetCounters(): void;
  flushLater(seconds: number): void;
  cancelFlush(): void;
}

export type BmcStats = () => Iterable<readonly [name: string, value: string | number]>;

export type Transport = "tcp" | "udp";

/** Measures some of the requests, from their bytes' arrival until their answer was handed to the kernel. */
export type Latency = {
  /** Bytes have arrived: the time, or 0 if what they ask for is not measured. */
  start(): number;
  done(transport: Transport, tier: "hot" | "cold", startNs: number, commands: number): void;
};

export type EngineOptions = {
  readonly cache: Cache;
  /** The clock that items end by: milliseconds since the epoch. */
  readonly now?: () => number;
  /** Bound of the cold tier, for `stats`. */
  readonly maxBytes?: number;
  readonly itemMaxBytes?: number;
  /** Lines of `stats bmc`; without it the programs are off and the answer says so. */
  readonly bmcStats?: BmcStats;
  readonly peers?: Peers;
  /** Threads that serve, for `stats`. */
  readonly threads?: number;
  /** Told of each command once its reply is written, with the reply's bytes: for charging costs. */
  readonly onCommand?: (replyBytes: number, transport: Transport) => void;
  /** Told of each command that the programs at a TCP connection's socket passed, and why. */
  readonly onCrossed?: (why: number) => void;
  readonly latency?: Latency;
  /** Told of a fault of our own while a command ran; the client got SERVER_ERROR. */
  readonly onFault?: (error: unknown) => void;
};

/** Counted where they happen, named as memcached's `stats` names them. */
export const newCounters = () => ({
  cmd_get: 0,
  cmd_set: 0,
  cmd_flush: 0,
  cmd_touch: 0,
  cmd_meta: 0,
  get_hits: 0,
  get_misses: 0,
  delete_misses: 0,
  delete_hits: 0,
  incr_misses: 0,
  incr_hits: 0,
  decr_misses: 0,
  decr_hits: 0,
  cas_misses: 0,
  cas_hits: 0,
  cas_badval: 0,
  touch_hits: 0,
  touch_misses: 0,
  store_too_large: 0,
  store_unavailable: 0,
  total_items: 0,
  bytes_read: 0,
  bytes_written: 0,
  curr_connections: 0,
  total_connections: 0,
  rejected_connections: 0,
  udp_requests: 0,
  udp_dropped: 0,
});
export type Counters = ReturnType<typeof newCounters>;

export class Engine {
  readonly cache: Cache;
  readonly now: () => number;
  readonly counters: Counters = newCounters();
  readonly startedMs: number;
  readonly maxBytes: number;
  readonly itemMaxBytes: number;
  readonly bmcStats: BmcStats | null;
  readonly peers: Peers | null;
  readonly threads: number;
  readonly onFault: (error: unknown) => void;
  readonly onCommand: EngineOptions["onCommand"] | null;
  readonly onCrossed: EngineOptions["onCrossed"] | null;
  readonly latency: Latency | null;
  /** What `stats settings` shows of the servers; they fill it in. */
  readonly settings = { maxconns: 0, tcpport: 0, udpport: 0, inter: "127.0.0.1", idle_timeout: 0 };
  verbosity = 0;
  readonly prefixes = new PrefixStats();
  #flushTimer: NodeJS.Timeout | null = null;

  constructor(options: EngineOptions) {
    this.cache = options.cache;
    this.now = options.now ?? Date.now;
    this.startedMs = this.now();
    this.maxBytes = options.maxBytes ?? 64 * 1024 * 1024;
    this.itemMaxBytes = options.itemMaxBytes ?? ITEM_MAX_BYTES;
    this.bmcStats = options.bmcStats ?? null;
    this.peers = options.peers ?? null;
    this.threads = options.threads ?? 1;
    this.onCommand = options.onCommand ?? null;
    this.onCrossed = options.onCrossed ?? null;
    this.latency = options.latency ?? null;
    this.onFault = options.onFault ?? (() => undefined);
  }

  freshAccess(): Access {
    return { fetched: false, atSeconds: Math.floor(this.now() / 1000) };
  }

  /** memcached's arithmetic of an item's size: header, key and NUL, flags where set, value, \r\n, cas. */
  itemBytes(keyBytes: number, flags: number, valueBytes: number): number {
    return 48 + keyBytes + 1 + (flags === 0 ? 0 : 4) + valueBytes + 2 + 8;
  }

  /** Empties the cache in `seconds`; another flush_all before then takes this one's place. */
  flushLater(seconds: number): void {
    if (this.peers !== null) {
      this.peers.flushLater(seconds);
      return;
    }
    this.cancelFlush();
    this.#flushTimer = setTimeout(() => {
      this.#flushTimer = null;
      // Nobody waits for this answer; an unreachable store is counted and its items live on.
      Promise.resolve(this.cache.clear()).catch(() => this.counters.store_unavailable++);
    }, seconds * 1000);
    this.#flushTimer.unref();
  }

  cancelFlush(): void {
    this.peers?.cancelFlush();
    if (this.#flushTimer) clearTimeout(this.#flushTimer);
    this.#flushTimer = null;
  }

  resetCounters(): void {
    if (this.peers !== null) this.peers.resetCounters();
    else this.resetOwnCounters();
  }

  resetOwnCounters(): void {
    this.prefixes.clear();
    const { curr_connections } = this.counters;
    Object.assign(this.counters, newCounters(), { curr_connections });
  }
}
