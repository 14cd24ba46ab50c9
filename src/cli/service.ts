/**
 * The service put together: tiers, machine, hook, HTTP server, metrics. The one place that knows all of
 * them; `bmc serve` starts it, tests start it in their own process.
 */
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import { LoadError } from "../bpf/load-error.ts";
import type { Config } from "../config.ts";
import { ConfigError } from "../config.ts";
import { Injector } from "../costs/injector.ts";
import { Meter } from "../hooks/meter.ts";
import { loadStreamPair, StreamPrograms } from "../hooks/stream-programs.ts";
import { TcpStreamHook } from "../hooks/tcp-stream.ts";
import { createApp } from "../http/app.ts";
import { LabGuard } from "../http/lab/guard.ts";
import { problem } from "../http/problem.ts";
import { rawAnswer } from "../http/raw-answer.ts";
import type { Peers } from "../memcached/engine.ts";
import type { Family } from "../metrics/family.ts";
import { hookFamilies } from "../metrics/hook-families.ts";
import { HotCounters } from "../metrics/hot-counters.ts";
import { limitFamilies } from "../metrics/limit-families.ts";
import { createRegistry } from "../metrics/registry.ts";
import { RequestSampler } from "../metrics/request-sampler.ts";
import { servingFamilies } from "../metrics/serving-families.ts";
import { ServingStats } from "../metrics/serving-stats.ts";
import { sharedColdFamilies } from "../metrics/shared-cold-families.ts";
import { MemoryStore } from "../tiers/cold/memory.ts";
import type { ColdStore } from "../tiers/cold/store.ts";
import { CROSSING_INDEX } from "../tiers/crossing.ts";
import { Admission } from "../tiers/hot/admission.ts";
import type { SharedCpu } from "../tiers/hot/machine.ts";
import { HotMachine } from "../tiers/hot/machine.ts";
import { busyMessage, Intake, RETRY_AFTER_SECONDS } from "../tiers/intake.ts";
import { steadyClock, timeOfDayOffsetMs } from "../tiers/steady-clock.ts";
import { TieredCache } from "../tiers/tiered-cache.ts";
import { configPath, loadProfile, shippedObject } from "./config-files.ts";
import { Refusal } from "./exit.ts";
import { ServiceLab } from "./lab-backend.ts";
import { LabPrograms } from "./lab-programs.ts";
import { MemcachedFront } from "./memcached-front.ts";
import { oneLine, readObject } from "./program-reference.ts";

/** What http_kv.h writes into every hot answer. */
const PROGRAM_KEEP_ALIVE_SECONDS = 72;
const CLOSE_POLL_MS = 20;

export type ServiceParts = {
  readonly logger: Logger;
  /** Default: lru-cache in memory, bounded as configured. */
  readonly cold?: ColdStore;
  /** Where several workers serve: this one's part. */
  readonly worker?: WorkerPart;
};

/** What a service is told that is one of several over the same hot tier and the same ports. */
export type WorkerPart = {
  readonly cpu: SharedCpu;
  /** Programs already verified in this process. */
  readonly proved: readonly string[];
  /** The same in all, for the clock that items end by. */
  readonly timeOfDayOffsetMs: number;
  /** Text for /metrics: of all workers. */
  readonly metrics: () => Promise<string>;
  readonly peers: Peers;
};

const NO_LAB = "the lab shows a service of one process: start it without --workers";

export class Service {
  readonly config: Config;
  readonly cache: TieredCache;
  readonly machine: HotMachine | null;
  readonly hook: TcpStreamHook | null;
  /** null unless configured to listen. */
  readonly memcached: MemcachedFront | null;
  readonly stats = new ServingStats();
  readonly meter: Meter;
  readonly sampler: RequestSampler;
  readonly app: FastifyInstance;
  readonly objectPath: string;
  readonly families: readonly Family[];
  readonly #worker: WorkerPart | null;
  #closing = false;
  #port = 0;
  #dropped = 0;

