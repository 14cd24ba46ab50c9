/**
 * .BTF.ext: what belongs to instructions. Per program section: which BTF function starts where, which C
 * line each instruction came from, and how many CO-RE relocations there are (this loader applies none).
 * Offsets are bytes into the section as the compiler left it.
 */
import { type Btf, readBtfHeader } from "./btf.ts";
import { sortByOffset } from "./by-offset.ts";
import { Malformed, type Reader } from "./reader.ts";

export type LineRecord = {
  readonly offset: number;
  readonly fileName: number;
  readonly text: number;
  readonly line: number;
  readonly column: number;
};
export type SectionInfo = {
  /** Offset of a function's first instruction to the id of its BTF function. */
  readonly funcTypes: Map<number, number>;
  readonly lines: LineRecord[];
  readonly coreRelocations: { readonly offset: number }[];
};

export function emptyInfo(): SectionInfo {
  return { funcTypes: new Map(), lines: [], coreRelocations: [] };
}

/** Byte offset of each table's {offset, length} pair in the header, and its smallest record. */
const TABLES = [
  { field: 8, minBytes: 8, name: "func_info" },
  { field: 16, minBytes: 16, name: "line_info" },
  { field: 24, minBytes: 16, name: "core_relo" },
] as const;

/** By section name. */
export function parseBtfExt(section: Reader, btf: Btf): ReadonlyMap<string, SectionInfo> {
  const header = readBtfHeader(section, "section .BTF.ext");
  const body = section.part(header.bytes, section.length - header.bytes, "section .BTF.ext");
  const found = new Map<string, SectionInfo>();
  const infoOf = (name: string): SectionInfo => {
    const info = found.get(name) ?? emptyInfo();
    found.set(name, info);
    return info;
  };
  for (const { field, minBytes, name } of TABLES) {
    // The oldest header ends before core_relo.
    if (header.bytes < field + 8) continue;
    const length = section.u32(field + 4);
    if (length === 0) continue;
    const table = body.part(section.u32(field), length, `the ${name} of .BTF.ext`);
    for (const { sectionName, record } of records(table, minBytes, name, btf)) {
      const info = infoOf(sectionName);
      const offset = record.u32(0);
      if (name === "func_info") info.funcTypes.set(offset, record.u32(4));
      else if (name === "core_relo") info.coreRelocations.push({ offset });
      else {
        const place = record.u32(12);
        info.lines.push({
          offset,
          fileName: record.u32(4),
          text: record.u32(8),
          line: place >>> 10,
          column: place & 0x3ff,
        });
      }
    }
  }
  for (const info of found.values()) {
    sortByOffset(info.lines);
    sortByOffset(info.coreRelocations);
  }
  return found;
}

/** A table is a record size, then per section: name, count, records. */
function* records(table: Reader, minBytes: number, name: string, btf: Btf) {
  const recordBytes = table.u32(0);
  if (recordBytes < minBytes)
    throw new Malformed(`the ${name} of .BTF.ext has records of ${recordBytes} bytes`);
  for (let at = 4; at < table.length; ) {
    const sectionName = btf.strings.at(table.u32(at));
    const count = table.u32(at + 4);
    at += 8;
    const block = table.part(at, count * recordBytes, `the ${name} of section ${sectionName}`);
    for (let index = 0; index < count; index++) {
      yield { sectionName, record: block.part(index * recordBytes, recordBytes, `a ${name} record`) };
    }
    at += count * recordBytes;
  }
}
