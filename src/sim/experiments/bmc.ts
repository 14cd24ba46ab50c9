/**
 * The two throughput figures of BMC (NSDI'21): over cores, and over the share of requests it can answer.
 * Open loop far above capacity, so what counts is who gets the core: softirq and the server thread share
 * it fairly once ksoftirqd runs, requests beyond the queues are dropped, and vanilla memcached's threads
 * all fight for one socket's lock.
 */
import type { Kind, Lab, ParamSpec, Progress } from "../experiment.ts";
import { type FlowSpec, Machine, type MachineSpec, type PathSpec } from "../machine.ts";
import { type Ways, waysOf } from "../server-model.ts";
import { answered, drive, ownSockets, randomSteering, SOCKET_DATAGRAMS } from "./rig.ts";

const SERVER_PARAMS: Readonly<Record<string, ParamSpec>> = {
  offeredRate: { about: "requests/s offered", min: 1 },
  keyBytes: { about: "key length", min: 1, max: 250, integer: true },
  valueBytes: { about: "value length of what BMC can answer", min: 0, max: 1000, integer: true },
  hitRatio: { about: "hit ratio of the hot tier", min: 0, max: 1 },
  softirqFactor: { about: "softirq work against the profile's machine", min: 0.05, max: 20 },
  serverNs: { about: "userspace ns of a request on a busy server (no wake-ups)", min: 1 },
  sliceUs: { about: "µs softirq and thread alternate by under overload", min: 1 },
};

/** What one request of each kind costs on the modelled machine. */
type Costs = { readonly hit: PathSpec; readonly miss: PathSpec; readonly plain: PathSpec };

function costs(lab: Lab): Costs & { readonly ways: Ways } {
  const shape = { keyBytes: lab.number("keyBytes"), valueBytes: lab.number("valueBytes") };
  const ways = waysOf(
    lab.profile("xdp-native"),
    lab.profile("userspace-only"),
    shape,
    lab.number("softirqFactor"),
  );
  const userNs = lab.number("serverNs");
  return {
    ways,
    hit: { name: "BMC", hot: true, softirqNs: ways.hitNs, userNs: 0 },
    miss: { name: "SR", hot: false, softirqNs: ways.coldSoftirqNs, userNs },
    plain: { name: "SR", hot: false, softirqNs: ways.plainSoftirqNs, userNs },
  };
}

function* throughput(
  lab: Lab,
  label: string,
  cores: number,
  paths: readonly PathSpec[],
  weights: readonly number[],
  shared?: { holdNs: number; transferNs: number; perWaiterNs: number },
): Generator<Progress, number[]> {
  const flow: FlowSpec = {
    name: label,
    arrival: { kind: "poisson", rate: lab.number("offeredRate") },
    queue: "rss",
    paths,
  };
  const slice = lab.number("sliceUs") * 1000;
  const own = ownSockets(cores, { softirqBudgetNs: slice, userSliceNs: slice });
  const spec: MachineSpec = shared
    ? {
        ...own,
        queues: own.queues.map((q) => ({ ...q, socket: 0 })),
        sockets: [{ capacity: SOCKET_DATAGRAMS, lock: shared }],
        threads: own.threads.map((t) => ({ ...t, socket: 0 })),
      }
    : own;
  const machine = new Machine(spec, [flow], randomSteering(weights, lab.seed), lab.seed);
  yield* drive(lab, machine, label);
  return paths.map((_, p) => answered(machine, 0, p) / machine.elapsedSeconds);
}

