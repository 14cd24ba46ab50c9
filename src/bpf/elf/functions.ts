/**
 * The functions of an object: every FUNC symbol of an executable section with its bytes, relocations and
 * BTF facts, found by section and offset. Which of them are programs is decided here, by libbpf's rules.
 */
import { INSN_BYTES } from "../isa.ts";
import { type SectionKind, sectionKind } from "../section-names.ts";
import { emptyInfo, type SectionInfo } from "./btf-ext.ts";
import {
  BINDING,
  type ElfFile,
  type ElfSymbol,
  type Relocation,
  SECTION_FLAG,
  SECTION_TYPE,
  type Section,
  SYMBOL_TYPE,
} from "./elf-file.ts";
import { Malformed } from "./reader.ts";

/** What all functions of one section share. */
export type CodeSection = {
  readonly section: Section;
  readonly relocations: ReadonlyMap<number, Relocation>;
  readonly info: SectionInfo;
  readonly byOffset: ReadonlyMap<number, ElfFunction>;
};

export type ElfFunction = {
  readonly name: string;
  readonly home: CodeSection;
  readonly start: number;
  readonly size: number;
  /** Neither static nor hidden. */
  readonly isGlobal: boolean;
};

export function readCode(elf: ElfFile, infos: ReadonlyMap<string, SectionInfo>): Map<number, CodeSection> {
  const code = new Map<number, CodeSection>();
  for (const section of elf.sections) {
    const isCode = section.type === SECTION_TYPE.progbits && (section.flags & SECTION_FLAG.exec) !== 0;
    if (!isCode || section.size === 0) continue;
    if (section.size % INSN_BYTES !== 0) {
      throw new Malformed(
        `section ${section.name} has ${section.size} bytes, not a multiple of ${INSN_BYTES}`,
      );
    }
    const byOffset = new Map<number, ElfFunction>();
    const home: CodeSection = {
      section,
      relocations: relocationMap(elf, section),
      info: infos.get(section.name) ?? emptyInfo(),
      byOffset,
    };
    firstAtEachStart(elf, section).forEach((symbol, index, symbols) => {
      // Hand-written assembly may leave the size out: then it reaches to the next function.
      const size = symbol.size || (symbols[index + 1]?.value ?? section.size) - symbol.value;
      if (symbol.value % INSN_BYTES || size % INSN_BYTES || size <= 0 || symbol.value + size > section.size) {
        throw new Malformed(
          `function '${symbol.name}' takes bytes ${symbol.value}..${symbol.value + size} of section ${section.name}, which has ${section.size}`,
        );
      }
      const isGlobal = symbol.binding !== BINDING.local && symbol.isVisible;
      byOffset.set(symbol.value, { name: symbol.name, home, start: symbol.value, size, isGlobal });
    });
    code.set(section.index, home);
  }
  return code;
}

/** Function symbols by ascending place, without aliases. */
function firstAtEachStart(elf: ElfFile, section: Section): ElfSymbol[] {
  const functions = elf.symbolsOf(section).filter((symbol) => symbol.type === SYMBOL_TYPE.func);
  return functions.filter((symbol, index) => symbol.value !== functions[index - 1]?.value);
}

function relocationMap(elf: ElfFile, section: Section): Map<number, Relocation> {
  const found = new Map<number, Relocation>();
  for (const relocation of elf.relocationsOf(section)) {
    if (relocation.offset % INSN_BYTES || relocation.offset >= section.size || found.has(relocation.offset)) {
      throw new Malformed(`section ${section.name} has a misplaced relocation at byte ${relocation.offset}`);
    }
    found.set(relocation.offset, relocation);
  }
  return found;
}

export type Entry = { readonly func: ElfFunction; readonly kind: SectionKind | null };

/**
 * Programs are the global functions outside .text; .text holds subprograms, unless its one function is
 * all there is (libbpf keeps that for objects older than SEC()). `given` types sections whose name does not.
 */
export function entryFunctions(code: Iterable<CodeSection>, given: SectionKind | null): Entry[] {
  const all = [...code].flatMap((home) => [...home.byOffset.values()]);
  const outside = all.filter((func) => func.home.section.name !== ".text" && func.isGlobal);
  const entries = all.length === 1 ? all : outside;
  return entries.map((func) => ({
    func,
    kind: withAttach(sectionKind(func.home.section.name) ?? given, given),
  }));
}

/** SEC("sk_skb") leaves the attach type open: the caller may say it. */
function withAttach(kind: SectionKind | null, given: SectionKind | null): SectionKind | null {
  if (kind?.type !== "sk_skb" || kind.attach || !given?.attach) return kind;
  return { ...kind, attach: given.attach };
}
