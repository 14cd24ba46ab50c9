/**
 * Assembler directives: what a program needs beside instructions. `.type`, `.program`, `.license`, `.map`,
 * `.global` and `.absent`; each is one row below, docs/assembly.md describes them for users.
 */
import { type FuncArg, isMapOfMaps, LINUX_MAP_TYPES, type MapDef, type MapTypeName } from "../program.ts";
import { programKind, type SectionKind } from "../section-names.ts";
import type { Cursor } from "./cursor.ts";
import type { Token } from "./lexer.ts";

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
  [".map", parseMap],
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

const MAP_TYPE_NAMES = new Map(LINUX_MAP_TYPES.map((row) => [row.name as string, row.name]));
const NUMBER_OPTIONS = ["key", "value", "entries", "flags", "lock"] as const;
type NumberOption = (typeof NUMBER_OPTIONS)[number];

/** `.map NAME TYPE key=4 value=8 entries=16 [flags=0] [lock=OFFSET] [data="HEX"] [readonly] [inner=NAME]` */
function parseMap(cursor: Cursor, into: Declarations): void {
  const nameToken = cursor.peek();
  const name = cursor.word("a map name");
  if (into.maps.some((map) => map.name === name)) {
    throw cursor.mismatch("a map name that is not taken", nameToken);
  }
  const typeToken = cursor.next("a map type");
  const type = MAP_TYPE_NAMES.get(typeToken.text);
  if (!type) throw cursor.mismatch(`a map type: ${[...MAP_TYPE_NAMES.keys()].join(", ")}`, typeToken);
  const given = new Map<NumberOption, number>();
  let data: Uint8Array | undefined;
  let inner: MapDef | undefined;
  let isReadOnly = false;
  while (!cursor.atEnd()) {
    const more = isMapOfMaps(type) ? "inner=NAME" : 'data="HEX"';
    const expected = `${NUMBER_OPTIONS.map((option) => `${option}=N`).join(", ")}, ${more} or readonly`;
    const token = cursor.next(expected);
    const option = NUMBER_OPTIONS.find((known) => known === token.text);
    if (option) {
      cursor.expect("=");
      given.set(option, cursor.bounded(0, 2 ** 32 - 1, `the ${option} of a map`));
    } else if (token.text === "data") {
      cursor.expect("=");
      data = parseHexString(cursor);
    } else if (token.text === "inner" && isMapOfMaps(type)) {
      cursor.expect("=");
      inner = parseInner(cursor, into.maps);
    } else if (token.text === "readonly") isReadOnly = true;
    else throw cursor.mismatch(expected, token);
  }
  const required = (option: NumberOption, otherwise?: number) => {
    const value = given.get(option) ?? otherwise;
    if (value === undefined) throw cursor.mismatch(`${option}=N`);
    return value;
  };
  if (isMapOfMaps(type) && !inner)
    throw cursor.mismatch("inner=NAME, a map declared above that those inside are like");
  const lock = given.get("lock");
  into.maps.push({
    name,
    type,
    keyBytes: required("key", hasFixedKey(type) ? 4 : undefined),
    valueBytes: required("value", holdsHandles(type) ? 4 : data?.length),
    maxEntries: required("entries", data ? 1 : undefined),
    flags: required("flags", 0),
    ...(lock !== undefined && { spinLockOffset: lock }),
    ...(data && { initialValue: data }),
    ...(isReadOnly && { readOnlyForPrograms: true }),
    ...(inner && { inner }),
  });
}

/** A map declared above, which those inside will be like; Linux keeps no name of it. */
function parseInner(cursor: Cursor, maps: readonly MapDef[]): MapDef {
  const token = cursor.peek();
  const name = cursor.word("a map's name");
  const pattern = maps.find((map) => map.name === name);
  if (!pattern) throw cursor.mismatch("the name of a map declared above", token);
  return { ...pattern, name: "" };
}

const INDEXED: ReadonlySet<MapTypeName> = new Set([
  "array",
  "percpu_array",
  "prog_array",
  "sockmap",
  "array_of_maps",
]);

/** Map types whose key is a 32-bit index. */
function hasFixedKey(type: MapTypeName): boolean {
  return INDEXED.has(type);
}

/** Map types whose values are programs or maps. */
function holdsHandles(type: MapTypeName): boolean {
  return type === "prog_array" || isMapOfMaps(type);
}

function parseHexString(cursor: Cursor): Uint8Array {
  const expected = "bytes in hex, in quotes";
  const token = cursor.next(expected);
  const digits = token.text.replace(/\s/g, "");
  if (token.kind !== "string" || digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits)) {
    throw cursor.mismatch(expected, token);
  }
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
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
