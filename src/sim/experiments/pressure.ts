/**
 * What in-kernel work does to everything else: total throughput and latency over the hit ratio
 * (`hit-ratio`), and to a neighbour on the same NIC queue (`isolation`).
 */
import type { ArrivalSpec } from "../arrivals.ts";
import type { Kind, Lab, Progress } from "../experiment.ts";
import { type FlowSpec, Machine, type MachineSpec, type PathSpec } from "../machine.ts";
import { coldPath, hotPath, plainPath, waysOf } from "../server-model.ts";
import { breakEven } from "./hooks.ts";
import {
  answered,
  BURST_PARAMS,
  burstyArrivals,
  capacity,
  drive,
  merged,
  ownSockets,
  RING,
  randomSteering,
  SOCKET_DATAGRAMS,
  us,
} from "./rig.ts";

export const hitRatio: Kind = {
  params: {
    profile: { about: "where the program is attached", options: "profile" },
    keyBytes: { about: "key length", min: 1, max: 250, integer: true },
    valueBytes: { about: "value length", min: 0, max: 1000, integer: true },
    cores: { about: "cores", min: 1, max: 64, integer: true },
    arrivals: { about: "how requests come in the latency runs", options: ["poisson", "fixed", "mmpp"] },
    load: {
      about: "offered rate of the latency runs, as a share of the capacity without offload",
      min: 0.01,
      max: 0.99,
    },
    ratios: { about: "hit ratios", min: 0, max: 1, list: true },
  },
  *run(lab) {
    const profile = lab.profile(lab.text("profile"));
    const plain = lab.profile("userspace-only");
    const shape = { keyBytes: lab.number("keyBytes"), valueBytes: lab.number("valueBytes") };
    const ways = waysOf(profile, plain, shape);
    const cores = lab.number("cores");
    const base = yield* capacity(lab, "without offload", [plainPath(ways)], [1], cores);
    const rate = base * lab.number("load");
    const open = function* (
      label: string,
      paths: PathSpec[],
      weights: number[],
    ): Generator<Progress, Machine> {
      const flow: FlowSpec = {
        name: label,
        arrival: arrivalsAt(lab.text("arrivals"), rate),
        queue: "rss",
        paths,
      };
      const machine = new Machine(ownSockets(cores), [flow], randomSteering(weights, lab.seed), lab.seed);
      yield* drive(lab, machine, label);
      return machine;
    };
    const without = merged((yield* open("latency without offload", [plainPath(ways)], [1])).stats[0]!.byPath);
    const rows: (string | number)[][] = [];
    for (const h of lab.numbers("ratios")) {
      const paths = [hotPath(ways), coldPath(ways)];
      const total = yield* capacity(lab, `capacity, hit ratio ${h}`, paths, [h, 1 - h], cores);
      const machine = yield* open(`latency, hit ratio ${h}`, paths, [h, 1 - h]);
      if (lab.stopped) break;
      const [hot, cold] = machine.stats[0]!.byPath;
      const all = merged([hot!, cold!]);
      rows.push([
        h,
        Math.round(total),
        total / base,
        us(all, 0.5),
        us(all, 0.99),
        us(cold!, 0.5),
        us(cold!, 0.99),
        total > base ? "pays" : "loses",
      ]);
    }
    rows.push([
      "(off)",
      Math.round(base),
      1,
      us(without, 0.5),
      us(without, 0.99),
      us(without, 0.5),
      us(without, 0.99),
      "",
    ]);
    const even = breakEven(ways);
    lab.table(
      `${profile.title}: ${cores} cores; latency at ${Math.round(rate)} requests/s (µs inside the server)`,
      ["hit ratio", "capacity/s", "÷ off", "p50", "p99", "cold p50", "cold p99", "verdict"],
      rows,
    );
    lab.note(`break-even hit ratio ${(even * 100).toFixed(2)} %: below it offloading loses throughput`);
    lab.compare("speedupAllHits", Number(rows.at(-2)?.[2] ?? 0));
    lab.compare("speedupNoHits", Number(rows[0]?.[2] ?? 0));
    const line = rows.slice(0, -1).map((r): [number, number] => [Number(r[0]), Number(r[2])]);
    lab.plot({
      name: "hit-ratio",
      title: `Throughput with / without offload, ${profile.name}`,
      x: "hit ratio",
      y: "capacity with / without",
      series: [
        { name: "simulated", style: "points", points: line },
        {
          name: "1 / (1 − saved share)",
          style: "line",
          points: line.map(([h]) => [h, ways.plainNs / (h * ways.hitNs + (1 - h) * ways.coldNs)]),
        },
        {
          name: "break-even",
          style: "dashed",
          points: [
            [0, 1],
            [1, 1],
          ],
        },
      ],
    });
  },
};

