/**
 * The hot tier's own behaviour: `policies` (hit ratio by replacement policy and size, direct-mapped held
 * against its closed form) and `writes` (how invalidation eats the gain).
 */

import { costNs } from "../../costs/ledger.ts";
import { directMappedHitRatio, idealHitRatio } from "../closed-form.ts";
import type { Kind, Lab, Progress } from "../experiment.ts";
import { createHotTier, DirectMapped, type HotTier, type Policy } from "../hot-tier.ts";
import { keyHash } from "../keys.ts";
import { type FlowSpec, Machine, type PathSpec, type Steering } from "../machine.ts";
import { exp, ln } from "../math.ts";
import { Prng } from "../prng.ts";
import { coldPath, hotPath, lookFacts, plainPath, waysOf } from "../server-model.ts";
import { HOT_VALUE_MAX } from "../trace-summary.ts";
import { type KeySpec, type Mix, type SizeSpec, type Workload, workload, YCSB } from "../workload.ts";
import { harmonic, Zipf } from "../zipf.ts";
import { answered, capacity, drive, ownSockets } from "./rig.ts";

const POLICIES: readonly Policy[] = ["direct", "set", "lru"];
const CHUNK = 100_000;

/** Fills the tier with the most popular keys, the most popular last: close to its steady state. */
export function prefill(tier: HotTier, keys: number): void {
  for (let id = Math.min(keys, tier.entries * 2) - 1; id >= 0; id--) tier.fill(id, keyHash(id));
}

/** Keys drawn one by one for a steady state; what lies beyond is one rare visitor a slot, as good as none. */
const STEADY_KEYS = 2_000_000;

/**
 * A direct-mapped slot holds the key last asked for among its own: in the steady state key i with a chance of
 * p_i over the slot's sum. Drawn here for every slot at once, so no warm-up is needed however large the tier.
 */
function fillSteadily(tier: DirectMapped, keys: number, skew: number, rng: Prng): void {
  const drawn = Math.min(keys, Math.max(STEADY_KEYS, tier.entries * 2));
  const mass = new Float64Array(tier.entries);
  for (let id = 0; id < drawn; id++) {
    const p = exp(-skew * ln(id + 1));
    const hash = keyHash(id);
    const slot = hash % tier.entries;
    mass[slot]! += p;
    if (rng.unit() * mass[slot]! < p) tier.fill(id, hash);
  }
  const rest = (harmonic(keys, skew) - harmonic(drawn, skew)) / tier.entries;
  for (let slot = 0; slot < tier.entries; slot++) {
    if (rng.unit() * (mass[slot]! + rest) < rest) tier.invalidate(0, slot);
  }
}

/** Steady hit ratio under Zipf, fill on every miss. */
export function* measureHitRatio(
  lab: Lab,
  label: string,
  tier: HotTier,
  keys: number,
  skew: number,
): Generator<Progress, number> {
  const zipf = new Zipf(keys, skew);
  const rng = new Prng(lab.seed, 31);
  if (tier instanceof DirectMapped) fillSteadily(tier, keys, skew, new Prng(lab.seed, 32));
  else prefill(tier, keys);
  let hits = 0;
  let counted = 0;
  const warm = Math.ceil(lab.requests / 2);
  for (let done = 0; done < warm + lab.requests && !lab.stopped; ) {
    const step = Math.min(CHUNK, warm + lab.requests - done);
    for (let i = 0; i < step; i++) {
      const id = zipf.sample(rng);
      const hash = keyHash(id);
      const hit = tier.lookup(id, hash);
      if (!hit) tier.fill(id, hash);
      if (done + i >= warm) {
        counted++;
        if (hit) hits++;
      }
    }
    done += step;
    yield { label, done, total: warm + lab.requests };
  }
  return counted === 0 ? 0 : hits / counted;
}

