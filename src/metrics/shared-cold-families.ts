/** What a cold tier shared with other nodes counts; nothing where it is this process's own. */
import type { ColdStore, SharedStats } from "../tiers/cold/store.ts";
import { type Family, sample } from "./family.ts";

type Row = readonly [name: string, type: "counter" | "gauge", help: string, read: (s: SharedStats) => number];
type Nodes = NonNullable<SharedStats["nodes"]>;

const CALLS = ["refused", "timedOut", "failed", "conflicts", "late"] as const;
const CALL_LABELS: Readonly<Record<(typeof CALLS)[number], string>> = {
  refused: "refused",
  timedOut: "timed-out",
  failed: "failed",
  conflicts: "conflict",
  late: "late",
};

const ROWS: readonly Row[] = [
  ["bmc_cold_pending_calls", "gauge", "Calls the shared cold tier has not answered.", (s) => s.pending],
  [
    "bmc_cold_tracking",
    "gauge",
    "1 while foreign writes to the shared cold tier are told to this node.",
    (s) => Number(s.isTracking),
  ],
];

const node = (name: string, type: Row[1], help: string, read: (nodes: Nodes) => number): Row => [
  name,
  type,
  help,
  (s) => (s.nodes === null ? 0 : read(s.nodes)),
];
const NODE_ROWS: readonly Row[] = [
  node("bmc_coherence_joined", "gauge", "1 while this node may write: it is joined with the others.", (n) =>
    Number(n.isIn),
  ),
  node("bmc_coherence_peers", "gauge", "Other nodes a write of this one waits for.", (n) => n.others),
  node(
    "bmc_coherence_held_keys",
    "gauge",
    "Keys kept out of the hot tier because another node writes them.",
    (n) => n.holding,
  ),
  node(
    "bmc_coherence_rounds_total",
    "counter",
    "Messages to the other nodes that writes had to wait for.",
    (n) => n.rounds,
  ),
  node(
    "bmc_coherence_round_seconds_total",
    "counter",
    "Time until they were confirmed, summed.",
    (n) => n.waitedMs / 1e3,
  ),
  node(
    "bmc_coherence_expulsions_total",
    "counter",
    "Nodes this one expelled: they did not confirm.",
    (n) => n.expulsions,
  ),
  node(
    "bmc_coherence_rejoins_total",
    "counter",
    "Times this node lost its place and joined anew.",
    (n) => n.rejoins,
  ),
  node("bmc_coherence_lapses_total", "counter", "Times this node's lease ran out.", (n) => n.lapses),
];

const FLAGS: readonly string[] = ["bmc_cold_tracking", "bmc_coherence_joined"];

export function sharedColdFamilies(store: ColdStore): readonly Family[] {
  const first = store.sharedStats?.();
  if (first === undefined) return [];
  const read = () => store.sharedStats?.() ?? first;
  return [
    ...[...ROWS, ...(first.nodes === null ? [] : NODE_ROWS)].map(([name, type, help, value]) => ({
      name,
      help,
      type,
      // Of several workers each is a node: the flag says whether all are well.
      ...(FLAGS.includes(name) && { across: "min" as const }),
      read: () => [sample(value(read()))],
    })),
    {
      name: "bmc_cold_troubles_total",
      help: "Calls to the shared cold tier that did not simply succeed, by what became of them.",
      type: "counter",
      read: () => CALLS.map((call) => sample(read()[call], { outcome: CALL_LABELS[call] })),
    },
  ];
}
