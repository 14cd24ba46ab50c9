/**
 * Assembler directives: what a program needs beside instructions. `.type`, `.program`, `.license`, `.map`,
 * `.global` and `.absent`; each is one row below, docs/assembly.md describes them for users.
 */
import type { FuncArg, MapDef } from "../program.ts";
import { programKind, type SectionKind } from "../section-names.ts";
import type { Cursor } from "./cursor.ts";
import type { Token } from "./lexer.ts";
import { parseMap } from "./map-directive.ts";

/** What directives collect while the text is read. */
export type Declarations = {
  kind: SectionKind | null;
  section: string | null;
  name: string | null;
  license: string | null;
  readonly maps: MapDef[];
  readonly absentKfuncs: string[];
  readonly globals: { readonly token: Token; readonly args: readonly FuncArg[] }[];
};

const DIRECTIVES: ReadonlyMap<string, (cursor: Cursor, into: Declarations) => void> = new Map([
  [".type", parseType],
  [".program", parseProgram],
  [".license", parseLicense],
  [".map", (cursor, into) => parseMap(cursor, into.maps)],
  [".global", parseGlobal],
  [".absent", parseAbsent],
]);

export function isDirective(name: string): boolean {
  return DIRECTIVES.has(name);
}

export function parseDirective(cursor: Cursor, into: Declarations): void {
  const token = cursor.next("a directive");
  const parse = DIRECTIVES.get(token.text);
  if (!parse) throw cursor.mismatch(`a directive: ${[...DIRECTIVES.keys()].join(" ")}`, token);
  parse(cursor, into);
}

function parseType(cursor: Cursor, into: Declarations): void {
  const expected = "a program type (xdp, tc, sk_skb, socket_filter) or a section name in quotes";
  const token = cursor.next(expected);
  const kind = programKind(token.text);
  if (!kind) throw cursor.mismatch(expected, token);
  into.kind = kind;
  into.section = token.text;
}

function parseProgram(cursor: Cursor, into: Declarations): void {
  into.name = cursor.word("a program name");
}

function parseLicense(cursor: Cursor, into: Declarations): void {
  const token = cursor.next("a license");
  if (token.kind === "sign") throw cursor.mismatch("a license, in quotes if it has spaces", token);
  into.license = token.text;
}

const SCALAR_BYTES: ReadonlyMap<string, number> = new Map(
  [8, 16, 32, 64].flatMap((bits) => [[`u${bits}`, bits / 8] as const, [`s${bits}`, bits / 8] as const]),
);

/** To something without a size, as a pointer to void is, nothing can be checked. */
function pointerTo(pointeeBytes: number, nonNull: boolean): FuncArg {
  if (pointeeBytes === 0) {
    return { kind: "unusable", problem: "reference type('UNKNOWN ') size cannot be determined: -22" };
  }
  return { kind: "pointer", pointeeBytes, typeName: "void", ...(nonNull && { nonNull }) };
}

/** `.global NAME ctx u32 ptr:16`: the prototype a global function is verified by. */
function parseGlobal(cursor: Cursor, into: Declarations): void {
  const token = cursor.next("a function's label");
  if (token.kind !== "word") throw cursor.mismatch("a function's label", token);
  const args: FuncArg[] = [];
  while (!cursor.atEnd()) {
    const expected = "an argument: ctx, u8..u64, s8..s64, ptr:BYTES or nonnull:BYTES";
    const arg = cursor.next(expected);
    const bytes = SCALAR_BYTES.get(arg.text);
    if (arg.text === "ctx") args.push({ kind: "ctx" });
    else if (bytes !== undefined) args.push({ kind: "scalar", bytes });
    else if (arg.text === "ptr" || arg.text === "nonnull") {
      cursor.expect(":");
      const pointeeBytes = cursor.bounded(0, 2 ** 31 - 1, "the bytes pointed to");
      args.push(pointerTo(pointeeBytes, arg.text === "nonnull"));
    } else throw cursor.mismatch(expected, arg);
  }
  if (args.length > 5) throw cursor.mismatch("at most 5 arguments", token);
  into.globals.push({ token, args });
}

/** `.absent NAME`: a weak kernel function that is not here; the nth has call number ABSENT_KFUNC + n. */
function parseAbsent(cursor: Cursor, into: Declarations): void {
  into.absentKfuncs.push(cursor.word("a kernel function's name"));
}
