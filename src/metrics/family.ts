/**
 * Metric families that read plain numbers, typed arrays and BPF maps at scrape time. They register with a
 * prom-client registry like its own metrics, but nothing is done per request for them.
 */
import type { Registry } from "prom-client";
import { bucketBoundNs, LOG_BUCKETS, type LogHistogram } from "./log-histogram.ts";

export type Labels = Readonly<Record<string, string>>;
/** How the samples of several workers become one (merge.ts): what all see alike is taken once. */
export type Across = "sum" | "once" | "max" | "min";
export type Sample = {
  readonly value: number;
  readonly labels: Labels;
  readonly metricName?: string;
  /** Where it differs from its family's. */
  readonly across?: Across;
};

export type Family = {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly read: () => readonly Sample[];
  /** Default: sum. */
  readonly across?: Across;
  /** Of a ratio: its samples from those of other families, which add up where ratios do not. */
  readonly derive?: (samplesOf: (family: string) => readonly Sample[]) => readonly Sample[];
};

/** A ratio of other families: `derive` reads them here, or from the sums over all workers. */
export function derived(
  family: Omit<Family, "read" | "derive"> & Required<Pick<Family, "derive">>,
  from: readonly Family[],
): Family {
  const samplesOf = (name: string) => from.find((other) => other.name === name)?.read() ?? [];
  return { ...family, read: () => family.derive(samplesOf) };
}

/** The value of the sample with these labels. */
export function valueAt(samples: readonly Sample[], labels: Labels): number {
  const found = samples.find((one) =>
    Object.entries(labels).every(([name, value]) => one.labels[name] === value),
  );
  return found?.value ?? 0;
}

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
