/**
 * The attachment points side by side: what it takes to reach and enter each, the echo round trip, how fast
 * one core can drop there, the hit ratio from which attaching pays, and what the two classes of requests
 * feel under one load.
 */
import type { Profile } from "../../costs/profile.ts";
import type { Kind, Lab, Progress } from "../experiment.ts";
import { Histogram } from "../histogram.ts";
import { type FlowSpec, Machine, type PathSpec } from "../machine.ts";
import { Prng } from "../prng.ts";
import { coldPath, hotPath, plainPath, type Ways, waysOf } from "../server-model.ts";
import { drive, ownSockets, randomSteering, us } from "./rig.ts";

const HOOKS = [
  "xdp-native",
  "xdp-generic",
  "xdp-offload",
  "tc",
  "netkit",
  "sk_skb",
  "sk_skb-priority",
] as const;
const ECHO_QUANTILES = [0.01, 0.1, 0.5, 0.9, 0.99, 0.999];

export const hooks: Kind = {
  params: {
    keyBytes: { about: "key length", min: 1, max: 250, integer: true },
    valueBytes: { about: "value length", min: 0, max: 1000, integer: true },
    hotRate: { about: "requests/s the hook can answer", min: 1 },
    coldRate: { about: "requests/s it cannot", min: 1 },
    scanShare: { about: "share of the cold requests that are long", min: 0, max: 1 },
    scanNs: { about: "userspace ns of a long request", min: 0 },
  },
  *run(lab) {
    const plain = lab.profile("userspace-only");
    const shape = { keyBytes: lab.number("keyBytes"), valueBytes: lab.number("valueBytes") };
    reachTable(lab, plain, shape);
    yield* echo(lab, plain);
    if (lab.stopped) return;
    yield* underLoad(lab, plain, shape);
  },
};

/** Hit ratio from which total core time with the program falls under that without. */
export function breakEven({ plainNs, hitNs, coldNs }: Ways): number {
  return (coldNs - plainNs) / (coldNs - hitNs);
}

function reachTable(lab: Lab, plain: Profile, shape: { keyBytes: number; valueBytes: number }): void {
  const rows = HOOKS.map((name) => {
    const profile = lab.profile(name);
    const { driver, hookReach, hookEnter } = profile.ns;
    const dropMpps = 1e3 / (driver + hookReach + hookEnter);
    const ways = waysOf(profile, plain, shape);
    const even = breakEven(ways);
    lab.compare(`${name}.reach`, hookReach);
    lab.compare(`${name}.enter`, hookEnter);
    if (profile.runsOn !== "nic") lab.compare(`${name}.drop`, dropMpps);
    const drop: string | number = profile.runsOn === "nic" ? "on the NIC" : dropMpps;
    return [name, hookReach, hookEnter, ways.hitNs, ways.coldNs, drop, even * 100];
  });
  lab.table(
    `Cost of each hook, ${shape.keyBytes} B keys, ${shape.valueBytes} B values (ns)`,
    ["hook", "reach", "enter", "hit", "cold", "drop Mpps/core", "break-even hit %"],
    [...rows, ["(no program)", "", "", "", waysOf(plain, plain, shape).plainNs, "", ""]],
  );
}

/**
 * One echo at a time: nothing queues, so a round trip is the client and the wire (whose distribution is
 * taken from XDP's own published row: fitted) plus the server's way (predicted).
 */
function* echo(lab: Lab, plain: Profile): Generator<Progress, void> {
  const rng = new Prng(lab.seed, 21);
  const xdp = lab.profile("xdp-native");
  const own = (p: Profile) => p.ns.driver + p.ns.hookReach + p.ns.hookEnter + p.ns.hookReply;
  const client = inverse(
    ECHO_QUANTILES.map((q) => lab.published(`xdp-native.echo.p${q * 100}`) * 1000 - own(xdp)),
  );
  const socketNs = plain.ns.driver + plain.ns.stackIn + plain.ns.stackOut + 2 * plain.ns.crossing;
  const servers: [string, number, number][] = HOOKS.filter((name) => name !== "sk_skb-priority").map(
    (name) => {
      const profile = lab.profile(name);
      return [
        name,
        own(profile) - (profile.runsOn === "nic" ? profile.ns.driver : 0),
        profile.prices.hookReach.iqr ?? 0,
      ];
    },
  );
  servers.push(["socket", socketNs, plain.prices.stackIn.iqr ?? 0]);
  const rows = [];
  for (const [done, [name, serverNs, iqr]] of servers.entries()) {
    const histogram = new Histogram();
    const samples = Math.min(lab.requests, 400_000);
    for (let i = 0; i < samples; i++) {
      // A normal spread whose interquartile range is the published one, from twelve uniforms.
      let z = -6;
      for (let k = 0; k < 12; k++) z += rng.unit();
      histogram.record(Math.round(1000 * Math.max(0, client(rng.unit()) + serverNs + (z * iqr) / 1.349)));
    }
    for (const q of ECHO_QUANTILES) lab.compare(`${name}.echo.p${q * 100}`, us(histogram, q));
    rows.push([name, ...ECHO_QUANTILES.map((q) => us(histogram, q))]);
    yield { label: `echo, ${name}`, done: done + 1, total: servers.length };
  }
  lab.table("Echo round trip (µs)", ["where", ...ECHO_QUANTILES.map((q) => `p${q * 100}`)], rows);
  lab.plot({
    name: "echo",
    title: "Echo round trip, median",
    x: "published (µs)",
    y: "modelled (µs)",
    series: [
      {
        name: "median by hook",
        style: "points",
        points: rows.flatMap((row): [number, number][] => {
          const published = lab.experiment.published[`${row[0]}.echo.p50`];
          return published ? [[published.value, Number(row[3])]] : [];
        }),
      },
      {
        name: "equal",
        style: "dashed",
        points: [
          [36, 36],
          [46, 46],
        ],
      },
    ],
  });
}

