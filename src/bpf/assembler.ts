/**
 * Assembly text to a Program. Reads what the kernel verifier and llvm-objdump print, with labels,
 * comments and a few directives (docs/assembly.md). Errors are values with line and column; one a line,
 * so that an editor can mark them all. assemble(disassemble(bytes)) is bytes.
 */
import { type AssemblyError, assemblyError, Cursor, Mismatch } from "./assembly/cursor.ts";
import { type Declarations, isDirective, parseDirective } from "./assembly/directive.ts";
import { parseInstruction } from "./assembly/instruction.ts";
import { lex } from "./assembly/lexer.ts";
import type { Parsed } from "./assembly/operands.ts";
import { encode } from "./codec.ts";
import { targetSlot } from "./disassembler.ts";
import { kfuncByName } from "./helpers/kfuncs.ts";
import { helperIdOf } from "./helpers/names.ts";
import { type Instruction, slotsOf } from "./isa.ts";
import type { AttachType, Program, ProgramType, Subprogram } from "./program.ts";

export type { AssemblyError } from "./assembly/cursor.ts";

export type AssembleOptions = {
  /** Used where the text has no `.program`; default "main". */
  readonly name?: string;
  /** Used where the text has no `.type`; default xdp. */
  readonly type?: ProgramType;
  readonly attach?: AttachType;
};

export type AssembleResult =
  | {
      readonly ok: true;
      readonly program: Program;
      /** Line of the text each slot came from, counting from 1. */
      readonly lineOfSlot: readonly number[];
      /** Does the text say its program type? */
      readonly hasType: boolean;
    }
  | { readonly ok: false; readonly errors: readonly [AssemblyError, ...AssemblyError[]] };

type Placed = Parsed & { readonly slot: number; readonly line: number; readonly column: number };

export function assemble(text: string, options: AssembleOptions = {}): AssembleResult {
  const { lines, errors: lexErrors } = lex(text);
  const errors: AssemblyError[] = lexErrors.map(({ line, column, found }) =>
    assemblyError(line, column, `'${found}'`, "an instruction, a label or a directive"),
  );
  const declared: Declarations = {
    kind: null,
    section: null,
    name: null,
    license: null,
    maps: [],
    absentKfuncs: [],
    globals: [],
  };
  const labels = new Map<string, number>();
  const placed: Placed[] = [];
  let slot = 0;

  /** Runs one step; what does not fit becomes an error and reading goes on. */
  const attempt = (step: () => void) => {
    try {
      step();
    } catch (thrown) {
      if (!(thrown instanceof Mismatch)) throw thrown;
      errors.push(thrown.error);
    }
  };

  for (const line of lines) {
    attempt(() => {
      const cursor = new Cursor(line);
      while (readLabel(cursor, labels, slot));
      if (cursor.atEnd()) return;
      const first = cursor.peek();
      if (first?.kind === "word" && (first.text.startsWith(".") || isDirective(first.text))) {
        parseDirective(cursor, declared);
      } else {
        const parsed = parseInstruction(cursor);
        placed.push({ ...parsed, slot, line: line.number, column: first?.column ?? 1 });
        slot += slotsOf(parsed.insn);
      }
      cursor.end();
    });
  }

  const functions = new Map<number, string>();
  const labelAt = new Map([...labels].map(([name, at]) => [at, name]));
  const slots: (Instruction | null)[] = [];
  const lineOfSlot: number[] = [];
  for (const item of placed) {
    let insn = item.insn;
    attempt(() => {
      insn = resolve(item, labels, declared);
    });
    noteFunction(insn, item.slot, labelAt, functions);
    const isWide = slotsOf(insn) === 2;
    slots.push(insn, ...(isWide ? [null] : []));
    lineOfSlot.push(item.line, ...(isWide ? [item.line] : []));
  }
  const globals = new Map<number, Declarations["globals"][number]>();
  for (const global of declared.globals) {
    const start = labels.get(global.token.text);
    if (start !== undefined) globals.set(start, global);
    else errors.push(unknownName(global.token, "a label of this text"));
  }
  if (errors.length === 0 && slots.length === 0) {
    errors.push(assemblyError(1, 1, "end of text", "at least one instruction"));
  }
  errors.sort((a, b) => a.line - b.line || a.column - b.column);
  const [first, ...more] = errors;
  if (first) return { ok: false, errors: [first, ...more] };

  const kind = declared.kind ?? {
    type: options.type ?? "xdp",
    ...(options.attach && { attach: options.attach }),
  };
  for (const [start, global] of globals) functions.set(start, global.token.text);
  const subprograms = [...functions]
    .map(([start, name]): Subprogram => {
      const args = globals.get(start)?.args;
      return { name, start, isGlobal: args !== undefined, ...(args && { args }) };
    })
    .sort((a, b) => a.start - b.start);
  return {
    ok: true,
    lineOfSlot,
    hasType: declared.kind !== null,
    program: {
      name: declared.name ?? options.name ?? "main",
      section: declared.section ?? kind.type,
      ...kind,
      bytecode: encode(slots),
      maps: declared.maps,
      subprograms,
      lines: [],
      license: declared.license ?? "GPL",
      ...(declared.absentKfuncs.length > 0 && { absentKfuncs: declared.absentKfuncs }),
    },
  };
}

