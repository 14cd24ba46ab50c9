/**
 * Is offloading a solution or a trap for this service? Two simulated machines, one with the program attached
 * and one without, get the same workload; capacity follows from the cost of a mean request, latency from the
 * simulation. The verdict is a rule on those numbers, and the nearest change that would flip it is searched
 * for by asking again.
 *
 * trap: with the program the cores serve less, or it misses a limit (SLO, offered rate) that is met without;
 * solution: it serves at least GAIN times as much, or meets a limit that is missed without, and cold requests
 * are not made to wait more than HARM times as long at p99; depends: anything between.
 */
import type { RequestFacts } from "../costs/facts.ts";
import { byStage, ledger } from "../costs/ledger.ts";
import type { Profile, Stage } from "../costs/profile.ts";
import { merged, ownSockets, randomSteering, us } from "./experiments/rig.ts";
import type { Histogram } from "./histogram.ts";
import { type FlowSpec, Machine } from "./machine.ts";
import {
  coldPath,
  hitFacts,
  hotPath,
  lookFacts,
  plainPath,
  type Shape,
  userspaceFacts,
  type Ways,
  waysOf,
} from "./server-model.ts";
import { HOT_KEY_MAX, HOT_VALUE_MAX } from "./trace-summary.ts";

/** Below this gain in capacity offloading is not worth its complexity. */
export const GAIN = 1.2;
/** A cold p99 stretched by more than this is harm. */
export const HARM = 1.25;
/** Below this rate nothing ever queues: slower workloads are simulated at it. */
const SLOWEST_RATE = 10;
/** Keeps a run within the virtual time that a machine's clock holds. */
const LONGEST_RUN_S = 4_000;
/** Softirq time beyond its own that a thread endures before the scheduler steps in (Linux: about 2 ms). */
const BUDGET_NS = 2_000_000;

export type Slo = { readonly quantile: number; readonly limitUs: number };
export type Query = {
  /** Requests/s offered to all cores together. */
  readonly rate: number;
  /** Of the reads the hot tier may hold, the share it answers. */
  readonly hitRatio: number;
  readonly readRatio: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly cores: number;
  readonly profile: Profile;
  readonly plain: Profile;
  readonly slo: Slo | null;
  readonly seed: number;
  /** Simulated requests for each latency. */
  readonly requests: number;
};

export type Latency = { readonly p50: number; readonly p99: number; readonly p999: number };
export type Side = {
  readonly capacity: number;
  /** Share of the cores the offered rate takes. */
  readonly load: number;
  /** µs inside the server; null where the rate is beyond capacity. */
  readonly all: Latency | null;
  readonly cold: Latency | null;
  readonly droppedShare: number;
  readonly meetsSlo: boolean | null;
};
export type VerdictWord = "solution" | "trap" | "depends";
export type Advice = {
  readonly verdict: VerdictWord;
  readonly reasons: readonly string[];
  readonly off: Side;
  readonly on: Side;
  /** Requests answered at the hook, of all. */
  readonly share: number;
  readonly ways: Ways;
  /** Hit ratio from which capacity with is above capacity without; null: no hit ratio does. */
  readonly breakEvenHitRatio: number | null;
  /** Mean cost of a request with the program attached, by stage, largest first. */
  readonly costs: readonly { readonly stage: Stage; readonly ns: number; readonly share: number }[];
};

/** Are key and value within what the hot tier holds? */
export const fits = ({ keyBytes, valueBytes }: Shape): boolean =>
  keyBytes <= HOT_KEY_MAX && valueBytes <= HOT_VALUE_MAX;

export function advise(query: Query): Advice {
  const { profile, plain, cores, rate, readRatio } = query;
  const ways = waysOf(profile, plain, query);
  const share = fits(query) ? query.hitRatio * readRatio : 0;
  const onHost = profile.runsOn === "nic" ? 0 : ways.hitNs;
  const meanOn = share * onHost + (1 - share) * ways.coldNs;
  const capacityOff = (cores * 1e9) / ways.plainNs;
  const capacityOn = (cores * 1e9) / meanOn;
  const off = side(query, capacityOff, [plainPath(ways)], [1]);
  const hot = { ...hotPath(ways), onNic: profile.runsOn === "nic" };
  const on = side(query, capacityOn, [hot, coldPath(ways)], [share, 1 - share]);
  const evenShare = (ways.coldNs - ways.plainNs) / (ways.coldNs - onHost);
  const even = fits(query) && readRatio > 0 ? evenShare / readRatio : Number.POSITIVE_INFINITY;
  return {
    ...judge(rate, off, on),
    off,
    on,
    share,
    ways,
    breakEvenHitRatio: even <= 1 ? even : null,
    costs: costShares(query, share),
  };
}