/** Piecewise linear inverse distribution through the echo quantiles. */
function inverse(values: readonly number[]): (u: number) => number {
  return (u) => {
    const at = ECHO_QUANTILES.findIndex((q) => q >= u);
    if (at === 0) return values[0]!;
    if (at < 0) return values.at(-1)!;
    const [q0, q1] = [ECHO_QUANTILES[at - 1]!, ECHO_QUANTILES[at]!];
    return values[at - 1]! + ((u - q0) / (q1 - q0)) * (values[at]! - values[at - 1]!);
  };
}

function* underLoad(
  lab: Lab,
  plain: Profile,
  shape: { keyBytes: number; valueBytes: number },
): Generator<Progress, void> {
  const hotRate = lab.number("hotRate");
  const coldRate = lab.number("coldRate");
  const scans = lab.number("scanShare");
  const rows: (string | number)[][] = [];
  const names = ["userspace-only", ...HOOKS];
  for (const name of names) {
    const profile = lab.profile(name);
    const ways = waysOf(profile, plain, shape);
    const attached = profile.hook !== null;
    const short = { ...(attached ? coldPath(ways) : plainPath(ways)), name: "cold", priority: 0 as const };
    const long: PathSpec = {
      ...short,
      name: "long",
      userNs: short.userNs + lab.number("scanNs"),
      priority: 1,
    };
    const hot: PathSpec = attached
      ? { ...hotPath(ways), onNic: profile.runsOn === "nic" }
      : { ...plainPath(ways), name: "hot" };
    const total = hotRate + coldRate;
    const flow: FlowSpec = {
      name,
      arrival: { kind: "poisson", rate: total },
      queue: 0,
      paths: [hot, short, long],
    };
    const discipline = profile.scheduling;
    const spec = { ...ownSockets(1), sockets: [{ capacity: 4096, discipline }] };
    const weights = [hotRate / total, (coldRate / total) * (1 - scans), (coldRate / total) * scans];
    const machine = new Machine(spec, [flow], randomSteering(weights, lab.seed), lab.seed);
    yield* drive(lab, machine, `under load, ${name}`);
    if (lab.stopped) return;
    const [hotH, coldH, longH] = machine.stats[0]!.byPath;
    const sd = (v: number) => Math.sqrt(v) / 1e6;
    rows.push([
      name,
      us(hotH!, 0.5),
      us(hotH!, 0.99),
      sd(hotH!.variance),
      us(coldH!, 0.5),
      us(coldH!, 0.99),
      sd(coldH!.variance),
      us(longH!, 0.99),
      (100 * machine.softirqBusy[0]!) / 1e12 / machine.elapsedSeconds,
    ]);
  }
  lab.table(
    `One core, ${hotRate} hot + ${coldRate} cold requests/s, ${scans * 100} % of the cold ones long (µs inside the server)`,
    ["hook", "hot p50", "hot p99", "hot sd", "cold p50", "cold p99", "cold sd", "long p99", "softirq %"],
    rows,
  );
  lab.plot({
    name: "load",
    title: "p99 of each class under load",
    x: "hook (row of the table)",
    y: "µs",
    yLog: true,
    series: (
      [
        [2, "hot p99"],
        [5, "cold p99"],
        [7, "long p99"],
      ] as const
    ).map(([column, name]) => ({
      name,
      style: "line" as const,
      points: rows.map((row, i): [number, number] => [i, Number(row[column])]),
    })),
  });
}
