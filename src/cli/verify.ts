/**
 * `bmc verify`: the verifier's verdict on programs, for a person (what broke, where, what fixes it), as the
 * kernel's log, and as JSON. Exit 0: all accepted, 1: one refused, 2: unusable input.
 */
import { PROGRAM_TYPES, type Program, type SkippedProgram } from "../bpf/program.ts";
import { explain } from "../bpf/verifier/explain.ts";
import { RULES } from "../bpf/verifier/rules.ts";
import { type Verdict, type VerifyOptions, verify } from "../bpf/verifier/verify.ts";
import { oneOf, parseArguments } from "./arguments.ts";
import { UsageError } from "./exit.ts";
import { pickPrograms, readPrograms } from "./program-file.ts";
import { readRawProgram } from "./raw-program.ts";

const HELP = `usage: bmc verify FILE.o|FILE.s [--program NAME] [--type TYPE] [--attach ATTACH] [--log-level 0|1|2]
                  [--json] [--target linux|nic] [--unprivileged]
       bmc verify --raw FILE.bin [--maps MAPS.json] --type TYPE [...]

Proves that programs are safe, as the Linux verifier does, or says why one is not.

  --program NAME   only this program of the object
  --type TYPE      ${PROGRAM_TYPES.join(", ")}: for sections whose name does not say, and for --raw
  --attach ATTACH  stream_parser or stream_verdict, for sk_skb
  --raw FILE       bare bytecode; with --maps, a JSON array of {type, key_size, value_size, max_entries,
                   insn_indexes}, each index naming a wide load of that map; of a map of maps also
                   inner_map, the place of an earlier one that those inside are like
  --log-level N    0: message and summary, 1: the failing path, 2: every path.
                   Default: 1 for a refused program, 0 for an accepted one
  --target nic     what an offloading NIC accepts
  --unprivileged   adds the rules for programs without privileges
  --json           the same facts as JSON

Exit: 0 all that were judged accepted, 1 one rejected, 2 unusable input. Programs of types that are not known
here are named, not judged. Rules: docs/verifier/
`;

const LEVELS = ["0", "1", "2"] as const;

export function run(argv: string[]): number {
  const parsed = parseArguments("verify", HELP, argv, {
    program: { type: "string" },
    type: { type: "string" },
    attach: { type: "string" },
    raw: { type: "string" },
    maps: { type: "string" },
    "log-level": { type: "string" },
    target: { type: "string" },
    unprivileged: { type: "boolean" },
    json: { type: "boolean" },
  });
  if (!parsed) return 0;
  const { values, positionals } = parsed;
  const target = oneOf("--target", values.target, ["linux", "nic"]);
  const level = oneOf("--log-level", values["log-level"], LEVELS);
  const options: VerifyOptions = {
    ...(target && { target }),
    ...(values.unprivileged && { unprivileged: true }),
  };
  const { programs, skipped } = readTargets(values, positionals);
  const verdicts = programs.map((program) => judge(program, options, level));
  if (values.json) process.stdout.write(`${JSON.stringify(report(verdicts, skipped), null, 2)}\n`);
  else {
    for (const verdict of verdicts) process.stdout.write(`${text(verdict).join("\n")}\n`);
    for (const { name, reason } of skipped) process.stdout.write(`${name}: not judged: ${reason}\n`);
  }
  return verdicts.every((verdict) => verdict.accepted) ? 0 : 1;
}

type Values = Partial<Record<"raw" | "maps" | "type" | "attach" | "program", string>>;

type Targets = {
  readonly programs: readonly Program[];
  /** Of the same object, and why they cannot be judged. */
  readonly skipped: readonly SkippedProgram[];
};

function readTargets(values: Values, positionals: readonly string[]): Targets {
  const type = oneOf("--type", values.type, PROGRAM_TYPES);
  const attach = oneOf("--attach", values.attach, ["stream_parser", "stream_verdict"]);
  if (values.raw !== undefined) {
    if (positionals.length > 0) throw new UsageError("verify takes one input: --raw FILE or FILE");
    if (!type)
      throw new UsageError(`--raw needs --type: bytecode does not say it (${PROGRAM_TYPES.join(", ")})`);
    return { programs: [readRawProgram(values.raw, values.maps, type, attach)], skipped: [] };
  }
  if (values.maps !== undefined) throw new UsageError("--maps goes with --raw: an object has its maps in it");
  const [path, ...rest] = positionals;
  if (path === undefined || rest.length > 0)
    throw new UsageError("verify takes one FILE (see 'bmc verify --help')");
  const object = readPrograms(path, { ...(type && { type }), ...(attach && { attach }) });
  const programs = pickPrograms(object, values.program);
  if (programs.length === 0) {
    const reason = object.skipped?.map((p) => `${p.name}: ${p.reason}`).join("; ");
    throw new UsageError(`${path}: there is no program to verify${reason ? ` (${reason})` : ""}`);
  }
  return { programs, skipped: values.program === undefined ? (object.skipped ?? []) : [] };
}

function judge(
  program: Program,
  options: VerifyOptions,
  level: (typeof LEVELS)[number] | undefined,
): Verdict {
  if (level !== undefined) return verify(program, { ...options, logLevel: Number(level) as 0 | 1 | 2 });
  const verdict = verify(program, options);
  return verdict.accepted ? verdict : verify(program, { ...options, logLevel: 1 });
}

function text(verdict: Verdict): string[] {
  if (verdict.accepted) {
    const missing = verdict.missingHelpers;
    const note = missing.length > 0 ? ` (cannot run here: no bpf_${missing.join(", bpf_")})` : "";
    return [`${verdict.program}: accepted${note}`, ...verdict.log];
  }
  return [...explain(verdict), "", ...verdict.log];
}

function report(verdicts: readonly Verdict[], skipped: readonly SkippedProgram[]) {
  const programs = verdicts.map(toJson);
  const accepted = verdicts.every((verdict) => verdict.accepted);
  const [only] = programs;
  return {
    ...(programs.length === 1 && only),
    verdict: accepted ? "accepted" : "rejected",
    accepted,
    programs,
    ...(skipped.length > 0 && { skipped: skipped.map(({ name, reason }) => ({ program: name, reason })) }),
  };
}

function toJson(v: Verdict) {
  return {
    program: v.program,
    verdict: v.accepted ? "accepted" : "rejected",
    accepted: v.accepted,
    rule: v.rule,
    ...(v.rule && { title: RULES[v.rule].title, fix: RULES[v.rule].hint }),
    insn: v.insn,
    message: v.message,
    source: v.source && {
      file: v.source.file,
      line: v.source.line,
      column: v.source.column,
      text: v.source.text,
    },
    state: v.state,
    stats: {
      insns_processed: v.stats.insnsProcessed,
      insn_limit: v.limit,
      max_states_per_insn: v.stats.maxStatesPerInsn,
      total_states: v.stats.totalStates,
      peak_states: v.stats.peakStates,
      mark_read: v.stats.markRead,
    },
    states_per_insn: [...v.statesPerInsn],
    visits_per_insn: [...v.visits],
    functions: v.functions.map(({ name, start, stackBytes }) => ({ name, start, stack_bytes: stackBytes })),
    missing_helpers: v.missingHelpers,
    log: v.log,
  };
}