export const policies: Kind = {
  params: {
    keys: { about: "distinct keys", min: 1, max: 2 ** 31 - 2, integer: true },
    skew: { about: "Zipf exponent", min: 0.01, max: 5 },
    sizes: { about: "hot tier entries as shares of the keys", min: 1e-6, max: 1, list: true },
    ways: { about: "ways of the set-associative tier", min: 1, max: 64, integer: true },
    checkKeys: { about: "keys of the closed-form check", min: 1, integer: true },
    checkSlots: { about: "slots of the closed-form check", min: 1, integer: true },
    checkSkews: { about: "exponents of the closed-form check", min: 0.01, max: 5, list: true },
    keyBytes: { about: "key length, for throughput", min: 1, max: 250, integer: true },
    valueBytes: { about: "value length, for throughput", min: 0, max: 1000, integer: true },
  },
  *run(lab) {
    const checks: (string | number)[][] = [];
    const [checkKeys, checkSlots] = [lab.number("checkKeys"), lab.number("checkSlots")];
    for (const skew of lab.numbers("checkSkews")) {
      const closed = directMappedHitRatio(checkKeys, checkSlots, skew);
      const ideal = idealHitRatio(checkKeys, checkSlots, skew);
      const tier = createHotTier("direct", checkSlots);
      const ours = yield* measureHitRatio(lab, `closed form, skew ${skew}`, tier, checkKeys, skew);
      if (lab.stopped) break;
      checks.push([skew, ours * 100, closed * 100, (ours - closed) * 100, ideal * 100]);
      lab.compare(`direct.${skew}`, ours * 100);
      lab.compare(`ideal.${skew}`, ideal * 100);
    }
    lab.table(
      `Direct-mapped against its closed form: ${checkKeys} keys, ${checkSlots} slots (hit ratio, %)`,
      ["skew", "simulated", "closed form", "difference", "ideal"],
      checks,
    );
    const [keys, skew] = [lab.number("keys"), lab.number("skew")];
    const shape = { keyBytes: lab.number("keyBytes"), valueBytes: lab.number("valueBytes") };
    const plain = lab.profile("userspace-only");
    const ways = waysOf(lab.profile("xdp-native"), plain, shape);
    const rows: (string | number)[][] = [];
    const lines: Record<string, [number, number][]> = { direct: [], set: [], lru: [], ideal: [] };
    for (const size of lab.numbers("sizes")) {
      const entries = Math.max(lab.number("ways"), Math.round(keys * size));
      const row: (string | number)[] = [`${(size * 100).toPrecision(3)} %`, entries];
      for (const policy of POLICIES) {
        const tier = createHotTier(policy, entries, lab.number("ways"));
        const h = yield* measureHitRatio(lab, `${policy}, ${entries} entries`, tier, keys, skew);
        if (lab.stopped) break;
        lines[policy]!.push([size * 100, h * 100]);
        row.push(h * 100, Math.round(1e9 / (h * ways.hitNs + (1 - h) * ways.coldNs)));
        lab.compare(`${policy}.${size}`, h * 100);
      }
      if (lab.stopped) break;
      const ideal = idealHitRatio(keys, entries, skew);
      lines.ideal!.push([size * 100, ideal * 100]);
      rows.push([...row, ideal * 100]);
    }
    lab.table(
      `${keys} keys, Zipf ${skew}: hit ratio (%) and requests/s of one core at XDP`,
      ["size", "entries", "direct %", "req/s", "set %", "req/s", "lru %", "req/s", "ideal %"],
      rows,
    );
    lab.note(`the same core without offload serves ${Math.round(1e9 / ways.plainNs)} requests/s`);
    lab.plot({
      name: "policies",
      title: `Hit ratio by policy, Zipf ${skew}, ${keys} keys`,
      x: "hot tier (% of the keys)",
      y: "hit ratio (%)",
      xLog: true,
      series: Object.entries(lines).map(([name, points]) => ({
        name,
        style: name === "ideal" ? "dashed" : "line",
        points,
      })),
    });
  },
};

