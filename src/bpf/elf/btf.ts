/**
 * BTF, the type information clang -g puts beside a program (Linux docs, bpf/btf.rst). Parsed into one
 * array indexed by type id; 0 is void. References between types are checked when they are followed, and
 * every walk is bounded, because a hostile file may make them cyclic.
 */
import { type Budget, Malformed, type Reader, StringTable } from "./reader.ts";

const BTF_MAGIC = 0xeb9f;
const TYPE_BYTES = 12;
/** Section of what the kernel defines (libbpf's `__ksym`). */
const KERNEL_SYMBOLS = ".ksyms";
/** More qualifiers and typedefs in a row than this are a cycle (the kernel allows 32 too). */
const MAX_DEPTH = 32;

export type BtfMember = { readonly name: string; readonly type: number; readonly bitOffset: number };
export type BtfType =
  | { readonly kind: "void" }
  | { readonly kind: "int" | "enum" | "float"; readonly name: string; readonly bytes: number }
  | { readonly kind: "ptr"; readonly type: number }
  | { readonly kind: "array"; readonly type: number; readonly count: number }
  | {
      readonly kind: "struct" | "union";
      readonly name: string;
      readonly bytes: number;
      readonly members: readonly BtfMember[];
    }
  | { readonly kind: "fwd"; readonly name: string }
  | { readonly kind: "alias"; readonly name: string; readonly type: number } // typedef, const, …
  | {
      readonly kind: "func";
      readonly name: string;
      readonly type: number;
      readonly linkage: "static" | "global" | "extern";
    }
  | { readonly kind: "func_proto"; readonly params: readonly number[]; readonly result: number }
  | { readonly kind: "var"; readonly name: string; readonly type: number }
  | { readonly kind: "datasec"; readonly name: string; readonly vars: readonly number[] }
  // Of a function's nth parameter, or (-1, read as unsigned) of the thing itself.
  | { readonly kind: "decl_tag"; readonly name: string; readonly type: number; readonly parameter: number };

type BtfStruct = Extract<BtfType, { kind: "struct" | "union" }>;
type BtfVar = Extract<BtfType, { kind: "var" }>;
type BtfFunc = Extract<BtfType, { kind: "func" }>;

type Entry = {
  readonly name: string;
  /** Size in bytes or the id of another type, as the kind has it. */
  readonly sizeOrType: number;
  readonly count: number;
  readonly hasBitfields: boolean;
  /** What follows the 12 common bytes. */
  readonly more: Reader;
  readonly string: (offset: number) => string;
};

type KindRow = { readonly moreBytes: (count: number) => number; readonly read: (entry: Entry) => BtfType };

const none = () => 0;
const sized =
  (kind: "int" | "enum" | "float") =>
  ({ name, sizeOrType }: Entry): BtfType => ({ kind, name, bytes: sizeOrType });
const alias = ({ name, sizeOrType }: Entry): BtfType => ({ kind: "alias", name, type: sizeOrType });
const aggregate =
  (kind: "struct" | "union") =>
  (entry: Entry): BtfType => ({
    kind,
    name: entry.name,
    bytes: entry.sizeOrType,
    members: rows(entry, 12, (at) => {
      const offset = entry.more.u32(at + 8);
      return {
        name: entry.string(entry.more.u32(at)),
        type: entry.more.u32(at + 4),
        bitOffset: entry.hasBitfields ? offset & 0xff_ffff : offset,
      };
    }),
  });

function rows<T>(entry: Entry, bytes: number, read: (at: number) => T): T[] {
  return Array.from({ length: entry.count }, (_, index) => read(index * bytes));
}

/** By kind number (enum of <linux/btf.h>). */
const KINDS: readonly (KindRow | null)[] = [
  null,
  { moreBytes: () => 4, read: sized("int") },
  { moreBytes: none, read: (entry) => ({ kind: "ptr", type: entry.sizeOrType }) },
  {
    moreBytes: () => 12,
    read: ({ more }) => ({ kind: "array", type: more.u32(0), count: more.u32(8) }),
  },
  { moreBytes: (count) => count * 12, read: aggregate("struct") },
  { moreBytes: (count) => count * 12, read: aggregate("union") },
  { moreBytes: (count) => count * 8, read: sized("enum") },
  { moreBytes: none, read: ({ name }) => ({ kind: "fwd", name }) },
  { moreBytes: none, read: alias }, // typedef
  { moreBytes: none, read: alias }, // volatile
  { moreBytes: none, read: alias }, // const
  { moreBytes: none, read: alias }, // restrict
  {
    moreBytes: none,
    // The count of a func is its linkage: static, global, extern.
    read: ({ name, sizeOrType, count }) => ({
      kind: "func",
      name,
      type: sizeOrType,
      linkage: count === 1 ? "global" : count === 2 ? "extern" : "static",
    }),
  },
  {
    moreBytes: (count) => count * 8,
    read: (entry) => ({
      kind: "func_proto",
      params: rows(entry, 8, (at) => entry.more.u32(at + 4)),
      result: entry.sizeOrType,
    }),
  },
  { moreBytes: () => 4, read: ({ name, sizeOrType }) => ({ kind: "var", name, type: sizeOrType }) },
  {
    moreBytes: (count) => count * 12,
    read: (entry) => ({
      kind: "datasec",
      name: entry.name,
      vars: rows(entry, 12, (at) => entry.more.u32(at)),
    }),
  },
  { moreBytes: none, read: sized("float") },
  {
    moreBytes: () => 4,
    read: ({ name, sizeOrType, more }) => ({
      kind: "decl_tag",
      name,
      type: sizeOrType,
      parameter: more.u32(0),
    }),
  },
  { moreBytes: none, read: alias }, // type_tag
  { moreBytes: (count) => count * 12, read: sized("enum") }, // enum64
];