function side(query: Query, capacity: number, paths: FlowSpec["paths"], weights: readonly number[]): Side {
  const { slo } = query;
  const load = query.rate / capacity;
  const rate = Math.max(SLOWEST_RATE, query.rate);
  const requests = Math.min(query.requests, Math.ceil(rate * LONGEST_RUN_S));
  const flow: FlowSpec = { name: "f", arrival: { kind: "poisson", rate }, queue: "rss", paths };
  const spec = ownSockets(query.cores, { softirqBudgetNs: BUDGET_NS, userSliceNs: BUDGET_NS });
  const machine = new Machine(spec, [flow], randomSteering(weights, query.seed), query.seed);
  machine.run(Math.ceil(requests / 4));
  machine.resetStats();
  machine.run(requests);
  const { byPath, offered, nicDrops, socketDrops } = machine.stats[0]!;
  const all = merged(byPath);
  const saturated = load >= 1;
  const cold = byPath.at(-1)!;
  return {
    capacity,
    load,
    all: saturated ? null : latency(all),
    cold: saturated || cold.count === 0 ? null : latency(cold),
    droppedShare: (nicDrops + socketDrops) / Math.max(1, offered),
    meetsSlo: slo === null ? null : !saturated && us(all, slo.quantile) <= slo.limitUs,
  };
}

const latency = (h: Histogram): Latency => ({ p50: us(h, 0.5), p99: us(h, 0.99), p999: us(h, 0.999) });

function judge(rate: number, off: Side, on: Side): { verdict: VerdictWord; reasons: string[] } {
  const gain = on.capacity / off.capacity;
  const bad: string[] = [];
  const good: string[] = [];
  if (gain < 1) bad.push(`capacity falls to ${gain.toFixed(2)} of what it was`);
  if (on.load >= 1 && off.load < 1) bad.push(`${Math.round(rate)} requests/s no longer fit`);
  if (off.meetsSlo === true && on.meetsSlo === false) bad.push("the SLO is met without and missed with it");
  if (gain >= GAIN) good.push(`capacity grows ${gain.toFixed(2)} times`);
  if (off.load >= 1 && on.load < 1) good.push(`${Math.round(rate)} requests/s fit only with it`);
  if (off.meetsSlo === false && on.meetsSlo === true) good.push("the SLO is missed without and met with it");
  const doubts: string[] = [];
  if (off.cold && on.cold && on.cold.p99 > HARM * off.cold.p99) {
    doubts.push(`cold requests wait ${(on.cold.p99 / off.cold.p99).toFixed(2)} times as long at p99`);
  }
  if (on.load >= 1 && off.load >= 1) doubts.push("the offered rate fits neither with nor without it");
  if (on.meetsSlo === false && off.meetsSlo === false) doubts.push("the SLO is missed with and without it");
  if (bad.length > 0) return { verdict: "trap", reasons: bad };
  if (good.length > 0 && doubts.length === 0) return { verdict: "solution", reasons: good };
  if (good.length === 0) doubts.push(`capacity grows only ${gain.toFixed(2)} times`);
  return { verdict: "depends", reasons: [...good, ...doubts] };
}

function costShares(query: Query, share: number): Advice["costs"] {
  const { profile } = query;
  const sums = new Map<Stage, number>();
  const add = (facts: RequestFacts, weight: number) => {
    for (const [stage, ns] of byStage(ledger(profile, facts)))
      sums.set(stage, (sums.get(stage) ?? 0) + ns * weight);
  };
  if (share > 0) add(hitFacts(query), share);
  add(userspaceFacts(query), 1 - share);
  if (profile.hook !== null) add(lookFacts(query), 1 - share);
  const total = [...sums.values()].reduce((a, b) => a + b, 0);
  return [...sums]
    .map(([stage, ns]) => ({ stage, ns, share: total === 0 ? 0 : ns / total }))
    .sort((a, b) => b.ns - a.ns);
}

