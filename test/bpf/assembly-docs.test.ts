import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { assemble } from "../../src/bpf/assembler.ts";
import { isDirective } from "../../src/bpf/assembly/directive.ts";

const PAGE = readFileSync(new URL("../../docs/assembly.md", import.meta.url), "utf8");
const EXAMPLES = [...PAGE.matchAll(/^```bpf\n([\s\S]*?)^```$/gm)].map(([, text]) => text ?? "");

/** The code of the second column of the table under a heading. */
function forms(heading: string, column: number): string[] {
  const section = PAGE.split(`## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  return section
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("| what") && !line.startsWith("| directive"))
    .flatMap((line) => {
      const cell = line.split(/(?<!\\)\|/)[column] ?? "";
      return [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => (code ?? "").replaceAll("\\|", "|"));
    });
}

describe("docs/assembly.md", () => {
  test.each(EXAMPLES)("example %$ assembles", (text) => {
    const result = assemble(text);
    expect(result.ok ? null : result.errors).toBeNull();
  });

  test.each(forms("Instructions", 2).filter((form) => !form.includes("…")))("form `%s` assembles", (form) => {
    const result = assemble(`.map NAME array value=8 entries=1\n${form}\ndone: exit\nname: exit`);
    expect(result.ok ? null : result.errors).toBeNull();
  });

  test("the tables are found", () => {
    expect(EXAMPLES).toHaveLength(2);
    expect(forms("Instructions", 2).length).toBeGreaterThan(40);
    for (const form of forms("Directives", 1)) expect(isDirective(form.split(" ")[0] ?? "")).toBe(true);
  });
});
