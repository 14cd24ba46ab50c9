/** Assembly text to a program, for tests: a mistake in the text is the test's own. */
import { type AssembleOptions, assemble } from "../../src/bpf/assembler.ts";
import type { Program } from "../../src/bpf/program.ts";

export function assembled(text: string, options: AssembleOptions = {}): Program {
  const result = assemble(text, options);
  if (result.ok) return result.program;
  const [first] = result.errors;
  throw new Error(`${first.line}:${first.column}: ${first.message}\n${text}`);
}