/** `name:` or the `<name>:` of llvm-objdump. */
function readLabel(cursor: Cursor, labels: Map<string, number>, slot: number): boolean {
  const isQuoted = cursor.isAt("<") && cursor.isAt(">", 2) && cursor.isAt(":", 3);
  const token = cursor.peek(isQuoted ? 1 : 0);
  if (token?.kind !== "word" || !(isQuoted || cursor.isAt(":", 1))) return false;
  if (labels.has(token.text)) throw cursor.mismatch("a label that is not taken", token);
  labels.set(token.text, slot);
  for (let skipped = isQuoted ? 4 : 2; skipped > 0; skipped--) cursor.next("a label");
  return true;
}

function unknownName(token: { line: number; column: number; text: string }, expected: string): AssemblyError {
  return assemblyError(token.line, token.column, `'${token.text}'`, expected);
}

/** The instruction with its open name filled in. */
function resolve(item: Placed, labels: ReadonlyMap<string, number>, declared: Declarations): Instruction {
  const { insn, reference, slot } = item;
  if (!reference) return checkMapIndex(item, declared);
  const { token, role } = reference;
  const fail = (expected: string) => new Mismatch(unknownName(token, expected));
  const label = labels.get(token.text);
  const off = label === undefined ? undefined : label - (slot + 1);
  const map = declared.maps.findIndex((def) => def.name === token.text);
  switch (role) {
    case "jump": {
      if (insn.kind !== "jump" && insn.kind !== "branch" && insn.kind !== "may_goto") return insn;
      if (off === undefined) throw fail("a label of this text, '+N' or '-N'");
      const isLong = insn.kind === "jump" && insn.long;
      if (!isLong && (off < -32768 || off > 32767)) {
        throw fail(`a label within 32768 instructions (it is ${off} away; 'gotol' reaches further)`);
      }
      return { ...insn, off };
    }
    case "call": {
      if (off !== undefined) return { kind: "call", target: "local", off };
      const kfunc = kfuncByName(token.text);
      if (kfunc) return { kind: "call", target: "kfunc", id: kfunc.id };
      const id = helperIdOf(token.text);
      if (id === undefined) throw fail("the name of a helper or kernel function, or a label of this text");
      return { kind: "call", target: "helper", id };
    }
    case "func":
    case "map":
    case "symbol": {
      if (insn.kind !== "wide") return insn;
      if (role !== "func" && map >= 0) return { ...insn, imm: map };
      if (role === "map") throw fail("a map of this text (.map NAME TYPE …)");
      if (off === undefined)
        throw fail(role === "func" ? "a label of this text" : "a map or label of this text");
      return { ...insn, pseudo: "func", imm: off };
    }
    default:
      return role satisfies never;
  }
}

/** Text with .map lines names all its maps; bare bytecode may count them without. */
function checkMapIndex({ insn, line, column }: Placed, { maps }: Declarations): Instruction {
  if (insn.kind !== "wide" || (insn.pseudo !== "map" && insn.pseudo !== "map_value")) return insn;
  if (maps.length > 0 && !maps[insn.imm]) {
    const expected = `a map's name, or an index below ${maps.length}`;
    throw new Mismatch(assemblyError(line, column, `map[${insn.imm}]`, expected));
  }
  return insn;
}

/** Where calls and function loads lead, a function begins. */
function noteFunction(
  insn: Instruction,
  slot: number,
  labelAt: ReadonlyMap<number, string>,
  functions: Map<number, string>,
): void {
  const isCall = insn.kind === "call" && insn.target === "local";
  const isLoad = insn.kind === "wide" && insn.pseudo === "func";
  if (!isCall && !isLoad) return;
  const start = targetSlot(insn, slot);
  if (start === undefined || functions.has(start)) return;
  functions.set(start, labelAt.get(start) ?? `sub_${start}`);
}
