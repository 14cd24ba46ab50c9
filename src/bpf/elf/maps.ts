/**
 * Map definitions of an object: `.maps` (BTF), the legacy `maps` section, and the data sections libbpf
 * turns into one-element arrays. A definition this machine cannot hold stays in the list with its
 * reason: only programs that use it are refused.
 */
import { isMapOfMaps, type KernelField, LINUX_MAP_TYPES, type MapDef } from "../program.ts";
import type { Btf, BtfMember } from "./btf.ts";
import { sortByOffset, within } from "./by-offset.ts";
import {
  type ElfFile,
  type ElfSymbol,
  SECTION_FLAG,
  SECTION_TYPE,
  type Section,
  SYMBOL_TYPE,
} from "./elf-file.ts";
import { kernelFields } from "./kernel-fields.ts";
import { type Budget, Malformed } from "./reader.ts";

/** A map and where symbols find it. */
export type ObjectMap = {
  readonly name: string;
  readonly section: number;
  readonly offset: number;
  /** `value`: relocations name bytes of the value (data sections); `map`: they name the map. */
  readonly refersTo: "map" | "value";
  readonly def: MapDef | null;
  /** Why `def` is null. */
  readonly problem?: string;
};

/** BPF_F_RDONLY_PROG: programs may only read. */
const READ_ONLY_FLAG = 0x80;
/** Larger values no kernel takes; the bound keeps what a .bss claims out of later arithmetic. */
const MAX_VALUE_BYTES = 2 ** 31 - 1;
/** The five words of struct bpf_map_def; the oldest objects have no flags. */
const LEGACY_MIN_BYTES = 16;
const DATA_SECTIONS = [".rodata", ".data", ".bss"];

export function readMaps(elf: ElfFile, btf: Btf | null, budget: Budget): ObjectMap[] {
  return elf.sections.flatMap((section) => {
    if (section.flags & SECTION_FLAG.exec) return [];
    if (section.name === ".maps") return readBtfMaps(elf, btf, section);
    if (section.name === "maps") return readLegacyMaps(elf, btf, section);
    const isData = DATA_SECTIONS.some((name) => section.name === name || section.name.startsWith(`${name}.`));
    return isData && section.size > 0 ? [readDataMap(elf, btf, section, budget)] : [];
  });
}

type Place = { readonly section: number; readonly offset: number };

type Numbers = {
  type: number;
  keyBytes: number;
  valueBytes: number;
  maxEntries: number;
  flags: number;
};

/** The parts every way of defining a map has in common, checked. */
function objectMap(name: string, place: Place, numbers: Numbers, more: Partial<MapDef>): ObjectMap {
  const base = { name, ...place, refersTo: "map" as const };
  const type = LINUX_MAP_TYPES.find((row) => row.id === numbers.type)?.name;
  if (!type) {
    const known = LINUX_MAP_TYPES.map((row) => row.name).join(", ");
    return { ...base, def: null, problem: `map '${name}' has type ${numbers.type}; known are ${known}` };
  }
  if (numbers.valueBytes > MAX_VALUE_BYTES || numbers.keyBytes > MAX_VALUE_BYTES) {
    const problem = `map '${name}' has keys of ${numbers.keyBytes} and values of ${numbers.valueBytes} bytes`;
    return { ...base, def: null, problem };
  }
  if (isMapOfMaps(type) && !more.inner) {
    const problem = `map '${name}' (${type}) does not say what its maps are like: __array(values, struct …)`;
    return { ...base, def: null, problem };
  }
  const { type: _, flags, ...sizes } = numbers;
  const isReadOnly = (flags & READ_ONLY_FLAG) !== 0;
  const def = { name, type, ...sizes, flags, ...(isReadOnly && { readOnlyForPrograms: true }), ...more };
  return { ...base, def };
}

/** What of a value is the kernel's, as BTF says: the one bpf_spin_lock among its members, and the rest. */
function keptByKernel(btf: Btf, value: number): Pick<MapDef, "spinLockOffset" | "kernelFields"> {
  const type = btf.resolve(value);
  const lock =
    type.kind === "struct" ? type.members.find((member) => isSpinLock(btf, member.type)) : undefined;
  const fields = kernelFields(btf, value);
  return {
    ...(lock && { spinLockOffset: lock.bitOffset >>> 3 }),
    ...(fields.length > 0 && { kernelFields: fields }),
  };
}

function isSpinLock(btf: Btf, id: number): boolean {
  const type = btf.resolve(id);
  return type.kind === "struct" && type.name === "bpf_spin_lock";
}

// --- .maps: each variable's type is a struct whose members carry the numbers in array lengths ---