/** mmpp: a tenth of the time, for 200 µs on average, at four times the mean rate. */
function arrivalsAt(kind: string, rate: number): ArrivalSpec {
  if (kind === "mmpp") return { kind, rate, burstFactor: 4, burstShare: 0.1, burstUs: 200 };
  return { kind: kind === "fixed" ? "fixed" : "poisson", rate };
}

export const isolation: Kind = {
  params: {
    kvRate: { about: "key-value requests/s beside the neighbour", min: 1 },
    echoRate: { about: "the neighbour's echo requests/s", min: 1 },
    keyBytes: { about: "key length", min: 1, max: 250, integer: true },
    valueBytes: { about: "value bytes of the hook's answer", min: 0, max: 1000, integer: true },
    workers: {
      about: "key-value server threads, one core each",
      min: 1,
      max: 64,
      integer: true,
    },
    hitExtraNs: { about: "ns a hit takes beyond what the profile explains", min: 0 },
    baseUs: { about: "µs of wire and client in each latency", min: 0 },
    echoCore: {
      about: "core of the neighbour's thread; 0 is the NIC queue's",
      min: 0,
      max: 64,
      integer: true,
    },
    budgetUs: { about: "softirq budget of the runs that have one, µs", min: 1 },
    kernelLoads: { about: "in-kernel load of the sweep, share of one core", min: 0, max: 3, list: true },
    ...BURST_PARAMS,
  },
  *run(lab) {
    const plain = lab.profile("userspace-only");
    const shape = { keyBytes: lab.number("keyBytes"), valueBytes: lab.number("valueBytes") };
    const ways = waysOf(lab.profile("xdp-native"), plain, shape);
    const hit = hotPath(ways, lab.number("hitExtraNs"));
    const rows: (string | number)[][] = [];
    const p50: number[] = [];
    for (const [mode, path] of [
      ["off", plainPath(ways)],
      ["on", hit],
    ] as const) {
      const machine = neighbours(lab, path);
      yield* drive(lab, machine, `neighbour, offload ${mode}`);
      if (lab.stopped) return;
      const echo = machine.stats[0]!.byPath[1]!;
      const quantiles = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];
      for (const q of quantiles) lab.compare(`echo.${mode}.p${Math.round(q * 100)}`, us(echo, q));
      p50.push(us(echo, 0.5));
      rows.push([`offload ${mode}`, ...quantiles.map((q) => us(echo, q)), echo.count]);
    }
    lab.compare("echo.p50Ratio", p50[1]! / p50[0]!);
    lab.table(
      "Neighbour's echo latency (µs)",
      ["", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "answers"],
      rows,
    );
    yield* sweep(lab, hit, plainPath(ways));
  },
};

