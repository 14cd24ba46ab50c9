/**
 * 50 K fast + 5 K slow requests/s, and the law of partial offloading. Three questions: how much more can
 * the all-hit case serve, what happens to the latency of both flows, and from which share of hits on it
 * pays. The slow flow waits behind the program's work in softirq: what speeds up one flow can slow down
 * the other.
 */
import { offloadSpeedup } from "../closed-form.ts";
import type { Kind, Lab, Progress } from "../experiment.ts";
import { type FlowSpec, Machine, type MachineSpec, type PathSpec } from "../machine.ts";
import { coldPath, hotPath, plainPath, type Ways, waysOf } from "../server-model.ts";
import {
  BURST_PARAMS,
  burstyArrivals,
  capacity,
  drive,
  RING,
  randomSteering,
  SOCKET_DATAGRAMS,
  us,
} from "./rig.ts";

const QUANTILES = [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];

export const partialOffload: Kind = {
  params: {
    fastRate: { about: "requests/s the hot tier can answer", min: 1 },
    slowRate: { about: "requests/s it cannot", min: 0 },
    keyBytes: { about: "key length", min: 1, max: 250, integer: true },
    fastValue: { about: "value bytes of the fast flow in userspace's answer", min: 0, integer: true },
    fastValueHot: { about: "value bytes of the fast flow in the hook's answer", min: 0, integer: true },
    slowValue: { about: "value bytes of the slow flow", min: 0, integer: true },
    capacityKey: { about: "key bytes of the capacity test", min: 1, max: 250, integer: true },
    capacityValue: { about: "value bytes of the capacity test", min: 0, integer: true },
    workers: { about: "server threads, one core each", min: 1, max: 64, integer: true },
    hitExtraNs: { about: "ns a hit takes beyond what the profile explains", min: 0 },
    baseUs: { about: "µs of wire and client in each latency", min: 0 },
    afXdpWorkers: { about: "threads of the AF_XDP server, one core each", min: 1, max: 64, integer: true },
    afXdpBaseUs: { about: "µs of wire, client and wake-up in each latency of the AF_XDP server", min: 0 },
    ...BURST_PARAMS,
  },
  *run(lab) {
    const plain = lab.profile("userspace-only");
    const xdp = lab.profile("xdp-native");
    const afXdp = lab.profile("af_xdp");
    const extra = lab.number("hitExtraNs");
    const shape = { keyBytes: lab.number("capacityKey"), valueBytes: lab.number("capacityValue") };
    const ways = waysOf(xdp, plain, shape);
    const afWays = waysOf(afXdp, plain, shape);
    const afPath = coldPath(afWays);

    const rates = {
      plain: yield* capacity(lab, "capacity, userspace only", [plainPath(ways)], [1]),
      hot: yield* capacity(lab, "capacity, all hits", [hotPath(ways, extra)], [1]),
      explained: yield* capacity(lab, "capacity, all hits, profile alone", [hotPath(ways)], [1]),
      af: yield* capacity(lab, "capacity, AF_XDP", [afPath], [1]),
    };
    const K = 1000;
    lab.table(
      "One core, every request answerable",
      ["what", "K requests/s", "÷ userspace"],
      [
        ["userspace only", rates.plain / K, 1],
        ["answered at XDP", rates.hot / K, rates.hot / rates.plain],
        ["answered at XDP, by the profile alone", rates.explained / K, rates.explained / rates.plain],
        ["AF_XDP server", rates.af / K, rates.af / rates.plain],
      ],
    );
    lab.compare("capacityPlain", rates.plain / K);
    lab.compare("capacityHot", rates.hot / K);
    lab.compare("capacityRatio", rates.hot / rates.plain);
    lab.compare("capacityTailCalls", rates.explained / K);
    lab.compare("capacityAfXdp", rates.af / K);
    lab.compare("capacityAfXdpHot", rates.hot / K);
    if (lab.stopped) return;

    yield* latencies(lab, "sockets", (shapeOf) => {
      const fast = waysOf(xdp, plain, shapeOf.fast);
      const slow = waysOf(xdp, plain, shapeOf.slow);
      const fastHot = waysOf(xdp, plain, shapeOf.fastHot);
      return {
        off: [plainPath(fast), plainPath(slow)],
        on: [hotPath(fastHot, extra), coldPath(slow)],
        workers: lab.number("workers"),
        baseUs: lab.number("baseUs"),
      };
    });
    if (lab.stopped) return;
    yield* latencies(lab, "afXdp", (shapeOf) => {
      const fast = waysOf(afXdp, plain, shapeOf.fast);
      const slow = waysOf(afXdp, plain, shapeOf.slow);
      const fastHot = waysOf(xdp, plain, shapeOf.fastHot);
      const look = waysOf(xdp, plain, shapeOf.slow).lookNs;
      const up = (w: Ways): PathSpec => ({ ...coldPath(w), name: "cold" });
      const slowOn = { ...up(slow), softirqNs: up(slow).softirqNs + look };
      return {
        off: [up(fast), up(slow)],
        on: [hotPath(fastHot, extra), slowOn],
        workers: lab.number("afXdpWorkers"),
        baseUs: lab.number("afXdpBaseUs"),
      };
    });
    if (lab.stopped) return;
    yield* law(lab, ways.plainNs);
  },
};