function readBtfMaps(elf: ElfFile, btf: Btf | null, section: Section): ObjectMap[] {
  if (!btf) throw new Malformed("section .maps needs type information: build with 'clang -g'");
  const vars = new Map(btf.variablesIn(section.name).map((variable) => [variable.name, variable]));
  const slots = slotPrograms(elf, section);
  return mapSymbols(elf, section).map((symbol) => {
    const variable = vars.get(symbol.name);
    if (!variable) throw new Malformed(`map '${symbol.name}' has no definition in the BTF`);
    const place = { section: symbol.section, offset: symbol.value };
    return readBtfMap(btf, symbol.name, place, variable.type, (valuesOffset) =>
      initialPrograms(symbol, valuesOffset, slots),
    );
  });
}

/** One row a member libbpf knows: what it sets. Others (pinning, numa_node, …) change nothing here. */
const MEMBERS: Readonly<Record<string, (btf: Btf, member: BtfMember, into: Numbers, name: string) => void>> =
  {
    type: (btf, member, into) => {
      into.type = encodedNumber(btf, member);
    },
    max_entries: (btf, member, into) => {
      into.maxEntries = encodedNumber(btf, member);
    },
    map_flags: (btf, member, into) => {
      into.flags = encodedNumber(btf, member);
    },
    key_size: (btf, member, into) => {
      into.keyBytes = encodedNumber(btf, member);
    },
    value_size: (btf, member, into) => {
      into.valueBytes = encodedNumber(btf, member);
    },
    key: (btf, member, into, name) => {
      into.keyBytes = pointeeBytes(btf, member, `key of map '${name}'`);
    },
    value: (btf, member, into, name) => {
      into.valueBytes = pointeeBytes(btf, member, `value of map '${name}'`);
    },
  };

function readBtfMap(
  btf: Btf,
  name: string,
  place: Place,
  typeId: number,
  programsAt: ((valuesOffset: number) => (string | null)[]) | null,
): ObjectMap {
  const type = btf.resolve(typeId);
  if (type.kind !== "struct") throw new Malformed(`map '${name}' is not defined by a struct`);
  const numbers: Numbers = { type: 0, keyBytes: 0, valueBytes: 0, maxEntries: 0, flags: 0 };
  const more: { -readonly [K in keyof MapDef]?: MapDef[K] } = {};
  let problem: string | undefined;
  for (const member of type.members) {
    if (Object.hasOwn(MEMBERS, member.name)) MEMBERS[member.name]?.(btf, member, numbers, name);
    if (member.name === "value") {
      const pointer = btf.resolve(member.type);
      if (pointer.kind === "ptr") Object.assign(more, keptByKernel(btf, pointer.type));
    }
    if (member.name !== "values") continue;
    numbers.keyBytes ||= 4;
    numbers.valueBytes ||= 4;
    const pattern = innerStruct(btf, member);
    if (pattern === null) {
      const initial = programsAt?.(member.bitOffset >>> 3) ?? [];
      if (initial.length > 0) more.initialPrograms = initial;
    } else if (!programsAt) {
      problem = `map '${name}' holds maps itself: maps of maps go one level deep`;
    } else {
      const inner = readBtfMap(btf, `${name}.inner`, place, pattern, null);
      // Linux keeps no name of the pattern.
      if (inner.def) more.inner = { ...inner.def, name: "" };
      problem = inner.problem;
    }
  }
  const map = objectMap(name, place, numbers, more);
  return problem === undefined ? map : { ...map, def: null, problem };
}

/** `__array(values, struct inner)` is an array of pointers to such structs; a program array's, to functions. */
function innerStruct(btf: Btf, member: BtfMember): number | null {
  const array = btf.resolve(member.type);
  const pointer = array.kind === "array" ? btf.resolve(array.type) : array;
  return pointer.kind === "ptr" && btf.resolve(pointer.type).kind === "struct" ? pointer.type : null;
}

/** `__uint(name, N)` is a pointer to an array of N. */
function encodedNumber(btf: Btf, member: BtfMember): number {
  const pointer = btf.resolve(member.type);
  const array = pointer.kind === "ptr" ? btf.resolve(pointer.type) : pointer;
  if (array.kind !== "array") throw new Malformed(`'${member.name}' of a map is not written with __uint()`);
  return array.count;
}

function pointeeBytes(btf: Btf, member: BtfMember, what: string): number {
  const pointer = btf.resolve(member.type);
  const bytes = pointer.kind === "ptr" ? btf.sizeOf(pointer.type) : null;
  if (bytes === null) throw new Malformed(`the ${what} has no size`);
  return bytes;
}

type Slot = { readonly offset: number; readonly program: string };

