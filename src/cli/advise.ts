/**
 * `bmc advise`: solution or trap? Takes a workload from flags, from a running service's metrics or from a
 * trace, and prints the verdict with the numbers it rests on.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Profile } from "../costs/profile.ts";
import { type Advice, advise, type Flip, fits, nearestFlips, type Query, type Side } from "../sim/advisor.ts";
import { createHotTier, type Policy } from "../sim/hot-tier.ts";
import { observedWorkload, parseMetrics } from "../sim/prometheus.ts";
import { formatNumber, renderTable } from "../sim/report.ts";
import { admitsKey, admitsValue, HOT_VALUE_MAX, TraceSummary } from "../sim/trace-summary.ts";
import { TRACE_FORMATS, type TraceFormat } from "../sim/traces.ts";
import { oneOf, parseArguments } from "./arguments.ts";
import { configNames, loadProfile } from "./config-files.ts";
import { Refusal, UsageError } from "./exit.ts";
import { latencyLimit, quantity, wholeNumber } from "./quantity.ts";
import { readTrace } from "./trace-file.ts";

const HELP = `usage: bmc advise --rate 60k --hit-ratio 0.92 [options]
       bmc advise --from http://HOST:PORT/metrics [options]
       bmc advise --trace FILE [options]

  --rate N          requests/s (60k, 1.5M)
  --hit-ratio H     share of the reads the hot tier answers, 0 to 1
  --read-ratio R    share of reads among the requests, 0 to 1 (default 1)
  --value-size B    bytes of a value (default 100)
  --key-size B      bytes of a key (default 16)
  --hook HOOK       xdp, xdp-generic, xdp-offload, tc, sk_skb, sk_skb-priority, netkit, kernel-module
                    (default xdp; with --from: sk_skb, where the service attaches)
  --cores N         cores that serve (default 1)
  --slo pQ=TIME     a limit to hold, such as p99=500us
  --from URL        reads the workload off a running service; flags override what it says
  --window S        with --from: seconds between its two scrapes (default 2); 0: totals since its start
  --trace FILE      reads the workload off a trace (CSV, Twitter, oracleGeneral; also .zst)
  --trace-format F  csv, twitter or oracle
  --entries N       with --trace: entries of the hot tier (default 65536)
  --policy P        with --trace: direct, set or lru (default direct)
  --seed N          seed of the simulation (default 1)
  --json            everything as JSON
`;

const OPTIONS = {
  rate: { type: "string" },
  "hit-ratio": { type: "string" },
  "read-ratio": { type: "string" },
  "value-size": { type: "string" },
  "key-size": { type: "string" },
  hook: { type: "string" },
  cores: { type: "string" },
  slo: { type: "string" },
  from: { type: "string" },
  window: { type: "string" },
  trace: { type: "string" },
  "trace-format": { type: "string" },
  entries: { type: "string" },
  policy: { type: "string" },
  seed: { type: "string" },
  json: { type: "boolean" },
} as const;

const POLICIES: readonly Policy[] = ["direct", "set", "lru"];
const LATENCY_REQUESTS = 100_000;
const ALIASES: Readonly<Record<string, string>> = { xdp: "xdp-native" };

/** What a source knows of the workload; flags fill or override the rest. */
type Known = {
  readonly origin: string;
  readonly rate?: number;
  readonly hitRatio?: number;
  readonly readRatio?: number;
  readonly valueBytes?: number;
  readonly keyBytes?: number;
};

