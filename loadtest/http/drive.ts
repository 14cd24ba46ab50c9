/**
 * One flow of HTTP load: autocannon, with a latency histogram per tier beside its own. The tier is what
 * the answer's Cache-Status says, so a key meant to be hot that was answered cold counts as cold.
 *
 * Coordinated omission: with a rate, each latency is recorded with autocannon's expected interval
 * between requests of one connection, which fills in what a stalled connection did not send; without
 * one (closed loop) nothing can be corrected, and the report says so.
 */
import autocannon, { type Client, type RequestSpec } from "autocannon";
import { build, type Histogram } from "hdr-histogram-js";

export type Tier = "hot" | "cold";
export const TIERS: readonly Tier[] = ["hot", "cold"];

export type Flow = {
  readonly name: string;
  readonly connections: number;
  readonly pipelining: number;
  readonly durationSeconds: number;
  /** Requests per second over all connections; absent: closed loop. */
  readonly ratePerSecond?: number;
  /** The requests of the n-th connection, repeated in order. */
  readonly requests: (connection: number) => readonly RequestSpec[];
};

export type Quantiles = {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
};

export type FlowResult = {
  readonly flow: string;
  readonly errors: number;
  readonly timeouts: number;
  readonly non2xx: number;
  readonly requests: number;
  readonly seconds: number;
  readonly requestsPerSecond: number;
  readonly requestedRate: number | null;
  /** Client-side milliseconds, by the tier that answered. */
  readonly latencyMs: Readonly<Record<Tier | "all", Quantiles>>;
  readonly correction: "closed loop, not corrected" | "expected-interval correction";
};

/** Microseconds, 3 significant digits, up to a minute. */
function histogram(): Histogram {
  return build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 60_000_000,
    numberOfSignificantValueDigits: 3,
  });
}

function quantiles(histogram: Histogram): Quantiles {
  const ms = (percentile: number) => histogram.getValueAtPercentile(percentile) / 1000;
  return {
    count: histogram.totalCount,
    p50: ms(50),
    p90: ms(90),
    p99: ms(99),
    p999: ms(99.9),
    max: histogram.totalCount === 0 ? 0 : histogram.maxValue / 1000,
  };
}

/** The tier named in a raw header list [name, value, name, value, …]. */
export function tierOf(headers: readonly string[]): Tier {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() === "cache-status") return isHotHit(headers[i + 1] ?? "") ? "hot" : "cold";
  }
  return "cold";
}

/** RFC 9211: a member `bmc-hot; hit` says the hot tier answered. */
function isHotHit(cacheStatus: string): boolean {
  return cacheStatus.split(",").some((member) => /^\s*bmc-hot\s*;\s*hit\b/.test(member));
}

export async function drive(url: string, flow: Flow): Promise<FlowResult> {
  const byTier = { hot: histogram(), cold: histogram() };
  const expectedIntervalUs =
    flow.ratePerSecond === undefined ? 0 : Math.round((1e6 * flow.connections) / flow.ratePerSecond);
  let connection = 0;
  const setupClient = (client: Client) => {
    if (flow.pipelining === 1) client.setRequests(flow.requests(connection++));
    let tier: Tier = "cold";
    client.on("headers", (head) => {
      tier = tierOf(head.headers);
    });
    client.on("response", (_status, _bytes, ms) => {
      const us = Math.max(1, Math.min(60_000_000, Math.round(ms * 1000)));
      if (expectedIntervalUs > 0) {
        byTier[tier].recordValueWithExpectedInterval(us, expectedIntervalUs);
      } else {
        byTier[tier].recordValue(us);
      }
    });
  };
  const result = await autocannon({
    url,
    connections: flow.connections,
    pipelining: flow.pipelining,
    duration: flow.durationSeconds,
    setupClient,
    // autocannon lets no connection have requests of its own when it pipelines: all share the first's.
    ...(flow.pipelining === 1 ? {} : { requests: flow.requests(0) }),
    ...(flow.ratePerSecond === undefined ? {} : { overallRate: flow.ratePerSecond }),
  });
  const all = histogram();
  for (const tier of TIERS) all.add(byTier[tier]);
  return {
    flow: flow.name,
    errors: result.errors,
    timeouts: result.timeouts,
    non2xx: result.non2xx,
    requests: result.requests.total,
    seconds: result.duration,
    requestsPerSecond: result.requests.total / result.duration,
    requestedRate: flow.ratePerSecond ?? null,
    latencyMs: { hot: quantiles(byTier.hot), cold: quantiles(byTier.cold), all: quantiles(all) },
    correction:
      flow.ratePerSecond === undefined ? "closed loop, not corrected" : "expected-interval correction",
  };
}
