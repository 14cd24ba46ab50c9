/**
 * The main thread of `bmc serve --workers N`. It serves nothing: it lays out the shared memory, owns the in-memory
 * store, starts the workers, puts a new one in a dead one's place, and adds up what they count.
 */
import { existsSync } from "node:fs";
import { MessageChannel, Worker } from "node:worker_threads";
import type { Logger } from "pino";
import type { Registry } from "prom-client";
import type { Config } from "../../config.ts";
import { ConfigError } from "../../config.ts";
import { type Counters, newCounters } from "../../memcached/engine.ts";
import { type Family, sample } from "../../metrics/family.ts";
import { countsOf, type FamilyFacts, mergeSamples, type WorkerSamples } from "../../metrics/merge.ts";
import { createRegistry } from "../../metrics/registry.ts";
import { StoreOwner, sharedStats } from "../../tiers/cold/shared-store.ts";
import type { SharedCpu } from "../../tiers/hot/machine.ts";
import { configPath } from "../config-files.ts";
import { Refusal } from "../exit.ts";
import { parseListen } from "../memcached-front.ts";
import type { Service } from "../service.ts";
import { Calls } from "./calls.ts";
import { claimPort } from "./claim-port.ts";
import type { WorkerData } from "./worker.ts";

const WORKER_PATH = configPath("..", "dist", "cli", "workers", "worker.js");
/** A worker that does not answer a scrape in time is counted as it last was. */
const SCRAPE_DEADLINE_MS = 1_000;
/** Between a worker's death and its successor's start, doubling while they die young. */
const RESPAWN_MIN_MS = 50;
const RESPAWN_MAX_MS = 5_000;
const YOUNG_MS = 10_000;
/** What ends by itself gets this long beyond the service's own deadline. */
const STOP_GRACE_MS = 2_000;

/** First releases with `reusePort`. */
const REUSE_PORT = [
  { major: 22, minor: 12 },
  { major: 23, minor: 1 },
] as const;

/** @throws ConfigError where several workers cannot share a port */
export function requireReusePort(version = process.versions.node): void {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const line = REUSE_PORT.find((first) => first.major === major);
  if (line ? minor >= line.minor : major > 23) return;
  throw new ConfigError(
    `config: server.workers is more than 1, which needs Node 22.12 or later (SO_REUSEPORT); this is Node ${version}`,
  );
}

export type SupervisorOptions = {
  readonly config: Config;
  /** Of the main thread: built over the shared memory, never listening. */
  readonly service: Service;
  readonly shared: Omit<SharedCpu, "cpu">;
  readonly timeOfDayOffsetMs: number;
  readonly logger: Logger;
};

type Crew = {
  readonly cpu: number;
  readonly thread: Worker;
  readonly calls: Calls;
  readonly startedMs: number;
  readonly hangUp: () => void;
  /** Resolves when the thread has ended. */
  readonly ended: Promise<void>;
  /** Once it listens. */
  serves: boolean;
  /** As of the last scrape. */
  samples: WorkerSamples;
};