export async function run(argv: string[]): Promise<number> {
  const parsed = parseArguments("advise", HELP, argv, OPTIONS);
  if (!parsed) return 0;
  const { values, positionals } = parsed;
  if (positionals.length > 0) throw new UsageError(`advise: unexpected '${positionals[0]}'`);
  if (values.from !== undefined && values.trace !== undefined) {
    throw new UsageError("advise: --from and --trace exclude each other");
  }
  const hooks = answeringHooks();
  const hookName = values.hook ?? (values.from === undefined ? "xdp" : "sk_skb");
  const profile = hooks.get(ALIASES[hookName] ?? hookName);
  if (!profile) {
    throw new UsageError(
      `--hook is ${JSON.stringify(hookName)}; allowed: xdp, ${[...hooks.keys()].join(", ")}`,
    );
  }
  const share = (flag: "hit-ratio" | "read-ratio") => {
    const text = values[flag];
    return text === undefined ? undefined : quantity(`--${flag}`, text, 0, 1);
  };
  const given = {
    rate: values.rate === undefined ? undefined : quantity("--rate", values.rate, 1e-6, 1e12),
    hitRatio: share("hit-ratio"),
    readRatio: share("read-ratio"),
    valueBytes:
      values["value-size"] === undefined
        ? undefined
        : wholeNumber("--value-size", values["value-size"], 0, 1 << 30),
    keyBytes:
      values["key-size"] === undefined ? undefined : wholeNumber("--key-size", values["key-size"], 1, 65_536),
  };
  const cores = wholeNumber("--cores", values.cores ?? "1", 1, 1024);
  const slo = values.slo === undefined ? null : latencyLimit("--slo", values.slo);
  const seed = wholeNumber("--seed", values.seed ?? "1", 0, 0xffffffff);
  let known: Known = { origin: "flags" };
  if (values.from !== undefined)
    known = await fromMetrics(values.from, quantity("--window", values.window ?? "2", 0, 3600));
  if (values.trace !== undefined) {
    const format = oneOf("--trace-format", values["trace-format"], TRACE_FORMATS);
    const policy = oneOf("--policy", values.policy, POLICIES) ?? "direct";
    known = fromTrace(
      values.trace,
      format,
      policy,
      wholeNumber("--entries", values.entries ?? "65536", 1, 1 << 26),
    );
  }
  const rate = given.rate ?? known.rate;
  const hitRatio = given.hitRatio ?? known.hitRatio;
  if (rate === undefined)
    throw new UsageError(`advise: --rate is missing (${known.origin} does not tell it)`);
  if (hitRatio === undefined)
    throw new UsageError(`advise: --hit-ratio is missing (${known.origin} does not tell it)`);
  const query: Query = {
    rate,
    hitRatio,
    readRatio: given.readRatio ?? known.readRatio ?? 1,
    keyBytes: given.keyBytes ?? known.keyBytes ?? 16,
    valueBytes: given.valueBytes ?? known.valueBytes ?? 100,
    cores,
    profile,
    plain: loadProfile("userspace-only"),
    slo,
    seed,
    requests: LATENCY_REQUESTS,
  };
  const advice = advise(query);
  const flips = nearestFlips(query, advice.verdict);
  const others = [...hooks.values()].map((p) => ({
    hook: p.name,
    advice: advise({ ...query, profile: p, requests: LATENCY_REQUESTS / 5 }),
  }));
  if (values.json)
    process.stdout.write(`${JSON.stringify(asJson(query, known, advice, flips, others), null, 2)}\n`);
  else process.stdout.write(asText(query, known, advice, flips, others));
  return 0;
}

/** Profiles of hooks whose program can answer a request. */
function answeringHooks(): Map<string, Profile> {
  const all = configNames("profiles")
    .filter((name) => name !== "seed")
    .map((name) => loadProfile(name));
  return new Map(
    all.filter((p) => p.hook !== null && p.prices.hookReply.source !== "none").map((p) => [p.name, p]),
  );
}