  /** @throws ConfigError, Refusal */
  constructor(config: Config, { logger, cold, worker }: ServiceParts) {
    this.config = config;
    this.#worker = worker ?? null;
    requireLabForWrite(config);
    const nowNs = () => performance.now() * 1e6;
    const nowMs =
      config.cold.url === null ? steadyClock(worker?.timeOfDayOffsetMs ?? timeOfDayOffsetMs()) : Date.now;
    const profile = loadProfile(config.costs.profile);
    const injector = new Injector({ scale: config.costs.scale, nowNs });
    if (config.costs.scale > 0) injector.calibrate();
    this.meter = new Meter(profile, injector, this.stats);
    this.sampler = new RequestSampler(nowNs);
    this.objectPath = config.offload.program ?? shippedObject("http_kv", config.hot.policy);

    let programs: StreamPrograms | null = null;
    let machine: HotMachine | null = null;
    if (config.offload.mode === "on") {
      requireProgramsKeepAlive(config);
      const object = readObject(this.objectPath);
      try {
        machine = new HotMachine({
          entries: config.hot.entries,
          engine: config.offload.engine,
          policy: config.hot.policy,
          fillRace: config.hot.fillRace,
          // Threads have clocks of their own, which start at 0 with each.
          ...(worker && { shared: worker.cpu, proved: worker.proved, clockNs: process.hrtime.bigint }),
        });
        programs = new StreamPrograms(machine, loadStreamPair(machine, object));
      } catch (error) {
        if (error instanceof LoadError) throw new Refusal(`${this.objectPath}: ${oneLine(error.message)}`);
        throw error;
      }
    }
    this.machine = machine;
    const store: ColdStore = cold ?? new MemoryStore({ ...config.cold, now: nowMs });
    const { admission, admissionWindowMs } = config.hot;
    this.cache = new TieredCache(
      store,
      machine?.hot ?? null,
      new Admission(admission, admissionWindowMs),
      nowMs,
      new Intake(config.cold.maxPending),
    );
    const guard = store.checkTrust && (() => store.checkTrust?.());
    this.hook =
      programs &&
      new TcpStreamHook({
        guard,
        programs,
        meter: this.meter,
        nowNs,
        splitTimeoutMs: config.offload.splitTimeoutMs,
        maxWaiting: config.cold.maxPending,
        refusal: rawAnswer(problem(503, busyMessage(config.cold.maxPending)), [
          `Retry-After: ${RETRY_AFTER_SECONDS}`,
        ]),
        sampler: this.sampler,
        onFault: (fault) => logger.error({ fault }, "program failed and was detached; serving in userspace"),
      });

    const counters = machine && new HotCounters(machine);
    this.memcached =
      config.memcached.listen === null
        ? null
        : new MemcachedFront(config, {
            machine,
            cache: this.cache,
            injector,
            counters,
            nowNs,
            nowMs,
            splitTimeoutMs: config.offload.splitTimeoutMs,
            maxWaiting: config.cold.maxPending,
            logger,
            threads: config.server.workers,
            ...(worker && { peers: worker.peers }),
          });
    this.families = [
      ...servingFamilies(this.stats, this.cache, injector, counters),
      ...limitFamilies(() => ({
        shed: (this.cache.intake?.shed ?? 0) + (this.hook?.shed ?? 0) + (this.memcached?.stream?.shed ?? 0),
        droppedConnections: this.#dropped,
      })),
      ...sharedColdFamilies(store),
      ...(counters?.families() ?? []),
      ...hookFamilies({
        ...(this.hook && { http: this.hook }),
        ...(this.memcached?.stream && { memcached: this.memcached.stream }),
      }),
      ...(this.memcached?.families() ?? []),
    ];
    const registry = createRegistry(worker ? [] : this.families);
    const unhooked = { why: CROSSING_INDEX["no-program"], hookRuns: 0, instructions: 0 };
    const hook = this.hook;
    this.app = createApp({
      cache: this.cache,
      meter: this.meter,
      sampler: this.sampler,
      nowNs,
      nowMs,
      crossing: hook ? (response) => hook.takeNote(response) : () => unhooked,
      metrics: worker ? { contentType: registry.contentType, metrics: worker.metrics } : registry,
      ...(worker && { noLab: NO_LAB }),
      lab: hasLab(config)
        ? {
            backend: new ServiceLab(
              this,
              counters,
              new LabPrograms({
                machine,
                hook: this.hook,
                memcached: this.memcached,
                verifyTimeMs: config.lab.verifyTimeMs,
                logger,
              }),
            ),
            guard: new LabGuard(config.server.host),
            directory: configPath("..", "dist", "lab"),
          }
        : null,
      notReady: () => (this.#closing ? "shutting down" : null),
      closing: () => this.#closing,
      onError: (error) => logger.error({ err: error }, "request failed"),
      ...config.server,
    });
  }

  /** @throws Refusal when the address cannot be bound */
  async listen(): Promise<{ readonly url: string; readonly port: number }> {
    await this.app.ready();
    // First, so that a refusal leaves nothing listening that would keep the process alive.
    await this.memcached?.listen();
    const { host, port, timeoutCheckMs, maxConnections } = this.config.server;
    const { server } = this.app;
    server.maxConnections = maxConnections;
    server.on("drop", () => this.#dropped++);
    this.hook?.attach(server, timeoutCheckMs);
    await new Promise<void>((resolve, reject) => {
      const fail = (error: NodeJS.ErrnoException) => {
        void this.memcached?.close();
        reject(
          new Refusal(`cannot listen on ${host}:${port}: ${error.code ?? error.message}`, { cause: error }),
        );
      };
      server.once("error", fail);
      server.listen({ host, port, ...(this.#worker && { reusePort: true }) }, () => {
        server.removeListener("error", fail);
        resolve();
      });
    });
    const address = server.address() as AddressInfo;
    this.#port = address.port;
    const shown = address.family === "IPv6" ? `[${address.address}]` : address.address;
    return { url: `http://${shown}:${address.port}`, port: address.port };
  }

  /** Where this process reaches itself, once it listens. */
  address(): { readonly host: string; readonly port: number } {
    const { host } = this.config.server;
    const isEvery = host === "0.0.0.0" || host === "::";
    return { host: isEvery ? "127.0.0.1" : host, port: this.#port };
  }

  /** Stops accepting, lets what is in flight finish until the deadline, and closes the tiers. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    const { server } = this.app;
    // From now on every answer comes from userspace, which says `Connection: close`.
    this.hook?.detach();
    this.hook?.stop();
    await new Promise<void>((resolve) => {
      const poll = setInterval(() => {
        this.hook?.closeIdle();
        server.closeIdleConnections();
      }, CLOSE_POLL_MS);
      const deadline = setTimeout(() => {
        this.hook?.destroyAll();
        server.closeAllConnections();
      }, this.config.server.shutdownDeadlineMs);
      server.close(() => {
        clearInterval(poll);
        clearTimeout(deadline);
        resolve();
      });
      this.hook?.closeIdle();
    });
    await this.app.close();
    await this.memcached?.close();
    await this.cache.cold.close();
  }
}

const LOOPBACK = /^(localhost|127(\.\d+){3}|::1)$/;

/** @throws ConfigError where programs are to be exchanged from a page that is not there */
function requireLabForWrite(config: Config): void {
  if (!config.lab.write || hasLab(config)) return;
  throw new ConfigError(
    config.server.workers > 1
      ? "config: lab.write is true (--lab-write) and server.workers over 1; a program would be exchanged in one worker only: allowed with it: server.workers 1"
      : "config: lab.write needs the lab, which is off here; allowed with it: lab.mode on",
  );
}

/** The lab page changes the service: it is for this machine alone unless asked for by name. */
export function hasLab({ lab, server }: Config): boolean {
  if (server.workers > 1) return false;
  return lab.mode === "on" || (lab.mode === "auto" && LOOPBACK.test(server.host));
}

/** A program's reply ends with a fixed Keep-Alive field: it must not tell clients another time than we keep. */
function requireProgramsKeepAlive({ server, offload }: Config): void {
  if (offload.program !== null) return;
  if (Math.floor(server.keepAliveTimeoutMs / 1000) === PROGRAM_KEEP_ALIVE_SECONDS) return;
  throw new ConfigError(
    `config: server.keepAliveTimeoutMs is ${server.keepAliveTimeoutMs}; allowed with offload on: ${PROGRAM_KEEP_ALIVE_SECONDS}000 to ${PROGRAM_KEEP_ALIVE_SECONDS}999, which the program tells clients`,
  );
}
