/**
 * Reads Prometheus' text exposition format (version 0.0.4): enough to take the difference of two
 * scrapes and to read quantiles off a histogram's buckets.
 */
export type Sample = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
};

export class Scrape {
  readonly #byName = new Map<string, Sample[]>();

  constructor(text: string) {
    for (const line of text.split("\n")) {
      const sample = parseLine(line);
      if (!sample) continue;
      const list = this.#byName.get(sample.name);
      if (list) list.push(sample);
      else this.#byName.set(sample.name, [sample]);
    }
  }

  samples(name: string): readonly Sample[] {
    return this.#byName.get(name) ?? [];
  }

  /** Sum over all samples of that name whose labels contain `labels`. */
  sum(name: string, labels: Record<string, string> = {}): number {
    return this.samples(name)
      .filter((s) => matches(s, labels))
      .reduce((total, s) => total + s.value, 0);
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }
}

/**
 * A quantile of what a histogram counted between two scrapes, by linear interpolation within the
 * bucket, as Prometheus' histogram_quantile does. NaN when nothing was counted.
 */
export function quantileBetween(
  before: Scrape,
  after: Scrape,
  metric: string,
  labels: Record<string, string>,
  quantile: number,
): number {
  const counts = new Map<number, number>();
  for (const [scrape, sign] of [
    [after, 1],
    [before, -1],
  ] as const) {
    for (const sample of scrape.samples(`${metric}_bucket`)) {
      if (!matches(sample, labels)) continue;
      const le = sample.labels.le === "+Inf" ? Number.POSITIVE_INFINITY : Number(sample.labels.le);
      counts.set(le, (counts.get(le) ?? 0) + sign * sample.value);
    }
  }
  const buckets = [...counts].sort(([a], [b]) => a - b);
  const total = buckets.at(-1)?.[1] ?? 0;
  if (total <= 0) return Number.NaN;
  const rank = quantile * total;
  let lowerBound = 0;
  let below = 0;
  for (const [upperBound, cumulative] of buckets) {
    if (cumulative >= rank) {
      if (upperBound === Number.POSITIVE_INFINITY) return lowerBound;
      const inBucket = cumulative - below;
      return inBucket === 0
        ? upperBound
        : lowerBound + (upperBound - lowerBound) * ((rank - below) / inBucket);
    }
    lowerBound = upperBound;
    below = cumulative;
  }
  return lowerBound;
}

function matches(sample: Sample, labels: Record<string, string>): boolean {
  return Object.entries(labels).every(([name, value]) => sample.labels[name] === value);
}

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

function parseLine(line: string): Sample | null {
  if (line === "" || line.startsWith("#")) return null;
  const match = LINE.exec(line);
  if (!match) return null;
  const labels: Record<string, string> = {};
  for (const [, name, value] of (match[2] ?? "").matchAll(LABEL)) {
    if (name !== undefined && value !== undefined) labels[name] = value.replace(/\\(.)/g, "$1");
  }
  const text = match[3] ?? "";
  return { name: match[1] ?? "", labels, value: text === "+Inf" ? Number.POSITIVE_INFINITY : Number(text) };
}