export type Flip = {
  readonly what: string;
  readonly from: number;
  readonly to: number;
  /** How far that is, as a factor above 1. */
  readonly factor: number;
  readonly verdict: VerdictWord;
};

type Dimension = {
  readonly what: string;
  readonly value: (q: Query) => number;
  readonly at: (q: Query, value: number) => Query;
  readonly min: number;
  readonly max: number;
  readonly whole?: true;
};

const DIMENSIONS: readonly Dimension[] = [
  { what: "hit ratio", value: (q) => q.hitRatio, at: (q, hitRatio) => ({ ...q, hitRatio }), min: 0, max: 1 },
  {
    what: "read ratio",
    value: (q) => q.readRatio,
    at: (q, readRatio) => ({ ...q, readRatio }),
    min: 0,
    max: 1,
  },
  {
    what: "value size",
    value: (q) => q.valueBytes,
    at: (q, valueBytes) => ({ ...q, valueBytes }),
    min: 1,
    max: 1 << 20,
    whole: true,
  },
  { what: "rate", value: (q) => q.rate, at: (q, rate) => ({ ...q, rate }), min: 1, max: 1e9, whole: true },
  { what: "cores", value: (q) => q.cores, at: (q, cores) => ({ ...q, cores }), min: 1, max: 64, whole: true },
];
const FACTORS = [1.01, 1.02, 1.05, 1.1, 1.2, 1.35, 1.5, 2, 3, 5, 10, 30, 100];
const SEARCH_REQUESTS = 12_000;

/** Smallest change of each dimension that gives another verdict, nearest first. */
export function nearestFlips(query: Query, verdict: VerdictWord): Flip[] {
  const q = { ...query, requests: Math.min(query.requests, SEARCH_REQUESTS) };
  // The short runs of the search may see a border case otherwise: they are compared with their own verdict.
  const own = advise(q).verdict;
  const flips: Flip[] = [];
  for (const dimension of DIMENSIONS) {
    for (const up of [true, false]) {
      const found = search(q, own, dimension, up);
      const flip = found && confirmed(query, found, dimension, verdict);
      if (flip) flips.push(flip);
    }
  }
  return flips.sort((a, b) => a.factor - b.factor);
}

/** Asks a flip again with the full number of requests, at the value and a little beyond: short runs are noisy. */
function confirmed(query: Query, flip: Flip, d: Dimension, verdict: VerdictWord): Flip | null {
  for (const step of [0, 0.05]) {
    const beyond = Math.min(d.max, Math.max(d.min, flip.to + step * (flip.to - flip.from)));
    const to = d.whole ? Math.round(beyond) : beyond;
    const now = advise(d.at(query, to)).verdict;
    if (now !== verdict) return { ...flip, to, factor: factorOf(flip.from, to), verdict: now };
  }
  return null;
}

function factorOf(from: number, to: number): number {
  const ratio = from === 0 || to === 0 ? Number.POSITIVE_INFINITY : to / from;
  return Math.max(ratio, 1 / ratio);
}

function search(q: Query, verdict: VerdictWord, d: Dimension, up: boolean): Flip | null {
  const from = d.value(q);
  const clamp = (v: number) => {
    const bounded = Math.min(d.max, Math.max(d.min, v));
    return d.whole ? Math.round(bounded) : bounded;
  };
  const verdictAt = (v: number) => advise(d.at(q, v)).verdict;
  let near = from;
  for (const factor of FACTORS) {
    const far = clamp(up ? from * factor : from / factor);
    if (far === near) {
      if (far === d.max || far === d.min) return null;
      continue;
    }
    if (verdictAt(far) === verdict) {
      near = far;
      continue;
    }
    let [same, other] = [near, far];
    for (let i = 0; i < 6; i++) {
      const middle = clamp((same + other) / 2);
      if (middle === same || middle === other) break;
      if (verdictAt(middle) === verdict) same = middle;
      else other = middle;
    }
    return { what: d.what, from, to: other, factor: factorOf(from, other), verdict: verdictAt(other) };
  }
  return null;
}
