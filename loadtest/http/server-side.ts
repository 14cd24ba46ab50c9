/**
 * What the server itself says of a measured window: the difference of two scrapes of /metrics. Client
 * tables can be checked against it, and it knows what a client cannot: modelled time, CPU, crossings.
 */
import { quantileBetween, type Scrape } from "../prometheus-text.ts";
import { TIERS, type Tier } from "./drive.ts";

/** Metric names, in one place: a renamed metric breaks the load test here and nowhere else. */
export const METRIC = {
  lookups: "bmc_lookups_total",
  observed: "bmc_request_observed_seconds",
  modelled: "bmc_request_modelled_seconds",
  crossings: "bmc_crossings_total",
  cpu: "process_cpu_seconds_total",
} as const;

export type TierTimes = { readonly p50Us: number; readonly p99Us: number; readonly p999Us: number };
export type ServerSide = {
  readonly hits: Readonly<Record<Tier, number>>;
  /** Share of look-ups the hot tier answered. */
  readonly hotShare: number;
  readonly observedUs: Readonly<Record<Tier, TierTimes>>;
  readonly modelledUs: Readonly<Record<Tier, TierTimes>>;
  readonly crossings: number;
  readonly cpuSeconds: number;
};

export function serverSide(before: Scrape, after: Scrape): ServerSide {
  const delta = (name: string, labels: Record<string, string> = {}) =>
    after.sum(name, labels) - before.sum(name, labels);
  const times = (metric: string, tier: Tier): TierTimes => {
    const us = (q: number) => 1e6 * quantileBetween(before, after, metric, { tier }, q);
    return { p50Us: us(0.5), p99Us: us(0.99), p999Us: us(0.999) };
  };
  const perTier = <T>(read: (tier: Tier) => T) =>
    Object.fromEntries(TIERS.map((tier) => [tier, read(tier)])) as Record<Tier, T>;
  const hits = perTier((tier) => delta(METRIC.lookups, { tier, result: "hit" }));
  const answered = hits.hot + hits.cold;
  return {
    hits,
    hotShare: answered === 0 ? 0 : hits.hot / answered,
    observedUs: perTier((tier) => times(METRIC.observed, tier)),
    modelledUs: perTier((tier) => times(METRIC.modelled, tier)),
    crossings: delta(METRIC.crossings),
    cpuSeconds: delta(METRIC.cpu),
  };
}
