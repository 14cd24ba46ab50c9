/**
 * `npm run loadtest -- memcached`: the same load with offload on and off, over UDP and TCP, at scale 0
 * (what Node gains) and with modelled costs, closed loop and open loop. One report as the HTTP load test's.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { quantileBetween } from "../prometheus-text.ts";
import { type Section, type Table, writeReport } from "../report.ts";
import { freePort, pinSelf, Service } from "../server.ts";
import { drive, fill, type Load, type Outcome } from "./generator.ts";
import { compareHooks, hookTable } from "./hooks-compared.ts";
import { memcslapSection } from "./memcslap.ts";
import type { Workload } from "./workload.ts";

type Scenario = {
  readonly name: string;
  readonly question: string;
  readonly load: Pick<Load, "transport" | "connections" | "depth" | "rate">;
  readonly workload: Partial<Workload>;
  readonly scale: 0 | 1;
};

const BASE: Workload = {
  keys: 10_000,
  zipfSkew: 0.99,
  sizes: [[100, 1]],
  setShare: 0,
  keysPerGet: 1,
  seed: 42,
};

function scenarios(rate: number): readonly Scenario[] {
  const udp = { transport: "udp", connections: 4, depth: 16, rate: null } as const;
  const tcp = { transport: "tcp", connections: 32, depth: 1, rate: null } as const;
  const mix = {
    sizes: [
      [50, 4],
      [200, 3],
      [900, 2],
      [4_000, 1],
    ],
  } as const;
  return [
    { name: "udp-get", question: "GETs over UDP, 100 B values", load: udp, workload: {}, scale: 0 },
    {
      name: "udp-get-modelled",
      question: "the same, with the costs of the model",
      load: udp,
      workload: {},
      scale: 1,
    },
    {
      name: "udp-multiget",
      question: "multi-gets of 30 keys",
      load: udp,
      workload: { keysPerGet: 30, keys: 200, sizes: [[10, 1]] },
      scale: 0,
    },
    {
      name: "udp-mix",
      question: "value sizes mixed, 5 % sets",
      load: udp,
      workload: { ...mix, setShare: 0.05 },
      scale: 0,
    },
    {
      name: "udp-open",
      question: `open loop at ${rate} requests/s`,
      load: { ...udp, rate },
      workload: {},
      scale: 0,
    },
    { name: "tcp-get", question: "GETs over TCP", load: tcp, workload: {}, scale: 0 },
    {
      name: "tcp-pipelined",
      question: "GETs over TCP, 10 deep",
      load: { ...tcp, connections: 8, depth: 10 },
      workload: {},
      scale: 0,
    },
    {
      name: "tcp-mix",
      question: "value sizes mixed, 10 % sets, over TCP",
      load: tcp,
      workload: { ...mix, setShare: 0.1 },
      scale: 0,
    },
  ];
}

/** The table of both hooks, beside the scenarios. */
const HOOKS = "hooks";
const QUICK = ["udp-get", "udp-multiget", "udp-open", "tcp-get"];

type Measured = Outcome & {
  readonly offload: "on" | "off";
  readonly hitRatio: number;
  readonly collisions: number;
  readonly modelledUs: Readonly<Record<"hot" | "cold", number>>;
};

export async function runMemcached(
  argv: string[],
  facts: readonly (readonly [string, string])[],
): Promise<void> {
  const { values } = parseArgs({
    args: argv,
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      duration: { type: "string" },
      rate: { type: "string", default: "8000" },
      out: { type: "string", default: "loadtest/report" },
    },
  });
  const all = scenarios(Number(values.rate));
  const only = values.only?.split(",") ?? (values.quick ? QUICK : all.map(({ name }) => name));
  const seconds = Number(values.duration ?? (values.quick ? 1 : 5));
  pinSelf();
  const sections: Section[] = [];
  const data: unknown[] = [];
  const histograms: { readonly name: string; readonly text: string }[] = [];
  for (const scenario of all.filter(({ name }) => only.includes(name))) {
    process.stderr.write(`${scenario.name}: ${scenario.question}\n`);
    const measured: Measured[] = [];
    for (const offload of ["on", "off"] as const) measured.push(await measure(scenario, offload, seconds));
    sections.push(sectionOf(scenario, measured));
    histograms.push(
      ...measured.map((m) => ({ name: `${scenario.name}-offload-${m.offload}`, text: m.distribution })),
    );
    data.push({ scenario, measured: measured.map(({ distribution: _, ...figures }) => figures) });
  }
  if (values.only === undefined || only.includes(HOOKS)) {
    process.stderr.write(`${HOOKS}: XDP over UDP beside SK_SKB over TCP\n`);
    const rows = await compareHooks(seconds);
    sections.push(hooksSection(rows));
    data.push({ scenario: HOOKS, measured: rows });
  }
  if (!values.quick) sections.push(await memcslapSection());
  const paths = writeReport(values.out, "memcached", {
    title: "memcached load test",
    facts: [
      ...facts,
      ["seconds per measurement", String(seconds)],
      ["generator", "built in; latency from the intended send time"],
    ],
    sections,
    data,
  });
  const hgrm = histograms.map(({ name, text }) => {
    const path = join(values.out, `memcached-${name}.hgrm`);
    writeFileSync(path, text);
    return path;
  });
  process.stderr.write(`report: ${paths.join(", ")}\nHdrHistogram distributions: ${hgrm.join(", ")}\n`);
}

