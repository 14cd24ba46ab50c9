/**
 * Measures one point of a scenario: a server with offload on and one with it off, one after the other,
 * each filled with the same keys and warmed until its hot share stands still.
 */
import { Service } from "../server.ts";
import { drive, type Flow, type FlowResult } from "./drive.ts";
import { keyPath, requestsOf } from "./requests.ts";
import { type KeySet, keySetsOf, type Point } from "./scenarios.ts";
import { type ServerSide, serverSide } from "./server-side.ts";

export type Settings = {
  readonly connections: number;
  readonly durationSeconds: number;
  readonly warmupWindowSeconds: number;
  /** Warm-up ends after so many windows even if the hot share still moves; the report says so. */
  readonly warmupWindowsMax: number;
  readonly log: (line: string) => void;
};

export type WarmUp = { readonly windows: number; readonly settled: boolean; readonly hotShare: number };
export type Side = {
  readonly offload: "on" | "off";
  readonly warmUp: WarmUp;
  readonly flows: readonly FlowResult[];
  readonly server: ServerSide;
  readonly requestsPerSecond: number;
  /** Share of one core the server used. Far below 1 in a closed loop: the generator was the bottleneck. */
  readonly serverCpuShare: number;
  readonly serverCpuUsPerRequest: number;
};
export type Measured = { readonly point: Point; readonly on: Side; readonly off: Side };

/** Two windows whose hot shares differ by less than this count as settled. */
const SETTLED_WITHIN = 0.01;
const PRELOAD_PARALLEL = 16;

export async function measurePoint(point: Point, settings: Settings): Promise<Measured> {
  const off = await measureSide(point, "off", settings, null);
  const on = await measureSide(point, "on", settings, off.capacity);
  return { point, on: on.side, off: off.side };
}

async function measureSide(
  point: Point,
  offload: "on" | "off",
  settings: Settings,
  knownCapacity: number | null,
): Promise<{ side: Side; capacity: number | null }> {
  const service = await Service.start(["--offload", offload, ...point.args]);
  try {
    await preload(service, keySetsOf(point));
    const warmUp = await warm(service, point, settings);
    // A load is a share of what offload off holds in a closed loop: both sides get the same rate.
    const capacity =
      point.load === undefined ? null : (knownCapacity ?? (await closedLoopRate(service, point, settings)));
    const rate = point.load === undefined || capacity === null ? undefined : capacity * point.load;
    const before = await service.scrape();
    const startedAt = performance.now();
    const flows = await Promise.all(
      flowsOf(point, settings, settings.durationSeconds, rate).map((flow) => drive(service.url, flow)),
    );
    const seconds = (performance.now() - startedAt) / 1000;
    const server = serverSide(before, await service.scrape());
    const requests = flows.reduce((sum, flow) => sum + flow.requests, 0);
    const side: Side = {
      offload,
      warmUp,
      flows,
      server,
      requestsPerSecond: flows.reduce((sum, flow) => sum + flow.requestsPerSecond, 0),
      serverCpuShare: server.cpuSeconds / seconds,
      serverCpuUsPerRequest: requests === 0 ? 0 : (1e6 * server.cpuSeconds) / requests,
    };
    settings.log(
      `    offload ${offload}: ${Math.round(side.requestsPerSecond)} req/s, hot ${(100 * server.hotShare).toFixed(1)} %, server CPU ${(100 * side.serverCpuShare).toFixed(0)} %`,
    );
    return { side, capacity };
  } finally {
    await service.stop();
  }
}

function flowsOf(point: Point, settings: Settings, durationSeconds: number, rate?: number): Flow[] {
  return point.flows.map((plan, index) => ({
    name: plan.name,
    connections: Math.max(1, Math.round(settings.connections * plan.share)),
    pipelining: point.pipelining ?? 1,
    durationSeconds,
    ...(rate === undefined ? {} : { ratePerSecond: Math.max(1, Math.round(rate * plan.share)) }),
    requests: (connection) => requestsOf(plan.pick, connection + 1_000 * index),
  }));
}

async function closedLoopRate(service: Service, point: Point, settings: Settings): Promise<number> {
  const results = await Promise.all(
    flowsOf(point, settings, settings.warmupWindowSeconds).map((flow) => drive(service.url, flow)),
  );
  return results.reduce((sum, flow) => sum + flow.requestsPerSecond, 0);
}

async function warm(service: Service, point: Point, settings: Settings): Promise<WarmUp> {
  let last = Number.NaN;
  for (let windows = 1; windows <= settings.warmupWindowsMax; windows++) {
    const before = await service.scrape();
    await closedLoopRate(service, point, settings);
    const { hotShare } = serverSide(before, await service.scrape());
    if (Math.abs(hotShare - last) < SETTLED_WITHIN) return { windows, settled: true, hotShare };
    last = hotShare;
  }
  return { windows: settings.warmupWindowsMax, settled: false, hotShare: last };
}

async function preload(service: Service, sets: readonly KeySet[]): Promise<void> {
  for (const keys of new Map(sets.map((set) => [set.prefix, set])).values()) {
    const body = Buffer.alloc(keys.valueBytes, "v");
    let next = 0;
    const worker = async () => {
      while (next < keys.count) {
        const response = await fetch(service.url + keyPath(keys, next++), {
          method: "PUT",
          body,
          headers: { "content-type": "application/octet-stream" },
        });
        await response.arrayBuffer();
        if (!response.ok) throw new Error(`storing a key answered ${response.status}`);
      }
    };
    await Promise.all(Array.from({ length: PRELOAD_PARALLEL }, worker));
  }
}
