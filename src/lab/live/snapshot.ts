/**
 * What the service tells the Live page twice a second: GET /api/lab/events, one JSON object a
 * server-sent event. Counters only ever grow while the service runs; the page takes differences.
 */
export const TIERS = ["hot", "cold"] as const;
export type Tier = (typeof TIERS)[number];

/** Bucket i counts values in (2^(i-1), 2^i] nanoseconds; cumulative since the start. */
export type Buckets = readonly number[];

export type LoadSettings = {
  readonly keys: number;
  /** Zipf exponent; 0 is uniform. */
  readonly skew: number;
  readonly valueBytes: number;
  /** 0..1 */
  readonly writeShare: number;
  readonly ratePerSecond: number;
  /** The load ends by itself. */
  readonly seconds: number;
};

/** A program at a hook, or one that was there until it was detached. */
export type ServingProgram = {
  /** Where another may take its place; null: nowhere, it is only shown. */
  readonly place: "sk_skb" | "xdp" | "tc" | null;
  /** With the end of the pair: `sk_skb/stream_verdict`. */
  readonly at: string;
  readonly name: string;
  /** Did the service start with it, or did the lab attach it? */
  readonly from: "start" | "lab";
  readonly attached: boolean;
  readonly instructions: number;
  readonly runs: number;
  /** Why it was detached at run time, or null. */
  readonly fault: string | null;
};

export type Snapshot = {
  readonly atMs: number;
  readonly offload: "on" | "off";
  readonly profile: string;
  readonly costsScale: number;
  readonly answered: Readonly<Record<Tier, number>>;
  readonly notFound: number;
  readonly writes: number;
  readonly observed: Readonly<Record<Tier, Buckets>>;
  readonly modelled: Readonly<Record<Tier, Buckets>>;
  readonly programs: readonly ServingProgram[];
  /** Requests that crossed into userspace, by reason. */
  readonly crossings: Readonly<Record<string, number>>;
  /** program → verdict → count */
  readonly verdicts: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly hot: {
    readonly entries: number;
    readonly live: number;
    readonly bytes: number;
    readonly fills: number;
    readonly invalidations: number;
    readonly collisions: number;
  };
  readonly cold: { readonly items: number; readonly bytes: number };
  readonly load: {
    readonly running: boolean;
    readonly settings: LoadSettings;
    readonly achievedPerSecond: number;
  };
};

/** What happened between two snapshots, per second where it is a rate. */
export type Window = {
  readonly seconds: number;
  readonly perSecond: Readonly<Record<Tier, number>>;
  readonly hitRatio: number;
  readonly observed: Readonly<Record<Tier, Buckets>>;
  readonly modelled: Readonly<Record<Tier, Buckets>>;
};

/** @returns null when the service was restarted in between: its counters began again */
export function between(before: Snapshot, after: Snapshot): Window | null {
  const seconds = (after.atMs - before.atMs) / 1000;
  if (seconds <= 0 || TIERS.some((t) => after.answered[t] < before.answered[t])) return null;
  const delta = (t: Tier) => after.answered[t] - before.answered[t];
  const total = delta("hot") + delta("cold");
  return {
    seconds,
    perSecond: { hot: delta("hot") / seconds, cold: delta("cold") / seconds },
    hitRatio: total === 0 ? Number.NaN : delta("hot") / total,
    observed: perTier((t) => minus(after.observed[t], before.observed[t])),
    modelled: perTier((t) => minus(after.modelled[t], before.modelled[t])),
  };
}

/** The upper bound, in nanoseconds, of the bucket the quantile falls into; NaN when nothing was counted. */
export function quantileNs(buckets: Buckets, quantile: number): number {
  const total = buckets.reduce((a, b) => a + b, 0);
  if (total === 0) return Number.NaN;
  let below = 0;
  for (const [index, count] of buckets.entries()) {
    below += count;
    if (below >= quantile * total) return 2 ** index;
  }
  return 2 ** (buckets.length - 1);
}

function perTier<T>(read: (tier: Tier) => T): Record<Tier, T> {
  return { hot: read("hot"), cold: read("cold") };
}

function minus(after: Buckets, before: Buckets): Buckets {
  return after.map((count, index) => count - (before[index] ?? 0));
}
