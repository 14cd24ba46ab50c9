/** A program from assembly text, for tests: text that does not assemble is a mistake of the test. */
import { assemble } from "../../../src/bpf/assembler.ts";
import type { Program } from "../../../src/bpf/program.ts";

export function program(text: string): Program {
  const result = assemble(text);
  if (!result.ok) throw new Error(`${JSON.stringify(result.errors[0])} in:\n${text}`);
  return result.program;
}