async function fromMetrics(url: string, windowS: number): Promise<Known> {
  const scrape = async () => {
    let text: string;
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(10_000) });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      text = await answer.text();
    } catch (cause) {
      const reason =
        cause instanceof Error ? (cause.cause instanceof Error ? cause.cause.message : cause.message) : cause;
      throw new Refusal(`cannot scrape ${url}: ${reason}`, { cause });
    }
    return parseMetrics(text, url);
  };
  if (!URL.canParse(url))
    throw new UsageError(
      `--from is ${JSON.stringify(url)}; allowed: a URL such as http://127.0.0.1:8080/metrics`,
    );
  let before = null;
  let seconds: number;
  const started = performance.now();
  if (windowS > 0) {
    before = await scrape();
    await sleep(windowS * 1000);
  }
  const after = await scrape();
  if (before) seconds = (performance.now() - started) / 1000;
  else seconds = Date.now() / 1000 - (after.get("process_start_time_seconds") ?? Date.now() / 1000 - 1);
  const seen = observedWorkload(before, after, seconds, url);
  return {
    origin: url,
    rate: seen.rate,
    readRatio: seen.readRatio,
    ...(seen.hitRatio === null ? {} : { hitRatio: seen.hitRatio }),
    ...(seen.valueBytes === null ? {} : { valueBytes: seen.valueBytes }),
  };
}

function fromTrace(path: string, format: TraceFormat | undefined, policy: Policy, entries: number): Known {
  const tier = createHotTier(policy, entries);
  const summary = new TraceSummary();
  let hits = 0;
  for (const request of readTrace(path, format)) {
    summary.add(request);
    const { id, hash, operation } = request;
    if (operation !== "get") tier.invalidate(id, hash);
    else if (admitsKey(request) && admitsValue(request)) {
      if (tier.lookup(id, hash)) hits++;
      else tier.fill(id, hash);
    }
  }
  const s = summary.result();
  const reads = s.readRatio * s.requests;
  return {
    origin: `${path} (${formatNumber(s.requests)} requests; hit ratio of a ${policy} hot tier with ${formatNumber(entries)} entries)`,
    ...(s.rate > 0 ? { rate: s.rate } : {}),
    readRatio: s.readRatio,
    hitRatio: reads > 0 ? hits / reads : 0,
    valueBytes: Math.round(s.answerableValueBytes),
    keyBytes: Math.max(1, Math.min(250, Math.round(s.keyBytes))),
  };
}

type Other = { readonly hook: string; readonly advice: Advice };