type Variant = { off: readonly PathSpec[]; on: readonly PathSpec[]; workers: number; baseUs: number };
type Shapes = Record<"fast" | "fastHot" | "slow", { keyBytes: number; valueBytes: number }>;

function* latencies(
  lab: Lab,
  server: string,
  variant: (shapes: Shapes) => Variant,
): Generator<Progress, void> {
  const keyBytes = lab.number("keyBytes");
  const { off, on, workers, baseUs } = variant({
    fast: { keyBytes, valueBytes: lab.number("fastValue") },
    fastHot: { keyBytes, valueBytes: lab.number("fastValueHot") },
    slow: { keyBytes, valueBytes: lab.number("slowValue") },
  });
  const fastRate = lab.number("fastRate");
  const slowRate = lab.number("slowRate");
  const share = slowRate / (fastRate + slowRate);
  const columns: Record<string, number[]> = {};
  const rows: (string | number)[][] = [];
  for (const [mode, paths] of [
    ["off", off],
    ["on", on],
  ] as const) {
    const flow: FlowSpec = {
      name: server,
      arrival: burstyArrivals(lab, fastRate + slowRate),
      queue: 0,
      baseNs: baseUs * 1000,
      paths,
    };
    const spec: MachineSpec = {
      cores: workers,
      queues: [{ core: 0, ring: RING, socket: 0 }],
      sockets: [{ capacity: SOCKET_DATAGRAMS }],
      threads: Array.from({ length: workers }, (_, core) => ({ core, socket: 0 })),
      contextSwitchNs: 1000,
      softirqBudgetNs: 2_000_000,
      userSliceNs: 2_000_000,
    };
    const steering = randomSteering([1 - share, share], lab.seed);
    const machine = new Machine(spec, [flow], steering, lab.seed);
    yield* drive(lab, machine, `${server}, offload ${mode}`);
    const stats = machine.stats[0]!;
    for (const [p, name] of ["fast", "slow"].entries()) {
      const h = stats.byPath[p]!;
      const values = QUANTILES.map((q) => us(h, q));
      columns[`${name} ${mode}`] = values;
      for (const [i, q] of QUANTILES.entries()) {
        lab.compare(`${server}.${name}.${mode}.p${Math.round(q * 100)}`, values[i]!);
      }
      rows.push([
        `${name}, offload ${mode}`,
        ...[1, 6, 10, 12].map((i) => values[i]!),
        h.mean / 1e6,
        h.count,
      ]);
    }
    const [fastH, slowH] = stats.byPath;
    const overall = mixHalf(fastH!.quantile.bind(fastH), slowH!.quantile.bind(slowH));
    for (const q of [0.5, 0.9, 0.99]) {
      lab.compare(`${server}.overall.${mode}.p${Math.round(q * 100)}`, overall(q) / 1e6);
    }
    const drops = stats.nicDrops + stats.socketDrops;
    if (drops > 0) lab.note(`${server}, offload ${mode}: ${drops} of ${stats.offered} requests dropped`);
  }
  const change = (name: string, i: number) => columns[`${name} on`]![i]! / columns[`${name} off`]![i]! - 1;
  rows.push(
    ...["fast", "slow"].map((name) => [
      `${name}, change`,
      ...[1, 6, 10, 12].map((i) => `${signed(change(name, i) * 100)} %`),
      "",
      "",
    ]),
  );
  const title = `Latency of both flows, ${server === "sockets" ? "socket server" : "AF_XDP server"} (µs)`;
  lab.table(title, ["flow", "p5", "p50", "p90", "p99", "mean", "answers"], rows);
  lab.compare(`${server}.slow.p50Ratio`, 1 + change("slow", 6));
  lab.compare(`${server}.slow.p99Ratio`, 1 + change("slow", 12));
  const published = (mode: string) =>
    QUANTILES.flatMap((q): [number, number][] => {
      const row = lab.experiment.published[`${server}.slow.${mode}.p${Math.round(q * 100)}`];
      return row ? [[row.value, q]] : [];
    });
  lab.plot({
    name: `latency-${server}`,
    title,
    x: "latency (µs)",
    y: "share of requests",
    series: [
      ...Object.entries(columns).map(([name, values]) => ({
        name,
        style: "line" as const,
        points: values.map((v, i): [number, number] => [v, QUANTILES[i]!]),
      })),
      { name: "slow off, published", style: "published", points: published("off") },
      { name: "slow on, published", style: "published", points: published("on") },
    ],
  });
}