/** Relocations in .maps fill `values`: a place in the section and the function that goes there. */
function slotPrograms(elf: ElfFile, section: Section): Slot[] {
  const slots = elf
    .relocationsOf(section)
    .filter(({ symbol }) => symbol.type === SYMBOL_TYPE.func)
    .map(({ offset, symbol }) => ({ offset, program: symbol.name }));
  const stray = slots.find(({ offset }) => offset + 8 > section.data.length);
  if (stray) throw new Malformed(`section .maps has a misplaced relocation at byte ${stray.offset}`);
  return sortByOffset(slots);
}

/** `values` is a flexible array: the symbol is larger than its struct by the slots given. */
function initialPrograms(symbol: ElfSymbol, valuesOffset: number, slots: readonly Slot[]): (string | null)[] {
  const start = symbol.value + valuesOffset;
  const used = within(slots, start, symbol.value + symbol.size);
  const list: (string | null)[] = [];
  for (const { offset, program } of used) {
    while (list.length < Math.floor((offset - start) / 8)) list.push(null);
    list.push(program);
  }
  return list;
}

// --- maps: struct bpf_map_def in plain data, one symbol a map, all of one size ---

function readLegacyMaps(elf: ElfFile, btf: Btf | null, section: Section): ObjectMap[] {
  const symbols = mapSymbols(elf, section);
  if (symbols.length === 0) return [];
  const bytes = Math.floor(section.size / symbols.length);
  if (section.size % symbols.length !== 0 || bytes < LEGACY_MIN_BYTES || bytes % 4 !== 0) {
    throw new Malformed(
      `section maps has ${section.size} bytes for ${symbols.length} maps; a definition is 16 bytes or more, all alike`,
    );
  }
  return symbols.map((symbol) => {
    const def = section.data.part(symbol.value, bytes, `the definition of map '${symbol.name}'`);
    const numbers = {
      type: def.u32(0),
      keyBytes: def.u32(4),
      valueBytes: def.u32(8),
      maxEntries: def.u32(12),
      flags: bytes >= 20 ? def.u32(16) : 0,
    };
    const place = { section: section.index, offset: symbol.value };
    return objectMap(symbol.name, place, numbers, annotated(btf, symbol.name));
  });
}

/** BPF_ANNOTATE_KV_PAIR leaves a struct ____btf_map_NAME with the members key and value. */
function annotated(btf: Btf | null, name: string): Pick<MapDef, "spinLockOffset" | "kernelFields"> {
  const pair = btf?.structNamed(`____btf_map_${name}`);
  const value = pair?.members.find((member) => member.name === "value");
  return btf && value ? keptByKernel(btf, value.type) : {};
}

/** What is defined in a section of maps, in the order of the file. */
function mapSymbols(elf: ElfFile, section: Section): ElfSymbol[] {
  const isMap = ({ type }: ElfSymbol) => type === SYMBOL_TYPE.object || type === SYMBOL_TYPE.notype;
  return elf.symbolsOf(section).filter((symbol) => symbol.name !== "" && isMap(symbol));
}

// --- .rodata, .data, .bss: arrays of one value, which is the section ---

function readDataMap(elf: ElfFile, btf: Btf | null, section: Section, budget: Budget): ObjectMap {
  budget.spend(section.data.length, "its data sections");
  const isStored = section.type !== SECTION_TYPE.nobits;
  const isReadOnly = section.name.startsWith(".rodata");
  const lock = btf ? lockInSection(elf, btf, section) : null;
  const fields = btf ? fieldsInSection(elf, btf, section) : [];
  const map = objectMap(
    section.name,
    { section: section.index, offset: 0 },
    { type: 2, keyBytes: 4, valueBytes: section.size, maxEntries: 1, flags: 0 },
    {
      ...(isStored && { initialValue: section.data.bytes.slice() }),
      ...(isReadOnly && { readOnlyForPrograms: true }),
      ...(lock !== null && { spinLockOffset: lock }),
      ...(fields.length > 0 && { kernelFields: fields }),
    },
  );
  return { ...map, refersTo: "value" };
}

/** A global `struct bpf_spin_lock`: BTF knows the variable, the symbol its place. */
function lockInSection(elf: ElfFile, btf: Btf, section: Section): number | null {
  const lock = btf.variablesIn(section.name).find((variable) => isSpinLock(btf, variable.type));
  return (lock && elf.symbolsOf(section).find((symbol) => symbol.name === lock.name)?.value) ?? null;
}

function fieldsInSection(elf: ElfFile, btf: Btf, section: Section): KernelField[] {
  return btf.variablesIn(section.name).flatMap(({ name, type }) => {
    const place = elf.symbolsOf(section).find((symbol) => symbol.name === name)?.value;
    return place === undefined ? [] : kernelFields(btf, type, place);
  });
}