export class Supervisor {
  restarts = 0;
  readonly #options: SupervisorOptions;
  /** The main thread's own, and what only workers have: their ways to a shared cold tier. */
  #families: readonly Family[];
  readonly #crew = new Map<number, Crew>();
  readonly #stats = sharedStats();
  readonly #owner: StoreOwner | null;
  /** What workers that have gone had counted. */
  #departed: WorkerSamples = {};
  #merged: WorkerSamples = {};
  /** Once the workers have told what they count. */
  #registry: Registry | null = null;
  #config: Config;
  #proved: readonly string[] = [];
  #stopping = false;
  #respawnMs = RESPAWN_MIN_MS;
  #flushTimer: NodeJS.Timeout | null = null;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#config = options.config;
    const { service, config } = options;
    this.#owner = config.cold.url === null ? new StoreOwner(service.cache.cold, this.#stats) : null;
    this.#families = service.families;
  }

  /** @throws Refusal when an address cannot be bound or a worker does not start */
  async start(): Promise<{ readonly url: string; readonly memcached: string | null }> {
    const { config, service } = this.#options;
    if (!existsSync(WORKER_PATH)) throw new Refusal(`${WORKER_PATH} is missing: run npm run build`);
    const { host } = config.server;
    const port = await claimPort(host, config.server.port);
    let { listen } = config.memcached;
    if (listen !== null) {
      const wanted = parseListen(listen);
      const shown = wanted.host.includes(":") ? `[${wanted.host}]` : wanted.host;
      listen = `${shown}:${await claimPort(wanted.host, wanted.port, true)}`;
    }
    this.#config = {
      ...config,
      server: { ...config.server, port },
      memcached: { ...config.memcached, listen },
    };
    this.#proved = [...(service.machine?.proved ?? [])];
    const cpus = Array.from({ length: config.server.workers }, (_, cpu) => cpu);
    try {
      await Promise.all(cpus.map((cpu) => this.#start(cpu)));
    } catch (error) {
      await this.stop();
      throw new Refusal(error instanceof Error ? error.message : String(error), { cause: error });
    }
    await this.#learnFamilies();
    return { url: `http://${host.includes(":") ? `[${host}]` : host}:${port}`, memcached: listen };
  }

  /** The threads that serve, by CPU. */
  get threads(): ReadonlyMap<number, Worker> {
    return new Map([...this.#crew].map(([cpu, { thread }]) => [cpu, thread]));
  }

  /** Drains all workers, each as a single service drains, and ends them. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#cancelFlush();
    const deadline = this.#config.server.shutdownDeadlineMs + STOP_GRACE_MS;
    await Promise.all(
      [...this.#crew.values()].map(async ({ calls, thread, ended, hangUp }) => {
        await within(deadline, calls.ask("stop")).catch(() => {});
        void thread.terminate();
        await ended;
        hangUp();
      }),
    );
    await this.#options.service.cache.cold.close();
  }

  async #start(cpu: number): Promise<void> {
    const { shared, timeOfDayOffsetMs, logger } = this.#options;
    const talk = new MessageChannel();
    const store = this.#owner && new MessageChannel();
    const data: WorkerData = {
      config: this.#config,
      cpu: { ...shared, cpu },
      proved: this.#proved,
      timeOfDayOffsetMs,
      calls: talk.port2,
      store: store && { port: store.port2, stats: this.#stats },
    };
    const thread = new Worker(WORKER_PATH, {
      workerData: data,
      transferList: [talk.port2, ...(store ? [store.port2] : [])],
      name: `bmc ${cpu}`,
    });
    if (store) this.#owner?.serve(store.port1);
    const calls = new Calls(talk.port1, {
      metrics: () => this.#metrics(),
      counters: () => this.#counters(),
      resetCounters: () => this.#all("resetCounters"),
      flushLater: (seconds: number) => this.#flushLater(seconds),
      cancelFlush: () => this.#cancelFlush(),
    });
    let lastError: unknown;
    thread.on("error", (error) => {
      lastError = error;
    });
    const hangUp = (): void => {
      // First: from here on nothing the worker had asked of the store happens any more.
      store?.port1.close();
      calls.close();
    };
    const ended = new Promise<void>((resolve) => {
      thread.once("exit", (code) => {
        resolve(this.#ended(cpu, code, lastError, hangUp));
      });
    });
    const startedMs = performance.now();
    const member: Crew = { cpu, thread, calls, startedMs, hangUp, ended, serves: false, samples: {} };
    this.#crew.set(cpu, member);
    try {
      await calls.ask("start");
      member.serves = true;
    } catch (error) {
      logger.debug({ worker: cpu, err: error }, "worker did not start");
      throw lastError ?? error;
    }
  }

  async #ended(cpu: number, code: number, error: unknown, hangUp: () => void): Promise<void> {
    const gone = this.#crew.get(cpu);
    this.#crew.delete(cpu);
    hangUp();
    const mended = (await this.#options.service.machine?.hot.buryWorker(cpu)) ?? 0;
    const { logger } = this.#options;
    if (this.#stopping && error !== undefined) {
      logger.error({ worker: cpu, code, err: error }, "worker ended while the service was stopping");
    }
    if (this.#stopping || gone === undefined) return;
    const counts = countsOf(this.#families, gone.samples);
    this.#departed = mergeSamples(this.#families, [this.#departed, counts]);
    this.restarts++;
    const young = performance.now() - gone.startedMs < YOUNG_MS;
    this.#respawnMs = young ? Math.min(RESPAWN_MAX_MS, this.#respawnMs * 2) : RESPAWN_MIN_MS;
    logger.error(
      { worker: cpu, code, err: error, invalidatedEntries: mended, replacedInMs: this.#respawnMs },
      "worker ended and is replaced",
    );
    setTimeout(() => {
      if (this.#stopping) return;
      // A successor that does not start ends in #ended, too, and the next one waits longer.
      this.#start(cpu).catch(() => void this.#crew.get(cpu)?.thread.terminate());
    }, this.#respawnMs);
  }

  async #learnFamilies(): Promise<void> {
    const known = new Set(this.#families.map(({ name }) => name));
    const [facts = []] = await this.#all<FamilyFacts[]>("facts");
    const read = () => [];
    this.#families = [
      ...this.#families,
      ...facts.filter(({ name }) => !known.has(name)).map((fact) => ({ ...fact, read })),
    ];
    const told = this.#families.map((family) => ({
      ...family,
      read: () => this.#merged[family.name] ?? [],
    }));
    this.#registry = createRegistry([...told, ...this.#ownFamilies()]);
  }

  async #all<T>(ask: string): Promise<T[]> {
    const answers = [...this.#crew.values()].map(({ calls }) =>
      within(SCRAPE_DEADLINE_MS, calls.ask<T>(ask)).catch(() => null),
    );
    return (await Promise.all(answers)).filter((answer) => answer !== null) as T[];
  }

  async #metrics(): Promise<string> {
    await Promise.all(
      [...this.#crew.values()].map(async (member) => {
        const fresh = within(SCRAPE_DEADLINE_MS, member.calls.ask<WorkerSamples>("samples"));
        member.samples = await fresh.catch(() => member.samples);
      }),
    );
    const parts = [...this.#crew.values()].map(({ samples }) => samples);
    this.#merged = mergeSamples(this.#families, [...parts, this.#departed]);
    return (await this.#registry?.metrics()) ?? "";
  }

  async #counters(): Promise<Counters> {
    const sums = newCounters();
    for (const counters of await this.#all<Counters>("counters")) {
      for (const name of Object.keys(sums) as (keyof Counters)[]) sums[name] += counters[name];
    }
    return sums;
  }

  #flushLater(seconds: number): void {
    this.#cancelFlush();
    this.#flushTimer = setTimeout(() => {
      // One worker does it for all: both tiers are shared.
      const [any] = this.#crew.values();
      any?.calls
        .ask("clear")
        .catch((err: unknown) => this.#options.logger.warn({ err }, "delayed flush_all failed"));
    }, seconds * 1000).unref();
  }

  #cancelFlush(): void {
    if (this.#flushTimer) clearTimeout(this.#flushTimer);
    this.#flushTimer = null;
  }

  #ownFamilies(): readonly Family[] {
    return [
      {
        name: "bmc_workers",
        help: "Worker threads that serve.",
        type: "gauge",
        read: () => [sample([...this.#crew.values()].filter(({ serves }) => serves).length)],
      },
      {
        name: "bmc_worker_restarts_total",
        help: "Workers that ended unasked and were replaced.",
        type: "counter",
        read: () => [sample(this.restarts)],
      },
      {
        name: "bmc_worker_busy_seconds_total",
        help: "Time a worker's event loop was not idle, since the worker started.",
        type: "counter",
        read: () =>
          [...this.#crew.values()].map(({ cpu, thread }) =>
            sample(thread.performance.eventLoopUtilization().active / 1e3, { worker: String(cpu) }),
          ),
      },
    ];
  }
}

function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