/** Quantiles of an even mixture of two distributions, by bisection over their inverse: the paper samples 1 : 1. */
function mixHalf(a: (q: number) => number, b: (q: number) => number): (q: number) => number {
  const steps = 2000;
  const values = Array.from({ length: steps }, (_, i) => [a, b].map((f) => f((i + 0.5) / steps)))
    .flat()
    .sort((x, y) => x - y);
  return (q) => values[Math.min(values.length - 1, Math.floor(q * values.length))]!;
}

/** Simulated speed-ups against 1 / (1 + rho - omega). */
function* law(lab: Lab, plainNs: number): Generator<Progress, void> {
  const shares = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
  const extras = [0.1, 0.3, 0.6];
  const work = (factor: number) => ({ softirqNs: plainNs * factor, userNs: 0 });
  const user = (rho: number): PathSpec => ({
    name: "cold",
    hot: false,
    softirqNs: plainNs * rho,
    userNs: plainNs,
  });
  const base = yield* capacity(lab, "law, no program", [user(0)], [1]);
  const rows: (string | number)[][] = [];
  let worst = 0;
  const series = [];
  for (const rho of extras) {
    const points: [number, number][] = [];
    for (const omega of shares) {
      const hot: PathSpec = { name: "hot", hot: true, ...work(rho) };
      const rate = yield* capacity(
        lab,
        `law, rho ${rho}, omega ${omega}`,
        [hot, user(rho)],
        [omega, 1 - omega],
      );
      if (lab.stopped) return;
      const expected = offloadSpeedup(rho, omega);
      const speedup = rate / base;
      worst = Math.max(worst, Math.abs(speedup / expected - 1));
      points.push([omega, speedup]);
      rows.push([rho, omega, speedup, expected, rho < omega ? "pays" : rho > omega ? "loses" : "even"]);
    }
    series.push({ name: `rho ${rho}, simulated`, style: "points" as const, points });
    const curve = shares.map((omega): [number, number] => [omega, offloadSpeedup(rho, omega)]);
    series.push({ name: `rho ${rho}, law`, style: "line" as const, points: curve });
  }
  lab.table(
    "The law: it pays where rho < omega",
    ["rho", "omega", "speed-up", "1/(1+rho-omega)", "verdict"],
    rows,
  );
  lab.note(
    `the law 1/(1+rho-omega) is met to ${(worst * 100).toFixed(2)} % at worst over ${rows.length} points`,
  );
  lab.plot({
    name: "law",
    title: "Partial offload pays where rho < omega",
    x: "share answered by the program (omega)",
    y: "throughput with / without",
    series: [
      ...series,
      {
        name: "break-even",
        style: "dashed",
        points: [
          [0, 1],
          [0.9, 1],
        ],
      },
    ],
  });
}

function signed(value: number): string {
  return `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(1)}`;
}