export class Btf {
  readonly strings: StringTable;
  readonly #types: readonly BtfType[];
  readonly #structs = new Map<string, BtfStruct>();
  readonly #variables = new Map<string, BtfVar[]>();
  readonly #kernelFunctions = new Map<string, BtfFunc>();
  /** By function id and parameter. */
  readonly #tags = new Map<string, string[]>();

  constructor(types: readonly BtfType[], strings: StringTable) {
    this.#types = types;
    this.strings = strings;
    for (const type of types) {
      if (type.kind === "struct") this.#structs.set(type.name, type);
      if (type.kind === "decl_tag") {
        const place = `${type.type}:${type.parameter}`;
        this.#tags.set(place, [...(this.#tags.get(place) ?? []), type.name]);
      }
      if (type.kind !== "datasec") continue;
      const entries = type.vars.map((id) => this.type(id));
      const vars = entries.filter((entry) => entry.kind === "var");
      this.#variables.set(type.name, [...(this.#variables.get(type.name) ?? []), ...vars]);
      if (type.name !== KERNEL_SYMBOLS) continue;
      for (const entry of entries) if (entry.kind === "func") this.#kernelFunctions.set(entry.name, entry);
    }
  }

  type(id: number): BtfType {
    const type = this.#types[id];
    if (!type) throw new Malformed(`BTF names type ${id} of ${this.#types.length}`);
    return type;
  }

  /** The type behind typedefs and qualifiers. */
  resolve(id: number): BtfType {
    let type = this.type(id);
    for (let depth = 0; type.kind === "alias"; depth++) {
      if (depth === MAX_DEPTH) throw new Malformed(`BTF type ${id} is a cycle of typedefs and qualifiers`);
      type = this.type(type.type);
    }
    return type;
  }

  /** Bytes a value of this type takes, or null where it has no size (void, functions, forward types). */
  sizeOf(id: number): number | null {
    let count = 1;
    let type = this.resolve(id);
    for (let depth = 0; type.kind === "array"; depth++) {
      if (depth === MAX_DEPTH) throw new Malformed(`BTF type ${id} is a cycle of arrays`);
      count *= type.count;
      type = this.resolve(type.type);
    }
    if (type.kind === "ptr") return 8 * count;
    return "bytes" in type ? type.bytes * count : null;
  }

  structNamed(name: string): BtfStruct | undefined {
    return this.#structs.get(name);
  }

  /** A function declared `__ksym`: the kernel has it, under this name. */
  kernelFunction(name: string): BtfFunc | undefined {
    return this.#kernelFunctions.get(name);
  }

  /** Declaration tags of a function's parameter. */
  tagsOf(func: number, parameter: number): readonly string[] {
    return this.#tags.get(`${func}:${parameter}`) ?? [];
  }

  /** The variables of a section (BTF_KIND_DATASEC). */
  variablesIn(section: string): readonly BtfVar[] {
    return this.#variables.get(section) ?? [];
  }
}

export function parseBtf(section: Reader, budget: Budget): Btf {
  const header = readBtfHeader(section, "section .BTF");
  const body = section.part(header.bytes, section.length - header.bytes, "section .BTF");
  const types = body.part(section.u32(8), section.u32(12), "the BTF types");
  const strings = new StringTable(
    body.part(section.u32(16), section.u32(20), "the BTF strings"),
    "the BTF strings",
    budget,
  );
  const string = (offset: number) => strings.at(offset);
  const parsed: BtfType[] = [{ kind: "void" }];
  for (let at = 0; at < types.length; ) {
    const info = types.u32(at + 4);
    const kind = (info >>> 24) & 0x1f;
    const row = KINDS[kind];
    if (!row) throw new Malformed(`BTF type ${parsed.length} has the unknown kind ${kind}`);
    const count = info & 0xffff;
    const moreBytes = row.moreBytes(count);
    const more = types.part(at + TYPE_BYTES, moreBytes, `BTF type ${parsed.length}`);
    const hasBitfields = info >>> 31 === 1;
    parsed.push(
      row.read({
        name: string(types.u32(at)),
        sizeOrType: types.u32(at + 8),
        count,
        hasBitfields,
        more,
        string,
      }),
    );
    at += TYPE_BYTES + moreBytes;
  }
  return new Btf(parsed, strings);
}

/** The part .BTF and .BTF.ext have in common. */
export function readBtfHeader(section: Reader, what: string): { bytes: number } {
  const magic = section.u16(0);
  if (magic !== BTF_MAGIC) throw new Malformed(`${what} begins with ${magic.toString(16)}, not eb9f`);
  const version = section.u8(2);
  if (version !== 1) throw new Malformed(`${what} has version ${version}; only 1 is known`);
  const bytes = section.u32(4);
  if (bytes < 24 || bytes > section.length) throw new Malformed(`${what} has a header of ${bytes} bytes`);
  return { bytes };
}
