/**
 * XDP over UDP beside SK_SKB over TCP: the same service, keys and mix of hits and misses, first over one
 * transport and then over the other, without injected delay and with it. The hot map is smaller than the
 * set of keys, so that both paths are walked. Observed figures are the clock's, modelled ones the profile's.
 */
import { loadProfile } from "../../src/cli/config-files.ts";
import { quantileBetween } from "../prometheus-text.ts";
import type { Table } from "../report.ts";
import { freePort, Service } from "../server.ts";
import { drive, fill, type Load } from "./generator.ts";
import type { Workload } from "./workload.ts";

const WORKLOAD: Workload = {
  keys: 8_192,
  zipfSkew: 0.99,
  sizes: [[100, 1]],
  setShare: 0,
  keysPerGet: 1,
  seed: 42,
};
const HOT_ENTRIES = 1_024;

const ROWS = [
  {
    name: "XDP over UDP",
    profile: "xdp-native",
    load: { transport: "udp", connections: 4, depth: 8, rate: null },
    hits: (delta: Delta) => delta("bmc_program_events_total", { event: "mc_hit" }) - tcpHits(delta),
    misses: (delta: Delta) =>
      delta("bmc_program_events_total", { event: "mc_miss" }) -
      delta("bmc_program_events_total", { event: "mc_tcp_miss" }),
  },
  {
    name: "SK_SKB over TCP",
    profile: "sk_skb",
    load: { transport: "tcp", connections: 32, depth: 1, rate: null },
    hits: (delta: Delta) => tcpHits(delta),
    misses: (delta: Delta) => delta("bmc_program_events_total", { event: "mc_tcp_miss" }),
  },
] as const satisfies readonly {
  name: string;
  profile: string;
  load: Pick<Load, "transport" | "connections" | "depth" | "rate">;
  hits: (delta: Delta) => number;
  misses: (delta: Delta) => number;
}[];

type Delta = (name: string, labels?: Record<string, string>) => number;
const tcpHits = (delta: Delta) => delta("bmc_program_events_total", { event: "mc_tcp_hit" });

export type HookRow = {
  readonly hook: string;
  readonly scale: number;
  /** Of the profile: what it takes to reach the hook, and to enter and leave the program. */
  readonly reachNs: number;
  readonly prepareNs: number;
  readonly hotShare: number;
  readonly perSecond: number;
  /** Processor time of the server, a request. */
  readonly cpuUs: number;
  /** Of a command, by the tier that answered: the observed median, the modelled mean. */
  readonly observedUs: Readonly<Record<"hot" | "cold", number>>;
  readonly modelledUs: Readonly<Record<"hot" | "cold", number>>;
};

/** @param seconds of each of the four measurements */
export async function compareHooks(seconds: number): Promise<HookRow[]> {
  const rows: HookRow[] = [];
  for (const scale of [0, 1]) {
    const port = await freePort();
    const service = await Service.start([
      "--memcached",
      `127.0.0.1:${port}`,
      "--hot-entries",
      String(HOT_ENTRIES),
      "--admission",
      "always",
      "--costs-scale",
      String(scale),
    ]);
    try {
      await fill(port, WORKLOAD);
      for (const { name, profile, load, hits, misses } of ROWS) {
        const { ns } = loadProfile(profile);
        // Past the first commands, which are all timed while the JIT of this process still warms up.
        await drive({ ...load, port, workload: WORKLOAD, warmupSeconds: 0, seconds: Math.min(1, seconds) });
        const before = await service.scrape();
        const cpuBefore = service.cpuUs();
        const outcome = await drive({ ...load, port, workload: WORKLOAD, warmupSeconds: 0, seconds });
        const cpuUs = service.cpuUs() - cpuBefore;
        const after = await service.scrape();
        const delta: Delta = (metric, labels = {}) => after.sum(metric, labels) - before.sum(metric, labels);
        const metric = (kind: string) => `bmc_memcached_${kind}_seconds`;
        const modelledUs = (tier: string) => {
          const labels = { transport: load.transport, tier };
          return (
            (1e6 * delta(`${metric("modelled")}_sum`, labels)) / delta(`${metric("modelled")}_count`, labels)
          );
        };
        // The median: a mean would tell of the neighbours on the machine.
        const observedUs = (tier: string) =>
          1e6 * quantileBetween(before, after, metric("observed"), { transport: load.transport, tier }, 0.5);
        const hot = hits(delta);
        rows.push({
          hook: name,
          scale,
          reachNs: ns.hookReach,
          prepareNs: ns.hookEnter,
          hotShare: hot / (hot + misses(delta)),
          perSecond: outcome.achievedRate,
          cpuUs: cpuUs / outcome.answered,
          observedUs: { hot: observedUs("hot"), cold: observedUs("cold") },
          modelledUs: { hot: modelledUs("hot"), cold: modelledUs("cold") },
        });
      }
    } finally {
      await service.stop();
    }
  }
  return rows;
}

export function hookTable(rows: readonly HookRow[]): Table {
  return {
    caption:
      "A get of a 100 B value, by hook. Observed: median by this machine's clock. Modelled: mean by the profile's prices.",
    columns: [
      "",
      "scale",
      "reach + prepare, ns",
      "hot share",
      "observed hot µs",
      "observed cold µs",
      "modelled hot µs",
      "modelled cold µs",
      "server CPU µs a request",
      "requests/s",
    ],
    rows: rows.map((row) => [
      row.hook,
      row.scale,
      `${row.reachNs.toLocaleString("en-US")} + ${row.prepareNs.toLocaleString("en-US")}`,
      row.hotShare,
      row.observedUs.hot,
      row.observedUs.cold,
      row.modelledUs.hot,
      row.modelledUs.cold,
      row.cpuUs,
      row.perSecond,
    ]),
  };
}
