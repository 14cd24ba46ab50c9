/** The service's own metric families: one row each, read when scraped. Names: `bmc_`, base units, `_total`. */
import type { Injector } from "../costs/injector.ts";
import { CROSSINGS } from "../tiers/crossing.ts";
import { REJECTIONS } from "../tiers/hot/hot-tier.ts";
import type { TieredCache } from "../tiers/tiered-cache.ts";
import { derived, type Family, histogramSamples, type Sample, sample, valueAt } from "./family.ts";
import type { HotCounters } from "./hot-counters.ts";
import type { ServingStats } from "./serving-stats.ts";

const TIERS = ["hot", "cold"] as const;

export function servingFamilies(
  stats: ServingStats,
  cache: TieredCache,
  injector: Injector,
  hot: HotCounters | null,
): readonly Family[] {
  const lookups = () => ({
    hot: { hit: hot?.hits() ?? 0, miss: hot?.misses() ?? 0 },
    cold: { hit: cache.coldHits, miss: cache.coldMisses },
  });
  const ratio = (hits: number, all: number) => (all === 0 ? 0 : hits / all);
  const byTier = (read: (tier: "hot" | "cold") => number): Sample[] =>
    TIERS.map((tier) => sample(read(tier), { tier }));
  const lookupsFamily: Family = {
    name: "bmc_lookups_total",
    help: "Look-ups of a key, by tier and result. A miss in the hot tier is looked up in the cold one.",
    type: "counter",
    read: () => {
      const counts = lookups();
      // Programs count in maps that all workers read, the cold tier's look-ups are each worker's own.
      return TIERS.flatMap((tier) =>
        (["hit", "miss"] as const).map((result) => ({
          ...sample(counts[tier][result], { tier, result }),
          across: tier === "hot" ? ("once" as const) : ("sum" as const),
        })),
      );
    },
  };
  const injected: readonly Family[] = [
    {
      name: "bmc_injected_due_seconds_total",
      help: "Delay the cost model asked for, less what is still owed, by tier.",
      type: "counter",
      read: () =>
        byTier((tier) => {
          const { askedNs, owedNs } = injector.report()[tier];
          return (askedNs - Math.max(0, owedNs)) / 1e9;
        }),
    },
    {
      name: "bmc_injected_achieved_seconds_total",
      help: "Delay really spent for the cost model, by tier.",
      type: "counter",
      read: () => byTier((tier) => injector.report()[tier].achievedNs / 1e9),
    },
  ];
  return [
    lookupsFamily,
    derived(
      {
        name: "bmc_hit_ratio",
        help: "Share of look-ups answered since the start: by each tier of its own look-ups, and by both of all reads (overall).",
        type: "gauge",
        derive: (samplesOf) => {
          const n = (tier: string, result: string) =>
            valueAt(samplesOf("bmc_lookups_total"), { tier, result });
          const [hotHits, coldHits, coldMisses] = [n("hot", "hit"), n("cold", "hit"), n("cold", "miss")];
          return [
            sample(ratio(hotHits, hotHits + n("hot", "miss")), { tier: "hot" }),
            sample(ratio(coldHits, coldHits + coldMisses), { tier: "cold" }),
            sample(ratio(hotHits + coldHits, hotHits + coldHits + coldMisses), { tier: "overall" }),
          ];
        },
      },
      [lookupsFamily],
    ),
    {
      name: "bmc_request_observed_seconds",
      help: "Clock-measured time of a read, from when its tier first saw it (hot: its bytes at the hook, cold: its head at the HTTP server) until its answer was handed to the kernel. Hot: above 1,000 chunks a second, one in 8 is timed.",
      type: "histogram",
      read: () =>
        histogramSamples(
          "bmc_request_observed_seconds",
          TIERS.map((tier) => [{ tier }, stats.observed[tier]]),
        ),
    },
    {
      name: "bmc_request_modelled_seconds",
      help: "Time the cost model charges a read, unscaled, by the tier that answered it.",
      type: "histogram",
      read: () =>
        histogramSamples(
          "bmc_request_modelled_seconds",
          TIERS.map((tier) => [{ tier }, stats.modelled[tier]]),
        ),
    },
    {
      name: "bmc_crossings_total",
      help: "Requests for a key handed over the boundary into userspace, by why.",
      type: "counter",
      read: () => CROSSINGS.map(({ name }, i) => sample(stats.crossings[i]!, { reason: name })),
    },
    {
      name: "bmc_copied_bytes_total",
      help: "Bytes copied, by place: written by programs, or moved by native code on the cold path.",
      type: "counter",
      read: () => [
        sample(stats.ebpfBytes, { place: "ebpf" }),
        sample(stats.nativeBytes, { place: "native" }),
      ],
    },
    {
      name: "bmc_cold_items",
      help: "Items in the cold tier; expired ones count until they are touched.",
      type: "gauge",
      across: "once",
      read: () => [sample(cache.stats().items)],
    },
    {
      name: "bmc_cold_bytes",
      help: "Bytes the cold tier accounts for: keys, values and 56 bytes an item.",
      type: "gauge",
      across: "once",
      read: () => [sample(cache.stats().bytes)],
    },
    {
      name: "bmc_cold_removals_total",
      help: "Items the cold tier removed on its own, by why.",
      type: "counter",
      across: "once",
      read: () => {
        const { evictions, expirations } = cache.stats();
        return [sample(evictions, { reason: "evicted" }), sample(expirations, { reason: "expired" })];
      },
    },
    {
      name: "bmc_hot_fills_total",
      help: "Values userspace put into the hot tier.",
      type: "counter",
      read: () => [sample(cache.hot?.fills ?? 0)],
    },
    {
      name: "bmc_hot_invalidations_total",
      help: "Slots of the hot tier userspace made unusable before a write.",
      type: "counter",
      read: () => [sample(cache.hot?.invalidations ?? 0)],
    },
    {
      name: "bmc_hot_fill_collisions_total",
      help: "Fills that pushed another live key out of its slot.",
      type: "counter",
      read: () => [sample(cache.hot?.collisions ?? 0)],
    },
    {
      name: "bmc_hot_fills_rejected_total",
      help: "Cold reads that were not put into the hot tier, by why.",
      type: "counter",
      read: () => REJECTIONS.map((reason) => sample(cache.hot?.rejected[reason] ?? 0, { reason })),
    },
    {
      name: "bmc_hot_untrusted_seconds_total",
      help: "Time the hot tier was emptied and bypassed because a shared cold tier could not tell of others' writes.",
      type: "counter",
      read: () => [sample(cache.untrustedMs / 1e3)],
    },
    {
      name: "bmc_hot_capacity_entries",
      help: "Slots of the hot tier.",
      type: "gauge",
      across: "once",
      read: () => [sample(cache.hot?.entries ?? 0)],
    },
    {
      name: "bmc_hot_capacity_bytes",
      help: "Memory the hot tier's map takes: slots times entry size.",
      type: "gauge",
      across: "once",
      read: () => [sample(cache.hot?.memoryBytes ?? 0)],
    },
    {
      name: "bmc_hot_entries",
      help: "Live entries in the hot tier.",
      type: "gauge",
      across: "once",
      read: () => [sample(hot?.entries() ?? 0)],
    },
    {
      name: "bmc_injected_asked_seconds_total",
      help: "Delay the cost model asked for, scaled, by tier.",
      type: "counter",
      read: () => byTier((tier) => injector.report()[tier].askedNs / 1e9),
    },
    ...injected,
    derived(
      {
        name: "bmc_injector_accuracy_ratio",
        help: "Delay achieved / delay due, by tier; 1 while nothing was due.",
        type: "gauge",
        derive: (samplesOf) =>
          byTier((tier) => {
            const due = valueAt(samplesOf("bmc_injected_due_seconds_total"), { tier });
            const achieved = valueAt(samplesOf("bmc_injected_achieved_seconds_total"), { tier });
            return due > 0 ? achieved / due : 1;
          }),
      },
      injected,
    ),
    {
      name: "bmc_injector_stolen_seconds_total",
      help: "Time the operating system took away in the middle of an injected delay; counted as neither.",
      type: "counter",
      read: () => [sample(injector.report().stolenNs / 1e9)],
    },
    {
      name: "bmc_costs_scale_ratio",
      help: "Scale of the injected delay: 0 is off, 1 as modelled.",
      type: "gauge",
      across: "once",
      read: () => [sample(injector.scale)],
    },
  ];
}