export const writes: Kind = {
  params: {
    profile: { about: "where the program is attached", options: "profile" },
    policy: { about: "replacement policy", options: POLICIES },
    keys: { about: "distinct keys", min: 1, max: 2 ** 31 - 2, integer: true },
    entries: { about: "entries of the hot tier", min: 1, integer: true },
    skew: { about: "Zipf exponent", min: 0.01, max: 5 },
    popularity: { about: "how keys are chosen", options: ["zipf", "uniform", "hotset"] },
    hotKeys: { about: "hotset: keys in the hot window", min: 1, integer: true },
    hotShare: { about: "hotset: share of requests to the window", min: 0, max: 1 },
    driftEvery: { about: "hotset: requests after which the window moves by one key", min: 1, integer: true },
    sizes: {
      about: "value sizes; those over 1,000 B are never hot",
      options: ["constant", "etc", "bimodal"],
    },
    largeBytes: { about: "bimodal: bytes of a large value", min: 0, integer: true },
    largeShare: { about: "bimodal: share of keys with a large value", min: 0, max: 1 },
    keyBytes: { about: "key length", min: 1, max: 250, integer: true },
    valueBytes: {
      about: "value length (the priced one, whatever the sizes)",
      min: 0,
      max: 1000,
      integer: true,
    },
    cores: { about: "cores", min: 1, max: 64, integer: true },
    writeShares: { about: "shares of writes", min: 0, max: 1, list: true },
    scanNs: { about: "userspace ns of a YCSB E scan beyond a GET", min: 0 },
  },
  *run(lab) {
    const profile = lab.profile(lab.text("profile"));
    const plain = lab.profile("userspace-only");
    const shape = { keyBytes: lab.number("keyBytes"), valueBytes: lab.number("valueBytes") };
    const ways = waysOf(profile, plain, shape);
    const cores = lab.number("cores");
    const base = yield* capacity(lab, "without offload", [plainPath(ways)], [1], cores);
    const rows: (string | number)[][] = [];
    const line: [number, number][] = [];
    for (const share of lab.numbers("writeShares")) {
      const mix: Mix = { get: 1 - share, set: share };
      const { rate, hits, reads } = yield* cached(lab, `write share ${share}`, mix, lab.text("popularity"));
      if (lab.stopped) break;
      const id = Math.round(share * 100);
      line.push([id, rate / base]);
      lab.compare(`speedup.${id}`, rate / base);
      rows.push([
        `${100 - id}:${id}`,
        (100 * hits) / Math.max(1, reads),
        Math.round(rate),
        rate / base,
        rate > base ? "pays" : "loses",
      ]);
    }
    lab.table(
      `Reads : writes, ${profile.name}, ${lab.number("entries")} entries for ${lab.number("keys")} keys, ${cores} core(s)`,
      ["mix", "hit ratio of reads %", "requests/s", "÷ off", "verdict"],
      [...rows, ["(off)", "", Math.round(base), 1, ""]],
    );
    const ycsb: (string | number)[][] = [];
    for (const [name, mix] of Object.entries(YCSB)) {
      if (lab.stopped) break;
      const on = yield* cached(lab, `YCSB ${name.toUpperCase()}`, mix, name === "d" ? "latest" : "zipf");
      const off = yield* cached(
        lab,
        `YCSB ${name.toUpperCase()} without`,
        mix,
        name === "d" ? "latest" : "zipf",
        true,
      );
      if (lab.stopped) break;
      ycsb.push([
        name.toUpperCase(),
        (100 * on.hits) / Math.max(1, on.reads),
        Math.round(on.rate),
        Math.round(off.rate),
        on.rate / off.rate,
      ]);
    }
    lab.table("YCSB core workloads", ["mix", "hit ratio of reads %", "requests/s", "without", "÷"], ycsb);
    lab.plot({
      name: "writes",
      title: "Writes invalidate: throughput with / without offload",
      x: "% writes",
      y: "capacity with / without",
      series: [
        { name: "simulated", style: "line", points: line },
        {
          name: "break-even",
          style: "dashed",
          points: [
            [0, 1],
            [100, 1],
          ],
        },
      ],
    });
  },
};

function keySpec(lab: Lab, popularity: string): KeySpec {
  const keys = lab.number("keys");
  if (popularity === "uniform") return { kind: "uniform", keys };
  if (popularity === "hotset") {
    const [hotKeys, hotShare, driftEvery] = ["hotKeys", "hotShare", "driftEvery"].map((key) =>
      lab.number(key),
    );
    return { kind: "hotset", keys, hotKeys: hotKeys!, hotShare: hotShare!, driftEvery: driftEvery! };
  }
  return { kind: popularity === "latest" ? "latest" : "zipf", keys, skew: lab.number("skew") };
}

