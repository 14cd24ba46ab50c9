/**
 * A whole program as assembly text: directives, function labels, C lines as comments, then slot, bytes and
 * instruction. The assembler reads it back to the same program, apart from C lines and initial slots of
 * program arrays, which it has no words for.
 */
import { type DecodeError, decode } from "./codec.ts";
import { type Dialect, disassemble, type ListedInstruction } from "./disassembler.ts";
import { INSN_BYTES, slotsOf } from "./isa.ts";
import type { FuncArg, LineInfo, MapDef, Program } from "./program.ts";
import { programKind } from "./section-names.ts";

/** Longer contents of data sections are left out of the text; the size stays. */
const MAX_DATA_BYTES = 4096;

export type ProgramListing = {
  readonly program: Program;
  readonly instructions: readonly (ListedInstruction & {
    /** The 8 or 16 bytes in hex, separated by spaces. */
    readonly bytes: string;
    /** The C line that begins here, where the object says. */
    readonly line?: LineInfo;
  })[];
};
export type ListingResult =
  | { readonly ok: true; readonly listing: ProgramListing }
  | { readonly ok: false; readonly error: DecodeError };

export function listProgram(program: Program, dialect: Dialect = "plain"): ListingResult {
  const decoded = decode(program.bytecode);
  if (!decoded.ok) return decoded;
  const functions = functionNames(program);
  const lines = new Map(program.lines.map((line) => [line.insn, line]));
  const instructions = disassemble(decoded.slots, {
    dialect,
    mapName: (index) => program.maps[index]?.name,
    label: (slot) => functions.get(slot),
  }).map((item) => {
    const at = item.slot * INSN_BYTES;
    const line = lines.get(item.slot);
    const bytes = program.bytecode.subarray(at, at + slotsOf(item.insn) * INSN_BYTES);
    return { ...item, bytes: hexBytes(bytes, " "), ...(line && { line }) };
  });
  return { ok: true, listing: { program, instructions } };
}

/** The listing as text, with a newline at its end. */
export function formatListing({ program, instructions }: ProgramListing): string {
  const functions = functionNames(program);
  const count = program.bytecode.length / INSN_BYTES;
  const text = [
    `; program ${program.name}: ${count} instructions`,
    ...(program.warnings ?? []).map((warning) => `; warning: ${warning}`),
    `.type "${typeName(program)}"`,
    `.program ${program.name}`,
    `.license "${program.license}"`,
    ...program.maps.map(mapDirective),
    ...(program.absentKfuncs ?? []).map((name) => `.absent ${name}`),
    ...program.subprograms.filter((sub) => sub.isGlobal).map(globalDirective),
  ];
  let shown: LineInfo | undefined;
  for (const { slot, bytes, text: instruction, line } of instructions) {
    const name = functions.get(slot);
    if (name !== undefined) text.push("", `${name}:`);
    if (line && (line.line !== shown?.line || line.file !== shown.file || name !== undefined)) {
      text.push(`; ${line.text} @ ${baseName(line.file)}:${line.line}`);
    }
    shown = line ?? shown;
    text.push(`${String(slot).padStart(5)}: ${bytes.padEnd(23)}  ${instruction}`);
  }
  return `${text.join("\n")}\n`;
}

function functionNames(program: Program): ReadonlyMap<number, string> {
  return new Map([[0, program.name], ...program.subprograms.map((sub) => [sub.start, sub.name] as const)]);
}

function typeName({ section, type, attach }: Program): string {
  const kind = programKind(section);
  if (kind?.type === type && kind.attach === attach) return section;
  return attach === undefined ? type : `${type}/${attach}`;
}

function mapDirective(map: MapDef): string {
  return `.map ${map.name} ${mapShape(map)}`;
}

function mapShape(map: MapDef): string {
  const { initialValue: data } = map;
  const words = [
    `${map.type} key=${map.keyBytes} value=${map.valueBytes} entries=${map.maxEntries}`,
    map.flags ? `flags=0x${map.flags.toString(16)}` : "",
    map.spinLockOffset === undefined ? "" : `lock=${map.spinLockOffset}`,
    ...(map.kernelFields ?? []).map(({ name, offset, bytes }) => `kernel=${name}(${offset} ${bytes})`),
    map.readOnlyForPrograms ? "readonly" : "",
    map.inner ? `inner=(${mapShape(map.inner)})` : "",
    data && data.length <= MAX_DATA_BYTES ? `data="${hexBytes(data, "")}"` : "",
    data && data.length > MAX_DATA_BYTES ? `; ${data.length} bytes of data left out` : "",
    map.initialPrograms ? `; slots: ${map.initialPrograms.map((name) => name ?? "-").join(" ")}` : "",
  ];
  return words.filter((word) => word !== "").join(" ");
}

function globalDirective({ name, args = [] }: Program["subprograms"][number]): string {
  return [`.global ${name}`, ...args.map(argWord)].join(" ");
}

function argWord(arg: FuncArg): string {
  if (arg.kind === "ctx") return "ctx";
  if (arg.kind === "scalar") return `u${arg.bytes * 8}`;
  if (arg.kind === "unusable") return "ptr:0";
  return `${arg.nonNull ? "nonnull" : "ptr"}:${arg.pointeeBytes}`;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function hexBytes(bytes: Uint8Array, separator: string): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(separator);
}