async function measure(
  { load, workload: given, scale }: Scenario,
  offload: "on" | "off",
  seconds: number,
): Promise<Measured> {
  const workload = { ...BASE, ...given };
  const port = await freePort();
  const service = await Service.start([
    "--memcached",
    `127.0.0.1:${port}`,
    "--offload",
    offload,
    "--costs-scale",
    String(scale),
  ]);
  try {
    await fill(port, workload);
    // Only the reply to a single get teaches the hot tier; a multi-get is answered there if all its keys are.
    if (workload.keysPerGet > 1) {
      const singles = { ...workload, keysPerGet: 1, zipfSkew: 0.01 };
      await drive({ ...load, port, workload: singles, rate: null, warmupSeconds: 0, seconds: 1 });
    }
    const before = await service.scrape();
    const outcome = await drive({
      ...load,
      port,
      workload,
      warmupSeconds: Math.max(1, seconds / 3),
      seconds,
    });
    const after = await service.scrape();
    const delta = (name: string, labels: Record<string, string> = {}) =>
      after.sum(name, labels) - before.sum(name, labels);
    const event = (name: string) =>
      offload === "on" ? delta("bmc_program_events_total", { event: name }) : 0;
    const { transport } = load;
    const hits = event("mc_hit");
    const handled = offload === "on" ? hits + event("mc_miss") : 0;
    const modelled = (tier: string) =>
      1e6 * quantileBetween(before, after, "bmc_memcached_modelled_seconds", { transport, tier }, 0.5);
    return {
      ...outcome,
      offload,
      hitRatio: handled === 0 ? 0 : hits / handled,
      collisions: event("mc_collision"),
      modelledUs: { hot: modelled("hot"), cold: modelled("cold") },
    };
  } finally {
    await service.stop();
  }
}

function sectionOf(scenario: Scenario, measured: readonly Measured[]): Section {
  const label = ({ offload }: Measured) => `offload ${offload}`;
  const health: Table = {
    caption: "Errors and drops first",
    columns: ["", "errors", "drops", "requested/s", "achieved/s"],
    rows: measured.map((m) => [
      label(m),
      m.errors,
      m.drops,
      m.requestedRate ?? "closed loop",
      m.achievedRate,
    ]),
  };
  const latency: Table = {
    caption: "Latency in µs, observed by the client",
    columns: ["", "p50", "p90", "p99", "p99.9", "max"],
    rows: measured.map((m) => [
      label(m),
      m.latencyUs.p50,
      m.latencyUs.p90,
      m.latencyUs.p99,
      m.latencyUs.p999,
      m.latencyUs.max,
    ]),
  };
  const server: Table = {
    caption: "What the server says",
    columns: ["", "hot share of keys", "collisions", "modelled hot p50 µs", "modelled cold p50 µs"],
    rows: measured.map((m) => [label(m), m.hitRatio, m.collisions, m.modelledUs.hot, m.modelledUs.cold]),
  };
  return {
    title: scenario.name,
    text: `${scenario.question}. Injected delay: ${scale(scenario)}.`,
    tables: [health, latency, server],
    plots: [
      {
        title: "achieved",
        unit: "requests/s",
        series: measured.map(label),
        groups: [{ label: scenario.name, values: measured.map((m) => m.achievedRate) }],
      },
    ],
  };
}

function hooksSection(rows: Awaited<ReturnType<typeof compareHooks>>): Section {
  return {
    title: HOOKS,
    text: "One service, the same keys over both transports: a hit is answered before the stack over UDP, and at the socket over TCP.",
    tables: [hookTable(rows)],
    plots: [
      {
        title: "modelled time of a hit",
        unit: "µs",
        series: ["XDP over UDP", "SK_SKB over TCP"],
        groups: [{ label: HOOKS, values: rows.slice(0, 2).map(({ modelledUs }) => modelledUs.hot) }],
      },
    ],
  };
}

function scale({ scale: factor }: Scenario): string {
  return factor === 0 ? "none (scale 0)" : "as modelled (scale 1)";
}
