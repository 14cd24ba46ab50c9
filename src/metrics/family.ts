/**
 * Metric families that read plain numbers, typed arrays and BPF maps at scrape time. They register with a
 * prom-client registry like its own metrics, but nothing is done per request for them.
 */
import type { Registry } from "prom-client";
import { bucketBoundNs, LOG_BUCKETS, type LogHistogram } from "./log-histogram.ts";

export type Labels = Readonly<Record<string, string>>;
export type Sample = { readonly value: number; readonly labels: Labels; readonly metricName?: string };

export type Family = {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly read: () => readonly Sample[];
};

/** One value without labels, or one a label set. */
export function sample(value: number, labels: Labels = {}): Sample {
  return { value, labels };
}

/** Samples of a labelled histogram of nanoseconds, told in seconds. */
export function histogramSamples(name: string, parts: readonly [Labels, LogHistogram][]): Sample[] {
  return parts.flatMap(([labels, histogram]) => {
    const out: Sample[] = [];
    let cumulative = 0;
    for (let i = 0; i < LOG_BUCKETS; i++) {
      cumulative += histogram.buckets[i]!;
      // Below 128 ns and above 17 s nothing is told apart: fewer series, and none that matters.
      if (i < FIRST_BUCKET || i > LAST_BUCKET) continue;
      out.push({
        metricName: `${name}_bucket`,
        labels: { ...labels, le: String(bucketBoundNs(i) / 1e9) },
        value: cumulative,
      });
    }
    out.push({ metricName: `${name}_bucket`, labels: { ...labels, le: "+Inf" }, value: cumulative });
    out.push({ metricName: `${name}_sum`, labels, value: histogram.sumNs / 1e9 });
    out.push({ metricName: `${name}_count`, labels, value: cumulative });
    return out;
  });
}
const FIRST_BUCKET = 7;
const LAST_BUCKET = 34;

export function register(registry: Registry, families: readonly Family[]): void {
  for (const { name, help, type, read } of families) {
    const metric = { name, help, type, aggregator: "sum" };
    const get = async () => ({ ...metric, values: read() });
    // The registry asks a metric for no more than its name and get().
    registry.registerMetric({ ...metric, get, reset() {} } as unknown as Parameters<
      Registry["registerMetric"]
    >[0]);
  }
}
