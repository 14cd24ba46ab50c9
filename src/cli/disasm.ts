/** `bmc disasm`: programs of an object file, or bytecode, as text that `bmc asm` reads back. */
import type { Dialect } from "../bpf/disassembler.ts";
import { formatListing, listProgram, type ProgramListing } from "../bpf/listing.ts";
import { PROGRAM_TYPES, type Program } from "../bpf/program.ts";
import { oneOf, parseArguments } from "./arguments.ts";
import { UsageError } from "./exit.ts";
import { pickPrograms, readPrograms } from "./program-file.ts";

const HELP = `usage: bmc disasm FILE.o|FILE.bin|- [--program NAME] [--type TYPE] [--dialect plain|llvm|kernel] [--json]

Prints programs as assembly, with the C lines an object file carries between them. Bytecode may be binary or
base16. --type says what sections hold whose name does not: ${PROGRAM_TYPES.join(", ")}.
`;

const DIALECTS = ["plain", "llvm", "kernel"] as const satisfies readonly Dialect[];

export function run(argv: string[]): number {
  const parsed = parseArguments("disasm", HELP, argv, {
    program: { type: "string" },
    type: { type: "string" },
    dialect: { type: "string" },
    json: { type: "boolean" },
  });
  if (!parsed) return 0;
  const { values, positionals } = parsed;
  const [path, ...rest] = positionals;
  if (path === undefined || rest.length > 0) throw new UsageError("disasm takes one FILE, or - for stdin");
  const type = oneOf("--type", values.type, PROGRAM_TYPES);
  const dialect = oneOf("--dialect", values.dialect, DIALECTS);
  const object = readPrograms(path, type ? { type } : {});
  const listings = pickPrograms(object, values.program).map((program) => list(path, program, dialect));
  if (values.json) {
    const skipped = object.skipped ?? [];
    process.stdout.write(`${JSON.stringify({ programs: listings.map(toJson), skipped }, null, 2)}\n`);
  } else {
    process.stdout.write(listings.map(formatListing).join("\n"));
    if (values.program === undefined) {
      for (const { name, reason } of object.skipped ?? []) {
        process.stdout.write(`\n; program ${name} is left out: ${reason}\n`);
      }
    }
  }
  return 0;
}

function list(path: string, program: Program, dialect: Dialect | undefined): ProgramListing {
  const result = listProgram(program, dialect);
  if (result.ok) return result.listing;
  const { insn, message } = result.error;
  throw new UsageError(`${path}: program '${program.name}', insn ${insn}: ${message}`);
}

function toJson({ program, instructions }: ProgramListing) {
  const { bytecode: _, lines: __, maps, ...rest } = program;
  return {
    ...rest,
    maps: maps.map(({ initialValue, ...map }) => ({
      ...map,
      ...(initialValue && { initialValue: Buffer.from(initialValue).toString("hex") }),
    })),
    instructions: instructions.map(({ slot, bytes, text, line }) => ({
      slot,
      bytes,
      text,
      ...(line && { file: line.file, line: line.line, column: line.column, source: line.text }),
    })),
  };
}