/** Key-value flow and echo flow on one NIC queue handled by core 0, a server each. */
function neighbours(lab: Lab, path: PathSpec): Machine {
  const workers = lab.number("workers");
  const echoCore = lab.number("echoCore");
  const plain = lab.profile("userspace-only");
  const { driver, stackIn, stackOut, crossing } = plain.ns;
  const softirqNs = driver + 1072;
  const echoPath: PathSpec = {
    name: "echo",
    hot: false,
    socket: 1,
    softirqNs,
    userNs: driver + stackIn + stackOut + 2 * crossing - softirqNs,
  };
  const spec: MachineSpec = {
    cores: Math.max(workers, echoCore + 1),
    queues: [{ core: 0, ring: RING, socket: 0 }],
    sockets: [{ capacity: SOCKET_DATAGRAMS }, { capacity: SOCKET_DATAGRAMS }],
    threads: [
      ...Array.from({ length: workers }, (_, core) => ({ core, socket: 0 })),
      { core: echoCore, socket: 1 },
    ],
    contextSwitchNs: 1000,
    softirqBudgetNs: 2_000_000,
    userSliceNs: 2_000_000,
  };
  const kvRate = lab.number("kvRate");
  const echoRate = lab.number("echoRate");
  const flow: FlowSpec = {
    name: "kv and echo",
    arrival: burstyArrivals(lab, kvRate + echoRate),
    queue: 0,
    paths: [path, echoPath],
    baseNs: lab.number("baseUs") * 1000,
  };
  const share = echoRate / (kvRate + echoRate);
  return new Machine(spec, [flow], randomSteering([1 - share, share], lab.seed), lab.seed);
}

/** In-kernel load rises on the cold tier's own core: who still gets served, with and without a budget? */
function* sweep(lab: Lab, hit: PathSpec, up: PathSpec): Generator<Progress, void> {
  const rows: (string | number)[][] = [];
  const lines: Record<string, [number, number][]> = { "no budget": [], "with a budget": [] };
  const coldRate = 20_000;
  for (const load of lab.numbers("kernelLoads")) {
    for (const [name, budgetNs] of [
      ["no budget", undefined],
      ["with a budget", lab.number("budgetUs") * 1000],
    ] as const) {
      const rate = Math.max(1, (load * 1e9) / hit.softirqNs);
      const flows: FlowSpec[] = [
        { name: "hot", arrival: { kind: "poisson", rate }, queue: 0, paths: [hit] },
        { name: "cold", arrival: { kind: "poisson", rate: coldRate }, queue: 0, paths: [up] },
      ];
      const spec: MachineSpec = {
        ...ownSockets(1),
        ...(budgetNs === undefined ? {} : { softirqBudgetNs: budgetNs, userSliceNs: budgetNs }),
      };
      const machine = new Machine(spec, flows, { decide: () => 0 }, lab.seed);
      yield* drive(lab, machine, `in-kernel load ${load}, ${name}`);
      if (lab.stopped) return;
      const cold = machine.stats[1]!;
      const coldServed = answered(machine, 1) / machine.elapsedSeconds;
      lines[name]!.push([load, (100 * coldServed) / coldRate]);
      rows.push([
        load,
        name,
        Math.round(answered(machine, 0) / machine.elapsedSeconds),
        (100 * coldServed) / coldRate,
        us(cold.byPath[0]!, 0.5),
        us(cold.byPath[0]!, 0.99),
        us(machine.stats[0]!.byPath[0]!, 0.99),
        (100 * (machine.stats[0]!.nicDrops + cold.nicDrops + cold.socketDrops)) /
          (machine.stats[0]!.offered + cold.offered),
      ]);
    }
  }
  lab.table(
    `The cold tier on the same core, ${coldRate} cold requests/s (µs inside the server)`,
    ["in-kernel load", "softirq", "hot/s", "cold served %", "cold p50", "cold p99", "hot p99", "dropped %"],
    rows,
  );
  lab.plot({
    name: "budget",
    title: "Cold requests served as in-kernel load rises",
    x: "in-kernel load offered (share of a core)",
    y: "% of cold requests served",
    series: Object.entries(lines).map(([name, points]) => ({ name, style: "line", points })),
  });
}
