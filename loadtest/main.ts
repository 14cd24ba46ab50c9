/**
 * `npm run loadtest [-- SUITE] [options]`: starts the server itself, plays a suite's scenarios with
 * offload on and off, and writes one report. See docs/loadtest.md.
 */
import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { type Measured, measurePoint } from "./http/measure.ts";
import { sectionOf } from "./http/report-sections.ts";
import { type Scenario, scenarios } from "./http/scenarios.ts";
import { runMemcached } from "./memcached/suite.ts";
import { writeReport } from "./report.ts";
import { canPin, pinSelf } from "./server.ts";

const USAGE = `usage: npm run loadtest -- [http] [--quick] [--only NAME,...] [--duration SECONDS]
       [--connections N] [--zipf SKEW] [--out DIRECTORY] [--list]
       npm run loadtest -- memcached [--quick] [--only NAME,...] [--duration SECONDS] [--rate PER_SECOND]
       [--out DIRECTORY]`;

/** --quick: the last point of these, with short windows, so that all of it ends within a minute. */
const QUICK_SCENARIOS = ["all-hot", "mix", "partial-offload"];

type Options = {
  readonly quick: boolean;
  readonly only: readonly string[] | null;
  readonly durationSeconds: number;
  readonly connections: number;
  readonly zipfSkew: number;
  readonly out: string;
  readonly list: boolean;
};

function usageError(message: string): never {
  process.stderr.write(`loadtest: ${message}\n${USAGE}\n`);
  process.exit(2);
}

function positive(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!(value > 0)) usageError(`--${name} is '${text}', but must be a number over 0`);
  return value;
}

function readOptions(argv: string[]): Options {
  try {
    const { values } = parseArgs({
      args: argv,
      options: {
        quick: { type: "boolean", default: false },
        only: { type: "string" },
        duration: { type: "string" },
        connections: { type: "string" },
        zipf: { type: "string" },
        out: { type: "string", default: "loadtest/report" },
        list: { type: "boolean", default: false },
      },
    });
    return {
      quick: values.quick,
      only: values.only?.split(",") ?? (values.quick ? QUICK_SCENARIOS : null),
      durationSeconds: positive("duration", values.duration, values.quick ? 2 : 5),
      connections: Math.round(positive("connections", values.connections, 64)),
      zipfSkew: positive("zipf", values.zipf, 0.99),
      out: values.out,
      list: values.list,
    };
  } catch (error) {
    usageError(error instanceof Error ? error.message : String(error));
  }
}

function choose(all: readonly Scenario[], only: readonly string[] | null): readonly Scenario[] {
  if (!only) return all;
  const unknown = only.filter((name) => !all.some((s) => s.name === name));
  if (unknown.length > 0) {
    usageError(`no scenario '${unknown.join("', '")}'; there are ${all.map((s) => s.name).join(", ")}`);
  }
  return all.filter((s) => only.includes(s.name));
}

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

function machineFacts(): (readonly [string, string])[] {
  return [
    ["date", new Date().toISOString()],
    ["commit", commit()],
    ["node", process.version],
    ["machine", `${cpus().length} × ${cpus()[0]?.model ?? "unknown CPU"}`],
    ["cores", canPin ? "server on one, load on another" : "not pinned: server and load may share a core"],
  ];
}

async function runHttp(options: Options): Promise<void> {
  const all = scenarios({ zipfSkew: options.zipfSkew });
  const chosen = choose(all, options.only);
  if (options.list) {
    for (const s of all) process.stdout.write(`${s.name.padEnd(16)} ${s.question}\n`);
    return;
  }
  pinSelf();
  const log = (line: string) => process.stderr.write(`${line}\n`);
  const settings = {
    connections: options.connections,
    durationSeconds: options.durationSeconds,
    warmupWindowSeconds: 1,
    warmupWindowsMax: options.quick ? 4 : 8,
    log,
  };
  const results: { scenario: Scenario; measured: Measured[] }[] = [];
  for (const [index, scenario] of chosen.entries()) {
    log(`${index + 1}/${chosen.length} ${scenario.title}`);
    const points = options.quick ? scenario.points.slice(-1) : scenario.points;
    const measured: Measured[] = [];
    for (const point of points) {
      log(`  ${point.label}`);
      measured.push(await measurePoint(point, settings));
    }
    results.push({ scenario, measured });
  }
  const paths = writeReport(options.out, "http", {
    title: "HTTP load test",
    facts: [
      ...machineFacts(),
      ["connections", String(options.connections)],
      ["seconds per measurement", String(options.durationSeconds)],
      ["generator", "autocannon"],
    ],
    sections: results.map(({ scenario, measured }) => sectionOf(scenario, measured)),
    data: results,
  });
  log(`report: ${paths.join(", ")}`);
}

const [first, ...rest] = process.argv.slice(2);
const suite = first === undefined || first.startsWith("--") ? "http" : first;
const argv = first === suite ? rest : process.argv.slice(2);
if (suite === "http") await runHttp(readOptions(argv));
else if (suite === "memcached") await runMemcached(argv, machineFacts());
else usageError(`no suite '${suite}'; there are http and memcached`);
