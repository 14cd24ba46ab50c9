/**
 * A way to Redis, whatever stands at its end: one server, a Cluster, or the master of the day by Sentinel. Every
 * connection has RESP3 tracking on, so that Redis tells when a key read over it is changed by anyone; what
 * makes one of them doubtful (an error, an end, a topology that is being looked up) is told at once, and
 * that all are there again only after each has answered.
 */
import { readFileSync } from "node:fs";
import { BasicPooledClientSideCache, createClient, createCluster, createSentinel, RESP_TYPES } from "redis";
import type { RedisAddress } from "./redis-address.ts";
import { SCRIPTS } from "./redis-script.ts";
import type { NewItem } from "./store.ts";

/** What is asked of Redis; the client's three kinds all have it, under types of their own. */
export interface RedisCommands {
  hmGet(key: Buffer, fields: readonly string[]): Promise<(Buffer | null)[]>;
  readForUpdate(key: Buffer): Promise<(Buffer | null)[]>;
  compareAndSet(key: Buffer, cas: string, next: NewItem | "delete", untilUs: number): Promise<string>;
  renewNode(list: Buffer, id: string): Promise<string>;
  expelNode(list: Buffer, id: string): Promise<string>;
  hSet(key: Buffer, field: string, value: string): Promise<number>;
  hKeys(key: Buffer): Promise<Buffer[]>;
  hDel(key: Buffer, field: string): Promise<number>;
  scan(
    cursor: string,
    options: { MATCH: string; COUNT: number },
  ): Promise<{ cursor: Buffer; keys: Buffer[] }>;
  unlink(keys: readonly Buffer[]): Promise<number>;
  dbSize(): Promise<number>;
}

export interface RedisLink {
  readonly commands: RedisCommands;
  /** False while a call would only wait for a connection. */
  readonly isUp: boolean;
  subscribe(channel: string, listener: (message: string) => void): Promise<void>;
  publish(channel: string, message: string): Promise<number>;
  /** No invalidation was missed since it last became true. */
  readonly isTracking: boolean;
  close(withinMs: number): Promise<void>;
}

export type LinkOptions = {
  readonly address: RedisAddress;
  /** PEM file of authorities to trust besides the usual ones, for TLS. */
  readonly caFile?: string | null | undefined;
  /** A connection that is silent for so long is given up; it is asked for a sign of life more often. */
  readonly silenceMs: number;
  /** null: any key. */
  readonly invalidated: (redisKey: Buffer | null) => void;
  readonly tracking: (isTracking: boolean) => void;
  readonly onError: (error: Error) => void;
};

const CONNECT_TIMEOUT_MS = 5_000;
const BACKOFF_MIN_MS = 50;
const BACKOFF_MAX_MS = 2_000;
const PROBE_MS = 50;

/** @throws when nobody can be reached: a wrong address is told at start, not later. */
export async function connectLink(options: LinkOptions): Promise<RedisLink> {
  const { address } = options;
  const watch = new TrackingWatch(options);
  let hasConnected = false;
  const socket = {
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: options.silenceMs,
    reconnectStrategy: (retries: number, cause: Error) => (hasConnected ? backoffMs(retries) : cause),
    ...tlsOptions(options),
  };
  const common = { RESP: 3 as const, commandOptions: COMMAND_OPTIONS };
  const node = {
    ...common,
    ...(address.username !== null && { username: address.username }),
    ...(address.password !== null && { password: address.password }),
    ...(address.database !== 0 && { database: address.database }),
    disableOfflineQueue: true,
    pingInterval: Math.ceil(options.silenceMs / 4),
    maintNotifications: "disabled" as const,
    socket,
  };
  const way = WAYS[address.kind]({ address, node, socket, watch, options });
  await way.connect();
  hasConnected = true;
  watch.begin(way.probe);
  return {
    commands: way.commands as RedisCommands,
    get isUp() {
      return way.isUp();
    },
    get isTracking() {
      return watch.isTracking;
    },
    subscribe: way.subscribe,
    publish: way.publish,
    async close(withinMs) {
      watch.end();
      const late = setTimeout(way.destroy, withinMs);
      await way.close().catch(() => way.destroy());
      clearTimeout(late);
    },
  };
}

/** No timer of the client's own for each command: every call has its deadline here. Values are bytes. */
const COMMAND_OPTIONS = { timeout: 0, typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } };

type Way = {
  readonly commands: unknown;
  connect(): Promise<unknown>;
  isUp(): boolean;
  /** Settles when every connection that tracks has answered. */
  probe(): Promise<unknown>;
  subscribe(channel: string, listener: (message: string) => void): Promise<void>;
  publish(channel: string, message: string): Promise<number>;
  close(): Promise<unknown>;
  destroy(): void;
};
type Parts = {
  readonly address: RedisAddress;
  readonly node: NodeOptions;
  readonly socket: SocketOptions;
  readonly watch: TrackingWatch;
  readonly options: LinkOptions;
};
type SocketOptions = {
  readonly connectTimeout: number;
  readonly socketTimeout: number;
  readonly reconnectStrategy: (retries: number, cause: Error) => number | Error;
};
type NodeOptions = {
  readonly RESP: 3;
  readonly commandOptions: typeof COMMAND_OPTIONS;
  readonly username?: string;
  readonly password?: string;
  readonly database?: number;
  readonly disableOfflineQueue: boolean;
  readonly pingInterval: number;
  readonly maintNotifications: "disabled";
  readonly socket: SocketOptions;
};

