import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { assemble } from "../../src/bpf/assembler.ts";
import { parseObject } from "../../src/bpf/elf/object.ts";
import { formatListing, listProgram } from "../../src/bpf/listing.ts";
import type { Program } from "../../src/bpf/program.ts";

const FOLDER = new URL("../fixtures/bpf/", import.meta.url);
const PROGRAMS: [string, Program][] = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".o"))
  .flatMap((name) => {
    const result = parseObject(readFileSync(new URL(name, FOLDER)), { type: "xdp" });
    if (!result.ok) return [];
    return result.object.programs.map((program): [string, Program] => [`${name} ${program.name}`, program]);
  });

/** What assembly text has words for. */
function expressible({ lines: _, warnings: __, subprograms, maps, ...rest }: Program) {
  return {
    ...rest,
    maps: maps.map(({ initialPrograms: _slots, ...map }) => map),
    subprograms: subprograms
      .map(({ name, start, isGlobal }) => ({ name, start, isGlobal }))
      .sort((a, b) => a.start - b.start),
  };
}

describe("listing of a program", () => {
  test.each(PROGRAMS)("of %s assembles to the same program", (_, program) => {
    const result = listProgram(program);
    if (!result.ok) throw new Error(result.error.message);
    const text = formatListing(result.listing);
    const again = assemble(text);
    if (!again.ok) throw new Error(`${JSON.stringify(again.errors[0])}\n${text}`);
    expect(expressible(again.program)).toEqual({
      ...expressible(program),
      // A section name that says nothing is replaced by the type it was given.
      section: again.program.section,
    });
  });

  test("at least as many programs as the fixtures hold", () => {
    expect(PROGRAMS.length).toBeGreaterThan(25);
  });
});
