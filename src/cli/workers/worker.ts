/**
 * One worker thread of `bmc serve --workers`: the service as a single process runs it, over the shared memory and
 * the supervisor's store. Started by supervisor.ts with all it needs as `workerData`.
 */
import { type MessagePort, threadId, workerData } from "node:worker_threads";
import { pino } from "pino";
import type { Config } from "../../config.ts";
import type { Counters } from "../../memcached/engine.ts";
import { type FamilyFacts, factsOf, samplesOf } from "../../metrics/merge.ts";
import { PortStore } from "../../tiers/cold/shared-store.ts";
import type { SharedCpu } from "../../tiers/hot/machine.ts";
import { sharedCold } from "../cold-tier.ts";
import { Service } from "../service.ts";
import { Calls } from "./calls.ts";

export type WorkerData = {
  /** With the ports all workers bind, none of them 0. */
  readonly config: Config;
  readonly cpu: SharedCpu;
  /** Programs the supervisor has verified. */
  readonly proved: readonly string[];
  readonly timeOfDayOffsetMs: number;
  readonly calls: MessagePort;
  /** null where each worker has its own way to the cold tier. */
  readonly store: { readonly port: MessagePort; readonly stats: Float64Array } | null;
};

/** What the supervisor may ask of a worker. */
export type WorkerAnswers = {
  start(): Promise<void>;
  facts(): FamilyFacts[];
  samples(): ReturnType<typeof samplesOf>;
  counters(): Counters | null;
  resetCounters(): void;
  clear(): unknown;
  stop(): Promise<void>;
};

const data = workerData as WorkerData;
const { config, cpu, proved, timeOfDayOffsetMs, store } = data;
const logger = pino(
  { level: config.log.level, base: { worker: cpu.cpu } },
  pino.destination({ fd: 2, sync: true }),
);
let service: Service | null = null;

const calls = new Calls(data.calls, {
  async start() {
    const cold = store
      ? new PortStore({ ...store, maxPending: config.cold.maxPending })
      : await sharedCold(config, logger);
    service = new Service(config, {
      logger,
      ...(cold && { cold }),
      worker: {
        cpu,
        proved,
        timeOfDayOffsetMs,
        metrics: () => calls.ask<string>("metrics"),
        peers: {
          counters: () => calls.ask<Counters>("counters"),
          resetCounters: () => void calls.ask("resetCounters"),
          flushLater: (seconds) => void calls.ask("flushLater", seconds),
          cancelFlush: () => void calls.ask("cancelFlush"),
        },
      },
    });
    await service.listen();
    logger.debug({ threadId }, "worker serves");
  },
  facts: () => factsOf(service?.families ?? []),
  samples: () => samplesOf(service?.families ?? []),
  counters: () => service?.memcached?.server?.engine.counters ?? null,
  resetCounters: () => service?.memcached?.server?.engine.resetOwnCounters(),
  clear: () => service?.cache.clear(),
  stop: () => service?.close(),
} satisfies { [K in keyof WorkerAnswers]: unknown });
