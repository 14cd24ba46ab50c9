/**
 * `bmc simulate`: runs an experiment, prints its report, draws its plots. Progress goes to stderr on a
 * terminal; Ctrl-C ends the run at its next step and prints what there is.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setImmediate as breathe } from "node:timers/promises";
import type { Profile } from "../costs/profile.ts";
import { type Experiment, Lab, type Params, type Progress } from "../sim/experiment.ts";
import { chooseParams, parseExperiment } from "../sim/experiment-file.ts";
import { KINDS } from "../sim/experiments/kinds.ts";
import { renderCsv, renderReport } from "../sim/report.ts";
import { renderSvg } from "../sim/svg.ts";
import { TRACE_FORMATS } from "../sim/traces.ts";
import { oneOf, parseArguments } from "./arguments.ts";
import { configNames, configPath, loadProfile, readJson } from "./config-files.ts";
import { UsageError } from "./exit.ts";
import { wholeNumber } from "./quantity.ts";
import { readTrace } from "./trace-file.ts";

const HELP = `usage: bmc simulate NAME|FILE.json [options]
       bmc simulate --list

  --seed N          seed of the run (default: the experiment's own)
  --requests N      simulated requests for each point; 10k, 2M work too
  --preset NAME     a named set of parameters from the experiment's file
  --set key=value   one parameter; lists as 1,2,3; may be repeated
  --trace FILE      the trace of 'replay': CSV, Twitter cache-trace, oracleGeneral, each also .zst
  --trace-format F  csv, twitter or oracle, where it cannot be told from the file
  --json | --csv    the report as JSON or CSV instead of text
  --svg DIR         draws each plot as DIR/EXPERIMENT-PLOT.svg
  --params          lists the experiment's parameters and ends
  --list            lists the experiments and ends

Ctrl-C stops the run; what was done until then is reported.
`;

const OPTIONS = {
  seed: { type: "string" },
  requests: { type: "string" },
  preset: { type: "string" },
  set: { type: "string", multiple: true },
  trace: { type: "string" },
  "trace-format": { type: "string" },
  json: { type: "boolean" },
  csv: { type: "boolean" },
  svg: { type: "string" },
  params: { type: "boolean" },
  list: { type: "boolean" },
} as const;

export async function run(argv: string[]): Promise<number> {
  const parsed = parseArguments("simulate", HELP, argv, OPTIONS);
  if (!parsed) return 0;
  const { values, positionals } = parsed;
  if (values.list) {
    process.stdout.write(listExperiments());
    return 0;
  }
  const [which, ...more] = positionals;
  if (which === undefined)
    throw new UsageError(`simulate: no experiment named; 'bmc simulate --list' shows them`);
  if (more.length > 0) throw new UsageError(`simulate: one experiment at a time, unexpected '${more[0]}'`);
  if (values.json && values.csv) throw new UsageError("simulate: --json and --csv exclude each other");
  const experiment = loadExperiment(which);
  if (values.params) {
    process.stdout.write(listParams(experiment));
    return 0;
  }
  const { trace } = values;
  const format = oneOf("--trace-format", values["trace-format"], TRACE_FORMATS);
  if (trace !== undefined && experiment.kind !== "replay") {
    throw new UsageError(`--trace: experiment '${experiment.name}' replays none; 'replay' does`);
  }
  const params = chooseParams(experiment, values.preset, values.set ?? [], configNames("profiles"));
  const lab = new Lab(experiment, {
    params,
    seed: values.seed === undefined ? experiment.seed : wholeNumber("--seed", values.seed, 0, 0xffffffff),
    requests:
      values.requests === undefined
        ? experiment.requests
        : wholeNumber("--requests", values.requests, 1, 1e12),
    profile: profileCache(),
    ...(trace === undefined ? {} : { trace: () => readTrace(trace, format) }),
  });
  const complete = await pump(lab, KINDS[experiment.kind]!.run(lab));
  const report = lab.report(complete);
  if (values.svg !== undefined) {
    mkdirSync(values.svg, { recursive: true });
    for (const plot of report.plots) {
      const file = join(values.svg, `${experiment.name}-${plot.name}.svg`);
      writeFileSync(file, renderSvg(plot));
      process.stderr.write(`wrote ${file}\n`);
    }
  }
  if (values.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else process.stdout.write(values.csv ? renderCsv(report) : renderReport(report));
  return complete ? 0 : 130;
}

/** An experiment by its shipped name or by a path. */
export function loadExperiment(which: string): Experiment {
  const known = configNames("experiments");
  const isPath = which.endsWith(".json") || which.includes("/");
  if (!isPath && !known.includes(which)) {
    throw new UsageError(
      `unknown experiment '${which}'; known: ${known.join(", ")}, or a path ending in .json`,
    );
  }
  const path = isPath ? which : configPath("experiments", `${which}.json`);
  return parseExperiment(readJson(path), basename(path, ".json"), configNames("profiles"));
}

export function profileCache(): (name: string) => Profile {
  const loaded = new Map<string, Profile>();
  return (name) => {
    const known = loaded.get(name) ?? loadProfile(name);
    loaded.set(name, known);
    return known;
  };
}

/** Drives the run, giving way to signals between steps. @returns whether it ran to its end */
async function pump(lab: Lab, steps: Generator<Progress, void>): Promise<boolean> {
  const show = process.stderr.isTTY === true;
  let interrupted = false;
  const stop = () => {
    interrupted = true;
    lab.stopped = true;
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  let shown = 0;
  try {
    for (const { label, done, total } of steps) {
      const now = Date.now();
      if (show && now - shown > 100) {
        shown = now;
        process.stderr.write(`\r\x1b[K${label}  ${Math.floor((100 * done) / total)} %`);
      }
      await breathe();
    }
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
    if (show) process.stderr.write("\r\x1b[K");
  }
  return !interrupted;
}

function listExperiments(): string {
  const names = configNames("experiments");
  const width = Math.max(...names.map((n) => n.length));
  return `${names.map((name) => `${name.padEnd(width)}  ${loadExperiment(name).summary}`).join("\n")}\n`;
}

function listParams({ kind, params }: Experiment): string {
  const specs = Object.entries(KINDS[kind]?.params ?? {});
  const value = (key: string) => String((params as Params)[key]);
  const width = Math.max(...specs.map(([key]) => key.length));
  return `${specs.map(([key, { about }]) => `${key.padEnd(width)}  ${about}: ${value(key)}`).join("\n")}\n`;
}