export const bmcCores: Kind = {
  params: {
    ...SERVER_PARAMS,
    maxCores: { about: "cores to go up to", min: 1, max: 64, integer: true },
    lockHoldNs: { about: "ns the one socket's lock is held each time", min: 0 },
    lockTransferNs: { about: "ns to fetch what the lock guards from the core that had it last", min: 0 },
    lockWaiterNs: { about: "ns each core spinning for it adds to a hold", min: 0 },
  },
  *run(lab) {
    const { hit, miss, plain } = costs(lab);
    const h = lab.number("hitRatio");
    const lock = {
      holdNs: lab.number("lockHoldNs"),
      transferNs: lab.number("lockTransferNs"),
      perWaiterNs: lab.number("lockWaiterNs"),
    };
    // An uncontended lock is part of what a request costs with a socket of its own: here it is charged as a lock.
    const locked = {
      ...plain,
      softirqNs: Math.max(0, plain.softirqNs - lock.holdNs),
      userNs: Math.max(0, plain.userNs - lock.holdNs),
    };
    const rows: number[][] = [];
    for (let n = 1; n <= lab.number("maxCores") && !lab.stopped; n++) {
      const [vanilla = 0] = yield* throughput(lab, `vanilla, ${n} cores`, n, [locked], [1], lock);
      const [sr = 0] = yield* throughput(lab, `SO_REUSEPORT, ${n} cores`, n, [plain], [1]);
      const [bmc = 0, up = 0] = yield* throughput(lab, `BMC, ${n} cores`, n, [hit, miss], [h, 1 - h]);
      if (lab.stopped) break;
      const total = bmc + up;
      rows.push([n, vanilla, sr, bmc, up, total, total / sr, total / vanilla, (100 * bmc) / total]);
      lab.compare(`vanilla.${n}`, vanilla);
      lab.compare(`sr.${n}`, sr);
      lab.compare(`bmc.${n}`, bmc);
      lab.compare(`up.${n}`, up);
      lab.compare(`total.${n}`, total);
    }
    if (rows.length === lab.number("maxCores")) {
      const most = Math.max(...rows.map((r) => r[5]!));
      lab.compare("bestOverBestVanilla", most / Math.max(...rows.map((r) => r[1]!)));
      lab.compare("bestOverSr", Math.max(...rows.map((r) => r[6]!)));
    }
    lab.table(
      "Requests/s over cores",
      ["cores", "vanilla", "SR alone", "BMC-served", "SR with BMC", "total", "÷ SR", "÷ vanilla", "BMC %"],
      rows.map((row) => row.map((v, i) => (i >= 1 && i <= 5 ? Math.round(v) : v))),
    );
    const published = (id: string) =>
      rows.flatMap(([n]): [number, number][] => {
        const row = lab.experiment.published[`${id}.${n}`];
        return row ? [[n!, row.value]] : [];
      });
    lab.plot({
      name: "cores",
      title: "Throughput over cores",
      x: "cores",
      y: "requests/s",
      series: [
        ["vanilla", 1, "vanilla"],
        ["SO_REUSEPORT", 2, "sr"],
        ["with BMC, total", 5, "total"],
      ].flatMap(([name, column, id]) => [
        {
          name: String(name),
          style: "line" as const,
          points: rows.map((r): [number, number] => [r[0]!, r[Number(column)]!]),
        },
        { name: `${name}, published`, style: "published" as const, points: published(String(id)) },
      ]),
    });
  },
};

export const bmcTraffic: Kind = {
  params: {
    ...SERVER_PARAMS,
    cores: { about: "cores", min: 1, max: 64, integer: true },
    largeServerNs: { about: "userspace ns of a request for an 8 KiB value", min: 1 },
    supported: { about: "shares of requests BMC can answer", min: 0, max: 1, list: true },
  },
  *run(lab) {
    const { hit, miss, plain } = costs(lab);
    const large = { userNs: lab.number("largeServerNs") };
    const h = lab.number("hitRatio");
    const cores = lab.number("cores");
    const rows: number[][] = [];
    for (const share of lab.numbers("supported")) {
      const label = `${Math.round(share * 100)} % supported`;
      const alone = yield* throughput(
        lab,
        `SR alone, ${label}`,
        cores,
        [plain, { ...plain, ...large }],
        [share, 1 - share],
      );
      const [bmc = 0, small = 0, big = 0] = yield* throughput(
        lab,
        `BMC, ${label}`,
        cores,
        [hit, miss, { ...miss, ...large }],
        [share * h, share * (1 - h), 1 - share],
      );
      if (lab.stopped) break;
      const sr = (alone[0] ?? 0) + (alone[1] ?? 0);
      const total = bmc + small + big;
      const id = Math.round(share * 100);
      rows.push([id, sr, bmc, small + big, total, total / sr]);
      lab.compare(`sr.${id}`, sr);
      lab.compare(`bmc.${id}`, bmc);
      lab.compare(`up.${id}`, small + big);
      lab.compare(`total.${id}`, total);
      lab.compare(`ratio.${id}`, total / sr);
    }
    lab.table(
      "Requests/s over the share of requests BMC can answer",
      ["% supported", "SR alone", "BMC-served", "SR with BMC", "total", "speed-up"],
      rows.map((row) => row.map((v, i) => (i >= 1 && i <= 4 ? Math.round(v) : v))),
    );
    const published = (id: string) =>
      rows.flatMap(([x]): [number, number][] => {
        const row = lab.experiment.published[`${id}.${x}`];
        return row ? [[x!, row.value]] : [];
      });
    const line = (column: number) => rows.map((r): [number, number] => [r[0]!, r[column]!]);
    lab.plot({
      name: "traffic",
      title: "Throughput over the share of supported requests",
      x: "% of requests BMC can answer",
      y: "requests/s",
      series: [
        { name: "SO_REUSEPORT alone", style: "line", points: line(1) },
        { name: "SO_REUSEPORT alone, published", style: "published", points: published("sr") },
        { name: "with BMC, total", style: "line", points: line(4) },
        { name: "with BMC, total, published", style: "published", points: published("total") },
      ],
    });
  },
};