function asText(
  q: Query,
  known: Known,
  advice: Advice,
  flips: readonly Flip[],
  others: readonly Other[],
): string {
  const { on, off, ways } = advice;
  const percent = (x: number) => `${formatNumber(Number((x * 100).toPrecision(4)))} %`;
  const micro = (side: Side, pick: (s: Side) => number | undefined) => {
    const value = pick(side);
    return side.load >= 1 ? "saturated" : value === undefined ? "none" : value;
  };
  const lines = [
    `verdict: ${advice.verdict.toUpperCase()} (${advice.reasons.join("; ")})`,
    "",
    `workload: ${formatNumber(Number(q.rate.toPrecision(6)))} requests/s on ${q.cores} core${q.cores > 1 ? "s" : ""}, ${percent(q.readRatio)} reads of which ${percent(q.hitRatio)} hit, ${q.keyBytes} B keys, ${q.valueBytes} B values, at ${q.profile.title}`,
    `          from ${known.origin}`,
    "",
    renderTable({
      title: "Modelled, inside the server (µs)",
      columns: ["", "capacity/s", "load %", "p50", "p99", "cold p99", "dropped %", "SLO"],
      rows: (
        [
          ["without", off],
          ["with", on],
        ] as const
      ).map(([name, s]) => [
        name,
        Math.round(s.capacity),
        s.load * 100,
        micro(s, (x) => x.all?.p50),
        micro(s, (x) => x.all?.p99),
        micro(s, (x) => x.cold?.p99),
        s.droppedShare * 100,
        s.meetsSlo === null ? "none set" : s.meetsSlo ? "met" : "missed",
      ]),
    }),
    `A hit takes ${fits(q) ? `${formatNumber(ways.hitNs)} ns` : "no one: the hot tier holds no such entry"}; a request in userspace ${formatNumber(ways.plainNs)} ns without the program and ${formatNumber(ways.coldNs)} ns behind it.`,
    `The program answers ${percent(advice.share)} of all requests, so capacity is ${formatNumber(on.capacity / off.capacity)} times what it was.`,
    breakEven(q, advice),
    dominant(advice),
    ...(fits(q)
      ? []
      : [
          `The hot tier holds keys up to 250 B and values up to ${HOT_VALUE_MAX} B: this workload's ${q.keyBytes} B and ${q.valueBytes} B never hit.`,
        ]),
    "",
    flips.length === 0
      ? "No change of one number within the searched range flips the verdict."
      : `Nearest flip: ${flips[0]!.what} from ${formatNumber(flips[0]!.from)} to ${short(flips[0]!.to)} makes it ${flips[0]!.verdict.toUpperCase()}.`,
    ...flips
      .slice(1, 4)
      .map((f) => `  also: ${f.what} from ${formatNumber(f.from)} to ${short(f.to)}: ${f.verdict}`),
    "",
    renderTable({
      title: "The same workload at other hooks",
      columns: ["hook", "capacity ÷", "break-even hit ratio %", "cold p99", "verdict"],
      rows: others.map(({ hook, advice: a }) => [
        hook,
        a.on.capacity / a.off.capacity,
        a.breakEvenHitRatio === null ? "none" : a.breakEvenHitRatio * 100,
        micro(a.on, (x) => x.cold?.p99),
        a.verdict,
      ]),
    }),
    "Modelled with the profile's machine (Xeon 4310, 2.1 GHz) and Poisson arrivals; docs/simulator.md says what that leaves out.",
    "",
  ];
  return lines.join("\n");
}

const short = (value: number) => formatNumber(Number.isInteger(value) ? value : Number(value.toPrecision(3)));

function breakEven(q: Query, { breakEvenHitRatio, on, off }: Advice): string {
  if (breakEvenHitRatio === null) return "No hit ratio would make offloading pay for this workload.";
  const margin = q.hitRatio - breakEvenHitRatio;
  return `Break-even is a hit ratio of ${formatNumber(Number((breakEvenHitRatio * 100).toPrecision(4)))} %: this workload is ${formatNumber(Math.abs(Number((margin * 100).toPrecision(3))))} points ${margin >= 0 ? "above" : "below"} it (load ${formatNumber(Number((off.load * 100).toPrecision(3)))} % without, ${formatNumber(Number((on.load * 100).toPrecision(3)))} % with).`;
}

function dominant({ costs }: Advice): string {
  const [first, second] = costs;
  const total = costs.reduce((sum, c) => sum + c.ns, 0);
  const part = (c: Advice["costs"][number]) =>
    `${c.stage} (${formatNumber(Math.round(c.ns))} ns, ${Math.round(c.share * 100)} %)`;
  return `A mean request costs ${formatNumber(Math.round(total))} ns with the program; what dominates is ${part(first!)}${second ? `, then ${part(second)}` : ""}.`;
}

function asJson(q: Query, known: Known, advice: Advice, flips: readonly Flip[], others: readonly Other[]) {
  const { profile, plain: _, ...rest } = q;
  return {
    verdict: advice.verdict,
    reasons: advice.reasons,
    workload: { ...rest, hook: profile.name, origin: known.origin },
    without: advice.off,
    with: advice.on,
    answeredAtHook: advice.share,
    breakEvenHitRatio: advice.breakEvenHitRatio,
    nanoseconds: advice.ways,
    costs: advice.costs,
    flips,
    hooks: others.map(({ hook, advice: a }) => ({
      hook,
      verdict: a.verdict,
      capacityRatio: a.on.capacity / a.off.capacity,
      breakEvenHitRatio: a.breakEvenHitRatio,
    })),
  };
}
