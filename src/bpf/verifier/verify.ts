/**
 * The verifier's public face: a program in, a verdict out, never an exception for a bad program. The method
 * is that of Linux (Documentation/bpf/verifier.rst); accepted means that no run can touch memory it was not
 * given, loop without end, or leave a lock or a reference behind. docs/verifier/ explains each rule.
 */
import { decode } from "../codec.ts";
import type { Instruction } from "../isa.ts";
import type { LineInfo, Program } from "../program.ts";
import { analyseShape, type Shape } from "./control-flow.ts";
import { explore } from "./explore.ts";
import { formatWholeFrame } from "./format.ts";
import { LineTable } from "./line-table.ts";
import { verifierHelper } from "./linux-helpers.ts";
import { LogBook } from "./log.ts";
import { checkNicProgram } from "./nic.ts";
import { checkPrograms } from "./program-checks.ts";
import { Rejection, type RuleId } from "./rules.ts";
import { checkStackDepth } from "./stack-depth.ts";
import { explainUndecodable } from "./undecodable.ts";
import { INSN_LIMIT, type Stats, type VerifyOptions, Walk } from "./walk.ts";

export type { Target, VerifyOptions } from "./walk.ts";

export type FunctionReport = { readonly name: string; readonly start: number; readonly stackBytes: number };

export type Verdict = {
  readonly accepted: boolean;
  readonly program: string;
  /** Set when rejected: which rule, where, in the kernel's words, at which C line, and the state there. */
  readonly rule: RuleId | null;
  readonly insn: number | null;
  readonly message: string;
  readonly source: LineInfo | null;
  readonly state: string;
  readonly stats: Stats;
  readonly limit: number;
  /** Times each instruction slot was walked. */
  readonly visits: Uint32Array;
  /** States saved at each instruction slot. */
  readonly statesPerInsn: Uint32Array;
  readonly functions: readonly FunctionReport[];
  /** Helpers the program calls that this machine does not have: verified, but it cannot run here. */
  readonly missingHelpers: readonly string[];
  /** Kernel-format log; empty at level 0 but for the message and the summary. */
  readonly log: readonly string[];
};

export function verify(program: Program, options: VerifyOptions = {}): Verdict {
  const table = new LineTable(program.lines);
  const level = options.logLevel ?? 0;
  const log = level === 0 ? null : new LogBook(level, table);
  const decoded = decode(program.bytecode);
  if (!decoded.ok) {
    const refusal = explainUndecodable(program.bytecode, decoded.error);
    return verdict(program, options, table, log, null, refusal);
  }
  let walk: Walk | null = null;
  try {
    checkPrograms(program, decoded.slots, options);
    const shape: Shape = analyseShape(program, decoded.slots, options.unprivileged ?? false);
    if (options.target === "nic") checkNicProgram(program, decoded.slots.length);
    walk = new Walk(program, shape, options, log);
    explore(walk);
    checkStackDepth(walk);
    return verdict(program, options, table, log, walk, null, decoded.slots);
  } catch (error) {
    if (!(error instanceof Rejection)) throw error;
    const insn = walk && walk.state.frames.length > 0 ? walk.insn : error.insn;
    return verdict(
      program,
      options,
      table,
      log,
      walk,
      { rule: error.rule, insn, message: error.message },
      decoded.slots,
    );
  }
}

type Refusal = { readonly rule: RuleId; readonly insn: number | null; readonly message: string };

function verdict(
  program: Program,
  options: VerifyOptions,
  table: LineTable,
  log: LogBook | null,
  walk: Walk | null,
  refusal: Refusal | null,
  slots: readonly (Instruction | null)[] = [],
): Verdict {
  const stats = walk?.stats ?? {
    insnsProcessed: 0,
    maxStatesPerInsn: 0,
    totalStates: 0,
    peakStates: 0,
    markRead: 0,
  };
  const limit = options.insnLimit ?? INSN_LIMIT;
  const lines = log?.finish() ?? [];
  if (refusal) lines.push(...refusal.message.split("\n"), ...(log?.closing() ?? []));
  lines.push(
    `processed ${stats.insnsProcessed} insns (limit ${limit}) max_states_per_insn ${stats.maxStatesPerInsn} total_states ${stats.totalStates} peak_states ${stats.peakStates} mark_read ${stats.markRead}`,
  );
  const atFrame = refusal && walk && walk.state.frames.length > 0;
  return {
    accepted: refusal === null,
    program: program.name,
    rule: refusal?.rule ?? null,
    insn: refusal?.insn ?? null,
    message: refusal?.message ?? "",
    source: refusal?.insn == null ? null : table.at(refusal.insn),
    state: atFrame ? formatWholeFrame(walk.frame) : "",
    stats,
    limit,
    visits: walk?.visits ?? new Uint32Array(0),
    statesPerInsn: walk?.statesAt ?? new Uint32Array(0),
    functions: (walk?.shape.functions ?? []).map((f, index) => ({
      name: f.name,
      start: f.start,
      stackBytes: walk?.stackDepth[index] ?? 0,
    })),
    missingHelpers: missingHelpers(slots),
    log: lines,
  };
}

function missingHelpers(slots: readonly (Instruction | null)[]): string[] {
  const names = new Set<string>();
  for (const insn of slots) {
    if (insn?.kind !== "call" || insn.target !== "helper") continue;
    const row = verifierHelper(insn.id);
    if (row && !row.runsHere) names.add(row.name);
  }
  return [...names];
}
