/** Reads a workload off a service's metrics: two scrapes, or one and the time since the start. */
import { SimError } from "./sim-error.ts";

export type Metrics = ReadonlyMap<string, number>;

/** Samples by `name{label="value",…}` with labels sorted. @throws SimError at text that is no exposition */
export function parseMetrics(text: string, from: string): Metrics {
  const samples = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/.exec(line);
    if (!match) throw new SimError(`${from}: not Prometheus text: ${JSON.stringify(line.slice(0, 60))}`);
    const [, name = "", labels = "", value = ""] = match;
    const sorted = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map((m) => `${m[1]}="${m[2]}"`).sort();
    samples.set(
      sorted.length > 0 ? `${name}{${sorted.join(",")}}` : name,
      value === "+Inf" ? Number.POSITIVE_INFINITY : Number(value),
    );
  }
  return samples;
}

export type ObservedWorkload = {
  readonly requests: number;
  readonly rate: number;
  /** Share of the reads answered at the hook; null where nothing was (offload off, or nothing admitted yet). */
  readonly hitRatio: number | null;
  readonly readRatio: number;
  /** Mean bytes of a value as the hot tier served them; null where it served none. */
  readonly valueBytes: number | null;
};

/** HTTP head of an answer written by the program, beside the value. */
const REPLY_HEAD_BYTES = 193;

/** @param seconds between the two scrapes (or since the start, with no `before`) */
export function observedWorkload(
  before: Metrics | null,
  after: Metrics,
  seconds: number,
  from: string,
): ObservedWorkload {
  const read = (key: string) => (after.get(key) ?? 0) - (before?.get(key) ?? 0);
  if (!after.has('bmc_lookups_total{result="hit",tier="hot"}')) {
    throw new SimError(`${from}: no bmc_lookups_total there; is it a bmc service's /metrics?`);
  }
  const hot = read('bmc_lookups_total{result="hit",tier="hot"}');
  const cold =
    read('bmc_lookups_total{result="hit",tier="cold"}') +
    read('bmc_lookups_total{result="miss",tier="cold"}');
  // Every request for a key that reached userspace crossed; those that looked nothing up were writes.
  let crossings = 0;
  for (const key of after.keys()) if (key.startsWith("bmc_crossings_total")) crossings += read(key);
  const writes = Math.max(0, crossings - cold);
  const reads = hot + cold;
  const requests = reads + writes;
  if (requests <= 0)
    throw new SimError(`${from}: no request in ${seconds.toFixed(1)} s; send it traffic first`);
  const ebpfBytes = read('bmc_copied_bytes_total{place="ebpf"}');
  return {
    requests,
    rate: requests / seconds,
    hitRatio: hot > 0 ? hot / reads : null,
    readRatio: reads / requests,
    valueBytes: hot > 0 ? Math.max(1, Math.round(ebpfBytes / hot - REPLY_HEAD_BYTES)) : null,
  };
}
