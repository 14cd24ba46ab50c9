/**
 * The machines experiments are run on, and how they are driven: a warm-up that is not counted, then the
 * asked number of requests in chunks, with progress and a chance to stop between them.
 */
import type { ArrivalSpec } from "../arrivals.ts";
import type { Lab, Progress } from "../experiment.ts";
import { Histogram } from "../histogram.ts";
import { type FlowSpec, Machine, type MachineSpec, type PathSpec, type Steering } from "../machine.ts";
import { Prng } from "../prng.ts";

const CHUNK = 100_000;
const WARMUP_SHARE = 0.2;

/** Descriptors of a NIC ring (mlx5's and ixgbe's usual size). */
export const RING = 1024;
/** Datagrams of a full socket: 212,992 B of receive buffer at 768 B charged for a small one. */
export const SOCKET_DATAGRAMS = 277;

/** Runs to the lab's number of requests; ends early when the lab is stopped. */
export function* drive(lab: Lab, machine: Machine, label: string): Generator<Progress, void> {
  const warm = Math.ceil(lab.requests * WARMUP_SHARE);
  machine.run(warm);
  machine.resetStats();
  for (let done = 0; done < lab.requests && !lab.stopped; ) {
    const step = Math.min(CHUNK, lab.requests - done);
    machine.run(step);
    done += step;
    yield { label, done, total: lab.requests };
  }
}

/** Cores that share nothing but what `overrides` make them share: ring i, socket i, thread i on core i. */
export function ownSockets(cores: number, overrides: Partial<MachineSpec> = {}): MachineSpec {
  const each = Array.from({ length: cores }, (_, i) => i);
  return {
    cores,
    queues: each.map((core) => ({ core, ring: RING, socket: core })),
    sockets: each.map(() => ({ capacity: SOCKET_DATAGRAMS })),
    threads: each.map((core) => ({ core, socket: core })),
    contextSwitchNs: 1000,
    ...overrides,
  };
}

/** Picks path i with probability weights[i]. */
export function randomSteering(weights: readonly number[], seed: number): Steering {
  const rng = new Prng(seed, 7);
  return {
    decide: () => {
      if (weights.length === 1) return 0;
      let u = rng.unit();
      for (let i = 0; i < weights.length - 1; i++) {
        u -= weights[i]!;
        if (u < 0) return i;
      }
      return weights.length - 1;
    },
  };
}

/** Answers per second of a closed loop that keeps `cores` busy: the capacity, without drops. */
export function* capacity(
  lab: Lab,
  label: string,
  paths: readonly PathSpec[],
  weights: readonly number[],
  cores = 1,
  polling = false,
): Generator<Progress, number> {
  const flow: FlowSpec = {
    name: label,
    arrival: { kind: "closed", clients: 64 * cores, thinkUs: 0 },
    queue: "rss",
    paths,
  };
  let spec = ownSockets(cores);
  if (polling) spec = { ...spec, queues: spec.queues.map((q) => ({ ...q, core: -1 })) };
  const machine = new Machine(spec, [flow], randomSteering(weights, lab.seed), lab.seed);
  yield* drive(lab, machine, label);
  return answered(machine) / machine.elapsedSeconds;
}

/** Answers of all flows since the warm-up, of one path where given. */
export function answered(machine: Machine, flow?: number, path?: number): number {
  let sum = 0;
  machine.stats.forEach((stats, f) => {
    if (flow !== undefined && f !== flow) return;
    stats.byPath.forEach((h, p) => {
      if (path === undefined || p === path) sum += h.count;
    });
  });
  return sum;
}

/** Latencies of several paths as one distribution. */
export function merged(histograms: readonly Histogram[]): Histogram {
  const all = new Histogram();
  for (const h of histograms) all.merge(h);
  return all;
}

/** Quantile in microseconds. */
export const us = (h: Histogram, q: number): number => h.quantile(q) / 1e6;

/** The arrival pattern fitted to the paper's load generator (partial-offload). */
export function burstyArrivals(lab: Lab, rate: number): ArrivalSpec {
  return {
    kind: "batch",
    rate,
    meanSize: lab.number("burstMean"),
    gapNs: lab.number("burstGapNs"),
    largeSize: lab.number("largeBurst"),
    largeShare: lab.number("largeShare"),
  };
}

export const BURST_PARAMS = {
  burstMean: { about: "mean size of small request groups", min: 1 },
  burstGapNs: { about: "ns between the requests of a group", min: 0 },
  largeBurst: { about: "size of large request groups", min: 1, integer: true },
  largeShare: { about: "share of requests in large groups", min: 0, max: 1 },
} as const;
