/**
 * The ELF container: header, sections, symbols, relocations of an ELF64 little-endian EM_BPF relocatable
 * object (System V gABI ch. 4; relocation kinds: the LLVM BPF target). Knows nothing of BPF programs.
 *   header 64 bytes · section header 64 · symbol 24 · relocation (REL, no addend) 16
 */
import { sortByOffset } from "./by-offset.ts";
import { type Budget, Malformed, Reader, StringTable } from "./reader.ts";

const HEADER_BYTES = 64;
const SECTION_HEADER_BYTES = 64;
const SYMBOL_BYTES = 24;
const REL_BYTES = 16;
const EM_BPF = 247;
const ET_REL = 1;

export const SECTION_TYPE = { progbits: 1, symtab: 2, strtab: 3, rela: 4, nobits: 8, rel: 9 } as const;
export const SECTION_FLAG = { write: 1, alloc: 2, exec: 4 } as const;
export const SYMBOL_TYPE = { notype: 0, object: 1, func: 2, section: 3 } as const;
export const BINDING = { local: 0, global: 1, weak: 2 } as const;
/** st_shndx of a symbol defined elsewhere. */
export const UNDEFINED_SECTION = 0;

/** Relocation kinds clang emits for BPF. */
export const RELOCATION_KINDS = [
  { id: 1, name: "R_BPF_64_64", place: "wide load" },
  { id: 2, name: "R_BPF_64_ABS64", place: "data" },
  { id: 3, name: "R_BPF_64_ABS32", place: "data" },
  { id: 4, name: "R_BPF_64_NODYLD32", place: "data" },
  { id: 10, name: "R_BPF_64_32", place: "call" },
] as const;
export type RelocationKind = (typeof RELOCATION_KINDS)[number];

export type Section = {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  /** Of a NOBITS section: what it claims; it has no bytes in the file. */
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly data: Reader;
};

export type ElfSymbol = {
  readonly name: string;
  readonly type: number;
  readonly binding: number;
  /** Neither hidden nor internal: what other objects may see. */
  readonly isVisible: boolean;
  readonly section: number;
  readonly value: number;
  readonly size: number;
};

export type Relocation = {
  readonly offset: number;
  readonly kind: RelocationKind;
  readonly symbol: ElfSymbol;
};

export type ElfFile = {
  readonly sections: readonly Section[];
  /** What is defined in this section, by ascending value. */
  readonly symbolsOf: (section: Section) => readonly ElfSymbol[];
  /** Relocations that patch this section, by ascending offset. */
  readonly relocationsOf: (section: Section) => readonly Relocation[];
};

export function readElf(bytes: Uint8Array, budget: Budget): ElfFile {
  const file = new Reader(bytes, "the file");
  checkHeader(file);
  const sections = readSections(file, budget);
  const symbols = readSymbols(sections, budget);
  const symbolsBySection = groupBy(symbols, (symbol) => symbol.section);
  for (const group of symbolsBySection.values()) group.sort((a, b) => a.value - b.value);
  // Sections refer to each other by number: one pass finds the relocations of all.
  const patchesBySection = groupBy(
    sections.filter(({ type }) => type === SECTION_TYPE.rel || type === SECTION_TYPE.rela),
    (section) => section.info,
  );
  return {
    sections,
    symbolsOf: ({ index }) => symbolsBySection.get(index) ?? [],
    relocationsOf: ({ index }) => readRelocations(patchesBySection.get(index) ?? [], symbols, budget),
  };
}

function checkHeader(file: Reader): void {
  const magic = [0x7f, 0x45, 0x4c, 0x46];
  if (file.length < 4 || magic.some((byte, at) => file.bytes[at] !== byte)) {
    throw new Malformed("not an ELF file (it does not begin with 7f 'ELF')");
  }
  if (file.length < HEADER_BYTES) {
    throw new Malformed(
      `the file is cut short: ${file.length} bytes, an ELF header alone has ${HEADER_BYTES}`,
    );
  }
  if (file.u8(4) !== 2) throw new Malformed("a 32-bit ELF file; eBPF objects are 64-bit");
  if (file.u8(5) !== 1) {
    throw new Malformed("a big-endian ELF file; build it with 'clang -target bpfel' for this machine");
  }
  const machine = file.u16(18);
  if (machine !== EM_BPF) {
    throw new Malformed(
      `an ELF file for machine ${machine}, not eBPF (${EM_BPF}); build it with 'clang -target bpf'`,
    );
  }
  const type = file.u16(16);
  if (type !== ET_REL) throw new Malformed(`ELF type ${type}, not a relocatable object (${ET_REL})`);
}

