/**
 * Programs as commands are given them: an object file, assembly text, or bare bytecode (binary or base16).
 * What it is shows in the bytes, but assembly is known by its name: FILE.s.
 */
import { assemble } from "../bpf/assembler.ts";
import { type ParseObjectOptions, parseObject } from "../bpf/elf/object.ts";
import type { Program, ProgramObject } from "../bpf/program.ts";
import { UsageError } from "./exit.ts";
import { parseHex } from "./hex.ts";
import { inputName, readInput } from "./input.ts";

/** @throws UsageError with the file's name and, for assembly, line and column of the first error */
export function readPrograms(path: string, options: ParseObjectOptions = {}): ProgramObject {
  const bytes = readInput(path);
  const name = inputName(path);
  if (/\.(s|asm)$/.test(path)) return objectOf(assembleText(name, bytes, options));
  if (bytes[0] === 0x7f) {
    const result = parseObject(bytes, options);
    if (!result.ok) throw new UsageError(`${name}: ${result.error.message}`);
    return result.object;
  }
  const text = new TextDecoder("latin1").decode(bytes);
  const bytecode = /^[\s0-9a-fA-F]*$/.test(text) ? parseHex(text, name) : bytes;
  if (bytecode.length === 0) throw new UsageError(`${name}: the file is empty`);
  // The exit every program has ends in bytes of 0, which no text has.
  if (!bytecode.includes(0)) {
    throw new UsageError(
      `${name}: neither an ELF object nor bytecode (allowed: what clang -target bpf -c makes, bytecode, assembly named FILE.s)`,
    );
  }
  return objectOf({
    name: "main",
    section: options.type ?? "xdp",
    type: options.type ?? "xdp",
    ...(options.attach && { attach: options.attach }),
    bytecode: Uint8Array.from(bytecode),
    maps: [],
    subprograms: [],
    lines: [],
    license: "GPL", // bare bytecode cannot say; a refusal on that ground would teach nothing
  });
}

/** @throws UsageError `FILE:LINE:COLUMN: expected …, found …` */
export function assembleText(name: string, bytes: Uint8Array, options: ParseObjectOptions = {}): Program {
  const result = assemble(new TextDecoder().decode(bytes), options);
  if (result.ok) return result.program;
  const [first, ...more] = result.errors;
  const others = more.length > 0 ? ` (and ${more.length} more)` : "";
  throw new UsageError(`${name}:${first.line}:${first.column}: ${first.message}${others}`);
}

/** The programs a command is about: all, or the one named. @throws UsageError naming those there are */
export function pickPrograms(object: ProgramObject, name: string | undefined): readonly Program[] {
  if (name === undefined) return object.programs;
  const found = object.programs.filter((program) => program.name === name);
  if (found.length > 0) return found;
  const skipped = object.skipped?.find((program) => program.name === name);
  if (skipped) throw new UsageError(`program '${name}' cannot be loaded: ${skipped.reason}`);
  const known = object.programs.map((program) => program.name).join(", ");
  throw new UsageError(`--program ${name}: there is no such program; there are ${known}`);
}

function objectOf(program: Program): ProgramObject {
  return { programs: [program], maps: program.maps, license: program.license };
}
