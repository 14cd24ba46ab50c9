/** Starts a service of several workers: checks what one process need not, and lays out what all share. */
import type { Logger } from "pino";
import { createSharedMemory } from "../../bpf/shared-memory.ts";
import { type Config, ConfigError } from "../../config.ts";
import type { Counters } from "../../memcached/engine.ts";
import { timeOfDayOffsetMs } from "../../tiers/steady-clock.ts";
import { sharedCold } from "../cold-tier.ts";
import { Service } from "../service.ts";
import { requireReusePort, Supervisor } from "./supervisor.ts";

export type Supervised = {
  readonly service: Service;
  readonly url: string;
  readonly memcached: string | null;
  readonly supervisor: Supervisor;
  readonly stop: () => Promise<void>;
};

/** What several workers change together must lie under one lock, which only a direct-mapped slot does. */
const WHY_DIRECT = {
  set: "the entries of a set have a lock each, and workers take one lock a slot",
  lru: "the entries of an LRU have no lock that workers could take",
} as const;

/** @throws ConfigError, Refusal */
export async function superviseWorkers(config: Config, logger: Logger): Promise<Supervised> {
  requireReusePort();
  if (config.lab.mode === "on") {
    throw new ConfigError(
      `config: lab.mode is "on" and server.workers is ${config.server.workers}; the lab shows a service of one process: allowed with several workers: auto, off`,
    );
  }
  if (config.offload.mode === "on" && config.hot.policy !== "direct") {
    throw new ConfigError(
      `config: hot.policy is "${config.hot.policy}" and server.workers is ${config.server.workers}; ${WHY_DIRECT[config.hot.policy]} (docs/workers.md). Allowed with several workers: direct; with policy ${config.hot.policy}: server.workers 1`,
    );
  }
  // Each worker connects for itself; whether there is anything to connect to is told now, and once.
  await (await sharedCold(config, logger))?.close();
  const shared = { memory: createSharedMemory(), cpus: config.server.workers };
  const clock = { timeOfDayOffsetMs: timeOfDayOffsetMs() };
  // Loads and verifies the programs, which lays out their maps; it never runs them and never listens.
  const service = new Service(config, {
    logger,
    worker: {
      cpu: { ...shared, cpu: shared.cpus },
      proved: [],
      ...clock,
      metrics: async () => "",
      peers: NOBODY,
    },
  });
  const supervisor = new Supervisor({ config, service, shared, ...clock, logger });
  const { url, memcached } = await supervisor.start();
  return { service, url, memcached, supervisor, stop: () => supervisor.stop() };
}

/** Nobody asks the main thread's service. */
const NOBODY = {
  counters: (): Promise<Counters> => Promise.reject(new Error("the main thread serves nothing")),
  resetCounters: (): void => {},
  flushLater: (): void => {},
  cancelFlush: (): void => {},
};