function readSections(file: Reader, budget: Budget): Section[] {
  const tableOffset = file.u64(40);
  const entryBytes = file.u16(58);
  const count = file.u16(60);
  const namesIndex = file.u16(62);
  if (count === 0) throw new Malformed("the file has no sections");
  if (entryBytes !== SECTION_HEADER_BYTES) {
    throw new Malformed(`section headers of ${entryBytes} bytes; ELF64 has ${SECTION_HEADER_BYTES}`);
  }
  const table = file.part(tableOffset, count * entryBytes, "the section header table");
  const raw = Array.from({ length: count }, (_, index) => {
    const at = index * entryBytes;
    const type = table.u32(at + 4);
    const size = table.u64(at + 32);
    const isStored = type !== SECTION_TYPE.nobits && type !== 0;
    const data = isStored
      ? file.part(table.u64(at + 24), size, `section ${index}`)
      : new Reader(new Uint8Array(0), `section ${index}`);
    return {
      index,
      nameOffset: table.u32(at),
      type,
      flags: table.u32(at + 8),
      size: type === 0 ? 0 : size,
      link: table.u32(at + 40),
      info: table.u32(at + 44),
      data,
    };
  });
  const names = raw[namesIndex];
  if (names?.type !== SECTION_TYPE.strtab) throw new Malformed("the table of section names is missing");
  const strings = new StringTable(names.data, "the table of section names", budget);
  return raw.map(({ nameOffset, ...section }) => ({ ...section, name: strings.at(nameOffset) }));
}

function readSymbols(sections: readonly Section[], budget: Budget): ElfSymbol[] {
  const table = sections.find((section) => section.type === SECTION_TYPE.symtab);
  if (!table) throw new Malformed("the file has no symbol table");
  const stringSection = sections[table.link];
  if (stringSection?.type !== SECTION_TYPE.strtab) throw new Malformed("the symbols' names are missing");
  const strings = new StringTable(stringSection.data, "the table of symbol names", budget);
  if (table.size % SYMBOL_BYTES !== 0) {
    throw new Malformed(`the symbol table has ${table.size} bytes, not a multiple of ${SYMBOL_BYTES}`);
  }
  return Array.from({ length: table.size / SYMBOL_BYTES }, (_, index) => {
    const at = index * SYMBOL_BYTES;
    const info = table.data.u8(at + 4);
    const visibility = table.data.u8(at + 5) & 3;
    return {
      name: strings.at(table.data.u32(at)),
      type: info & 0xf,
      binding: info >> 4,
      isVisible: visibility === 0 || visibility === 3,
      section: table.data.u16(at + 6),
      value: table.data.u64(at + 8),
      size: table.data.u64(at + 16),
    };
  });
}

function groupBy<T>(items: readonly T[], key: (item: T) => number): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}

function readRelocations(
  patches: readonly Section[],
  symbols: readonly ElfSymbol[],
  budget: Budget,
): Relocation[] {
  const found: Relocation[] = [];
  for (const section of patches) {
    if (section.type === SECTION_TYPE.rela) {
      throw new Malformed(`section ${section.name} has relocations with addends; eBPF objects have none`);
    }
    budget.spend(section.size, "its relocations");
    if (section.size % REL_BYTES !== 0) {
      throw new Malformed(
        `section ${section.name} has ${section.size} bytes, not a multiple of ${REL_BYTES}`,
      );
    }
    for (let at = 0; at < section.size; at += REL_BYTES) {
      const offset = section.data.u64(at);
      const kindId = section.data.u32(at + 8);
      const kind = RELOCATION_KINDS.find((row) => row.id === kindId);
      if (!kind) throw new Malformed(`relocation kind ${kindId} in ${section.name} is not known for eBPF`);
      const symbolIndex = section.data.u32(at + 12);
      const symbol = symbols[symbolIndex];
      if (!symbol) {
        throw new Malformed(
          `a relocation in ${section.name} names symbol ${symbolIndex} of ${symbols.length}`,
        );
      }
      found.push({ offset, kind, symbol });
    }
  }
  return sortByOffset(found);
}