function sizeSpec(lab: Lab): SizeSpec {
  const kind = lab.text("sizes");
  const bytes = lab.number("valueBytes");
  if (kind === "etc") return { kind };
  if (kind === "constant") return { kind, bytes };
  return {
    kind: "bimodal",
    small: bytes,
    large: lab.number("largeBytes"),
    largeShare: lab.number("largeShare"),
  };
}

type CachedRun = { rate: number; hits: number; reads: number };

/** A closed loop over a live hot tier: reads fill on their answer, writes invalidate at the hook. */
function* cached(
  lab: Lab,
  label: string,
  mix: Mix,
  popularity: string,
  off = false,
): Generator<Progress, CachedRun> {
  const profile = lab.profile(lab.text("profile"));
  const plain = lab.profile("userspace-only");
  const shape = { keyBytes: lab.number("keyBytes"), valueBytes: lab.number("valueBytes") };
  const ways = waysOf(profile, plain, shape);
  const cores = lab.number("cores");
  const keys = lab.number("keys");
  const requests = workload({ key: keySpec(lab, popularity), size: sizeSpec(lab), mix }, lab.seed);
  const tier = createHotTier(lab.text("policy") as Policy, lab.number("entries"));
  prefill(tier, keys);
  const counts = { hits: 0, reads: 0 };
  const cold = off ? plainPath(ways) : coldPath(ways);
  // A write looks as a miss does, and rewrites the slot it invalidates: once more the look-up's lock and load.
  const invalidate = off
    ? 0
    : costNs(profile, { ...lookFacts(shape), hookRuns: 0, instructions: 40, tailCalls: 0 });
  const scan: PathSpec = { ...cold, name: "scan", userNs: cold.userNs + lab.number("scanNs") };
  const write: PathSpec = { ...cold, name: "write", softirqNs: cold.softirqNs + invalidate };
  const flow: FlowSpec = {
    name: label,
    arrival: { kind: "closed", clients: 64 * cores, thinkUs: 0 },
    queue: "rss",
    paths: [off ? cold : hotPath(ways), cold, write, scan],
  };
  const slots = 2000 * cores;
  const steering = cacheSteering(requests, tier, slots, counts, off);
  const machine = new Machine(ownSockets(cores), [flow], steering, lab.seed);
  yield* drive(lab, machine, label);
  return { rate: answered(machine) / machine.elapsedSeconds, ...counts };
}

/** In place of a key id: the answer is not for the hot tier. */
const NOT_HOT = -1;

/** Joins a workload and a hot tier to a machine. Paths: 0 hit, 1 cold read, 2 write, 3 scan. */
export function cacheSteering(
  source: Workload,
  tier: HotTier,
  slots: number,
  counts: { hits: number; reads: number },
  off = false,
): Steering {
  const keyOf = new Int32Array(slots);
  const seenAt = new Int32Array(slots);
  // A fill that lost a race with a write is discarded: the generation of its bucket has moved.
  const generation = new Int32Array(1 << 16);
  return {
    decide: (slot) => {
      source.next();
      const { operation, key, valueBytes } = source.request;
      if (operation === "scan") return 3;
      keyOf[slot] = key;
      const hash = keyHash(key);
      if (operation !== "get") {
        if (!off) tier.invalidate(key, hash);
        generation[hash & 0xffff]!++;
        return 2;
      }
      counts.reads++;
      if (off || valueBytes > HOT_VALUE_MAX) {
        keyOf[slot] = NOT_HOT;
        return 1;
      }
      if (tier.lookup(key, hash)) {
        counts.hits++;
        return 0;
      }
      seenAt[slot] = generation[hash & 0xffff]!;
      return 1;
    },
    answered: (slot, _flow, path) => {
      if (path !== 1 || off) return;
      const key = keyOf[slot]!;
      if (key === NOT_HOT) return;
      const hash = keyHash(key);
      if (seenAt[slot] === generation[hash & 0xffff]) tier.fill(key, hash);
    },
  };
}
