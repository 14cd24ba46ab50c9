/**
 * A rejection for a person: what rule was broken, where in the C source, what the state was there, and what
 * usually fixes it. At most five lines; the kernel-format log says the rest.
 */
import { RULES } from "./rules.ts";
import type { Verdict } from "./verify.ts";

/** A state with many live slots would drown the rest. */
const STATE_LIMIT = 400;

export function explain(v: Verdict): string[] {
  if (v.rule === null) return [];
  const rule = RULES[v.rule];
  const at = v.insn === null ? "" : ` at instruction ${v.insn}`;
  const lines = [`${v.program}: rejected${at}: ${rule.title} (rule ${v.rule}, docs/verifier/${v.rule}.md)`];
  lines.push(`  says: ${v.message.split("\n").join("; ")}`);
  if (v.source) lines.push(`  source: ${v.source.file}:${v.source.line}: ${v.source.text.trim()}`);
  if (v.state)
    lines.push(`  state: ${v.state.length > STATE_LIMIT ? `${v.state.slice(0, STATE_LIMIT)} ...` : v.state}`);
  lines.push(`  usual fix: ${rule.hint}`);
  return lines;
}
