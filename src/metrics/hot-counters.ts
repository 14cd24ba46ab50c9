/**
 * Counters the programs keep in BPF maps (per-CPU arrays), read when scraped: nothing is counted twice and
 * nothing in JavaScript on the hot path.
 */
import type { LoadedProgram } from "../bpf/kernel.ts";
import type { HotMachine } from "../tiers/hot/machine.ts";
import {
  STAT_COUNT,
  STAT_VALUE_BUCKETS,
  STAT_VALUE_LOG2,
  STATS,
  type StatName,
} from "../tiers/hot/run-info.ts";
import { type Family, type Sample, sample } from "./family.ts";

/** Walking a big map takes milliseconds: not more often than this. */
const WALK_EVERY_MS = 10_000;
const WALK_ALWAYS_ENTRIES = 131_072;

const INDEX = Object.fromEntries(STATS.map(({ name, index }) => [name, index])) as Record<StatName, number>;

export class HotCounters {
  readonly #machine: HotMachine;
  #walkedAt = Number.NEGATIVE_INFINITY;
  #entries = 0;

  constructor(machine: HotMachine) {
    this.#machine = machine;
  }

  /** All counters, summed over CPUs. */
  read(): Float64Array {
    const sums = new Float64Array(STAT_COUNT);
    const map = this.#machine.map("stats");
    const value = map?.get(new Uint8Array(map.def.keyBytes)) ?? null;
    if (value === null) return sums;
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    const words = Math.floor(value.byteLength / 8);
    for (let i = 0; i < words; i++) sums[i % STAT_COUNT]! += Number(view.getBigUint64(8 * i, true));
    return sums;
  }

  hits(): number {
    const n = this.read();
    return n[INDEX.HTTP_HIT]! + n[INDEX.MC_HIT]!;
  }

  misses(): number {
    const n = this.read();
    return n[INDEX.HTTP_GET]! - n[INDEX.HTTP_HIT]! + n[INDEX.MC_MISS]!;
  }

  /** Verdict counts by program, as `bmc_verdicts_total` tells them. */
  verdicts(): Record<string, Record<string, number>> {
    const table: Record<string, Record<string, number>> = {};
    for (const { labels, value } of verdicts(this.read())) {
      const { program = "", verdict = "" } = labels;
      table[program] = { ...table[program], [verdict]: value };
    }
    return table;
  }

  entries(): number {
    const { hot } = this.#machine;
    const now = performance.now();
    if (hot.entries <= WALK_ALWAYS_ENTRIES || now - this.#walkedAt >= WALK_EVERY_MS) {
      this.#entries = hot.countValid();
      this.#walkedAt = now;
    }
    return this.#entries;
  }

  families(): readonly Family[] {
    return [
      {
        name: "bmc_hot_policy_info",
        help: "The hot tier's policy, who makes room for whom; always 1.",
        type: "gauge",
        read: () => [sample(1, { policy: this.#machine.policy })],
      },
      {
        name: "bmc_program_events_total",
        help: "What the programs counted in their stats map, by event.",
        type: "counter",
        across: "once",
        read: () => {
          const n = this.read();
          return STATS.map(({ name, index }) => sample(n[index]!, { event: name.toLowerCase() }));
        },
      },
      {
        name: "bmc_verdicts_total",
        help: "Verdicts of the sk_skb verdict programs, HTTP's and memcached's over TCP.",
        type: "counter",
        across: "once",
        read: () => verdicts(this.read()),
      },
      {
        name: "bmc_hot_value_bytes",
        help: "Sizes of the values served by the HTTP verdict program; the sum is a lower bound (2^(i-1) a value).",
        type: "histogram",
        across: "once",
        read: () => valueSizes(this.read()),
      },
      {
        name: "bmc_program_runs_total",
        help: "Runs of a program.",
        type: "counter",
        read: () => this.#byProgram(({ stats }) => stats.runs),
      },
      {
        name: "bmc_program_instructions_total",
        help: "eBPF instructions a program executed.",
        type: "counter",
        read: () => this.#byProgram(({ stats }) => stats.instructions),
      },
      {
        name: "bmc_program_faulted",
        help: "1 when a program failed at run time and was detached.",
        type: "gauge",
        across: "max",
        read: () =>
          this.#byProgram(({ fault }) => (fault === null ? 0 : 1)).map(
            ({ labels: { program = "" }, value }) => sample(Math.min(value, 1), { program }),
          ),
      },
    ];
  }

  /** Programs of one name, as two loads of one object are, make one sample: labels must be unique. */
  #byProgram(read: (program: LoadedProgram) => number): Sample[] {
    const sums = new Map<string, number>();
    for (const loaded of this.#machine.programs) {
      const { name } = loaded.program;
      sums.set(name, (sums.get(name) ?? 0) + read(loaded));
    }
    return [...sums].map(([program, value]) => sample(value, { program, engine: this.#machine.engine }));
  }
}

function verdicts(n: Float64Array): Sample[] {
  const passed = n[INDEX.HTTP_GET]! - n[INDEX.HTTP_HIT]! + n[INDEX.HTTP_UNSUPPORTED]! + n[INDEX.HTTP_WRITE]!;
  const answered = n[INDEX.MC_TCP_ANSWER]!;
  return [
    sample(n[INDEX.HTTP_HIT]!, { program: "http_kv_verdict", verdict: "redirect" }),
    sample(passed, { program: "http_kv_verdict", verdict: "pass" }),
    sample(answered, { program: "mc_verdict", verdict: "redirect" }),
    sample(n[INDEX.MC_TCP_FRAMED]! - answered, { program: "mc_verdict", verdict: "pass" }),
  ];
}

function valueSizes(n: Float64Array): Sample[] {
  const name = "bmc_hot_value_bytes";
  const out: Sample[] = [];
  let cumulative = 0;
  let sum = 0;
  for (let i = 0; i < STAT_VALUE_BUCKETS; i++) {
    const count = n[STAT_VALUE_LOG2 + i]!;
    cumulative += count;
    // Bucket 0 holds empty values, bucket i those of 2^(i-1) to 2^i - 1 bytes.
    sum += i === 0 ? 0 : count * 2 ** (i - 1);
    out.push({ metricName: `${name}_bucket`, labels: { le: String(2 ** i - 1) }, value: cumulative });
  }
  out.push({ metricName: `${name}_bucket`, labels: { le: "+Inf" }, value: cumulative });
  out.push({ metricName: `${name}_sum`, labels: {}, value: sum });
  out.push({ metricName: `${name}_count`, labels: {}, value: cumulative });
  return out;
}