const WAYS: Readonly<Record<RedisAddress["kind"], (parts: Parts) => Way>> = {
  server({ address, node, socket, watch, options }) {
    const [{ host, port }] = address.hosts;
    const client = createClient({
      ...node,
      scripts: SCRIPTS,
      clientSideCache: watch,
      socket: { ...socket, host, port },
    });
    client.on("error", options.onError);
    return {
      commands: client,
      connect: () => client.connect(),
      isUp: () => client.isReady,
      probe: () => client.ping(),
      subscribe: (channel, listener) => client.subscribe(channel, listener),
      publish: (channel, message) => client.publish(channel, message),
      close: () => client.close(),
      destroy: () => client.destroy(),
    };
  },

  cluster({ address, node, watch, options }) {
    const cluster = createCluster({
      rootNodes: address.hosts.map(({ host, port }) => ({ socket: { host, port } })),
      defaults: node,
      RESP: 3,
      commandOptions: COMMAND_OPTIONS,
      scripts: SCRIPTS,
      clientSideCache: watch,
    });
    cluster.on("error", options.onError);
    cluster.on("node-error", options.onError);
    return {
      commands: cluster,
      connect: () => cluster.connect(),
      isUp: () => cluster.isReady,
      probe: () =>
        Promise.all(cluster.masters.map(async (master) => (await cluster.nodeClient(master)).ping())),
      // Sharded: the channel's own master carries it in order; between masters a message may get lost.
      subscribe: (channel, listener) => cluster.sSubscribe(channel, listener),
      publish: (channel, message) => cluster.sPublish(channel, message),
      close: () => cluster.close(),
      destroy: () => cluster.destroy(),
    };
  },

  sentinel({ address, node, socket, watch, options }) {
    const sentinel = createSentinel({
      name: address.master,
      sentinelRootNodes: address.hosts.map(({ host, port }) => ({ host, port })),
      nodeClientOptions: { ...node, socket },
      // Without credentials, and with text for answers.
      sentinelClientOptions: { maintNotifications: "disabled", socket: tlsOptions(options) },
      RESP: 3,
      commandOptions: COMMAND_OPTIONS,
      scripts: SCRIPTS,
      clientSideCache: watch,
      // A call is never sent twice: the first may have been obeyed before its connection broke.
      maxCommandRediscovers: 0,
    });
    sentinel.on("error", options.onError);
    return {
      commands: sentinel,
      connect: () => sentinel.connect(),
      isUp: () => watch.isTracking,
      probe: () => sentinel.dbSize(),
      subscribe: (channel, listener) => sentinel.subscribe(channel, listener),
      publish: (channel, message) => sentinel.publish(channel, message),
      close: () => sentinel.close(),
      destroy: () => void sentinel.destroy(),
    };
  },
};

function tlsOptions({ address, caFile }: LinkOptions): { tls?: true; ca?: Buffer } {
  if (!address.tls) return {};
  return { tls: true, ...(caFile ? { ca: readFileSync(caFile) } : {}) };
}

type HandleCache = BasicPooledClientSideCache["handleCache"];

/** Sits in the client's place for a cache, keeps nothing, and hears all that concerns tracking. */
class TrackingWatch extends BasicPooledClientSideCache {
  isTracking = false;
  readonly #options: LinkOptions;
  #probe: (() => Promise<unknown>) | null = null;
  #doubts = 0;
  #timer: NodeJS.Timeout | null = null;
  #isLookingUp = false;
  #hasEnded = false;

  constructor(options: LinkOptions) {
    super({ recordStats: false });
    this.#options = options;
  }

  begin(probe: () => Promise<unknown>): void {
    this.#probe = probe;
    this.isTracking = true;
  }

  end(): void {
    this.#hasEnded = true;
    if (this.#timer) clearTimeout(this.#timer);
  }

  override async handleCache(...[, parser, run, transform, mapping]: Parameters<HandleCache>) {
    const reply = await run();
    return transform ? transform(reply, parser.preserve, mapping) : reply;
  }

  override invalidate(key: Parameters<BasicPooledClientSideCache["invalidate"]>[0]): void {
    this.#options.invalidated(typeof key === "string" ? Buffer.from(key) : key);
  }

  override onError(): void {
    this.#doubt();
  }

  override onClose(): void {
    this.#doubt();
  }

  override onPoolClose(): void {
    this.#doubt();
  }

  /** The Cluster's topology is looked up: until enable() nobody knows who tracks what. */
  override disable(): void {
    super.disable();
    this.#isLookingUp = true;
    this.#doubt();
  }

  override enable(): void {
    super.enable();
    this.#isLookingUp = false;
  }

  #doubt(): void {
    this.#doubts++;
    if (this.#probe === null || this.#hasEnded) return;
    if (this.isTracking) {
      this.isTracking = false;
      this.#options.tracking(false);
    }
    this.#ask();
  }

  #ask(): void {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(async () => {
      const doubts = this.#doubts;
      const answered = await this.#probe?.().then(
        () => true,
        () => false,
      );
      this.#timer = null;
      if (this.#hasEnded || this.isTracking) return;
      if (!answered || this.#isLookingUp || doubts !== this.#doubts) return this.#ask();
      this.isTracking = true;
      this.#options.tracking(true);
    }, PROBE_MS).unref();
  }
}

/** Doubling from 50 ms to 2 s, each spread over half its length, so that nodes do not come back in step. */
function backoffMs(retries: number): number {
  const full = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(retries, 10));
  return full / 2 + (Math.random() * full) / 2;
}
