/**
 * The loader's face: bytes of an object file to a ProgramObject, or one sentence about what is wrong.
 * Takes any bytes: never throws, and its work and memory are bounded by the file's size.
 */
import type { AttachType, Program, ProgramObject, ProgramType, SkippedProgram } from "../program.ts";
import type { SectionKind } from "../section-names.ts";
import { parseBtf } from "./btf.ts";
import { parseBtfExt } from "./btf-ext.ts";
import { type ElfFile, readElf } from "./elf-file.ts";
import { entryFunctions, readCode } from "./functions.ts";
import { linkProgram, type MapFinder } from "./link.ts";
import { type ObjectMap, readMaps } from "./maps.ts";
import { Budget, Malformed } from "./reader.ts";
import { Unsupported } from "./unsupported.ts";

export type ParseObjectOptions = {
  /** What sections hold whose name says no program type (BMC's own "bmc_rx_filter", .text). */
  readonly type?: ProgramType;
  /** For sk_skb programs whose section name does not say it. */
  readonly attach?: AttachType;
};

export type ParseObjectResult =
  | { readonly ok: true; readonly object: ProgramObject }
  | { readonly ok: false; readonly error: { readonly message: string } };

/** Room for a subprogram copied into each of many programs; a real object needs a fraction. */
const BUDGET_BYTES = 64 * 2 ** 20;

export function parseObject(bytes: Uint8Array, options: ParseObjectOptions = {}): ParseObjectResult {
  try {
    // A Node Buffer's slice() shares memory; a plain view's copies.
    const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return { ok: true, object: read(plain, options) };
  } catch (thrown) {
    if (thrown instanceof Malformed) return { ok: false, error: { message: thrown.message } };
    throw thrown;
  }
}

function read(bytes: Uint8Array, options: ParseObjectOptions): ProgramObject {
  const budget = new Budget(BUDGET_BYTES + bytes.length);
  const elf = readElf(bytes, budget);
  const section = (name: string) => elf.sections.find((candidate) => candidate.name === name);
  const btfSection = section(".BTF");
  const btf = btfSection ? parseBtf(btfSection.data, budget) : null;
  const extension = section(".BTF.ext");
  const infos = btf && extension ? parseBtfExt(extension.data, btf) : new Map();
  const code = readCode(elf, infos);
  const maps = readMaps(elf, btf, budget);
  const finder = mapFinder(maps);
  const license = readLicense(elf);

  const given: SectionKind | null = options.type
    ? { type: options.type, ...(options.attach && { attach: options.attach }) }
    : null;
  const programs: Program[] = [];
  const skipped: SkippedProgram[] = [];
  for (const { func, kind } of entryFunctions(code.values(), given)) {
    const place = { name: func.name, section: func.home.section.name };
    if (!kind) {
      const reason = `its section '${place.section}' names no program type known here; say it with --type`;
      skipped.push({ ...place, reason });
      continue;
    }
    try {
      programs.push(linkProgram(func, kind, { code, maps: finder, btf, license, budget }));
    } catch (thrown) {
      if (!(thrown instanceof Unsupported)) throw thrown;
      skipped.push({ ...place, reason: thrown.message });
    }
  }
  if (programs.length === 0) throw new Malformed(noProgram(skipped));
  return {
    programs,
    maps: maps.flatMap(({ def }) => (def ? [def] : [])),
    license,
    ...(skipped.length > 0 && { skipped }),
  };
}

/** Data sections are found by the section alone: any byte of them may be named. */
function mapFinder(maps: readonly ObjectMap[]): MapFinder {
  const byPlace = new Map<string, ObjectMap>();
  for (const map of maps) {
    byPlace.set(map.refersTo === "value" ? `${map.section}` : `${map.section}:${map.offset}`, map);
  }
  return (section, offset) => byPlace.get(`${section}:${offset}`) ?? byPlace.get(`${section}`);
}

function noProgram(skipped: readonly SkippedProgram[]): string {
  const [first, ...more] = skipped;
  if (!first) return "the object holds no program: no global function outside .text";
  const others = more.length > 0 ? ` (and ${more.length} more)` : "";
  return `program '${first.name}' cannot be loaded: ${first.reason}${others}`;
}

function readLicense(elf: ElfFile): string {
  const data = elf.sections.find((section) => section.name === "license")?.data.bytes;
  if (!data) return "";
  const end = data.indexOf(0);
  return new TextDecoder().decode(data.subarray(0, Math.min(end < 0 ? data.length : end, 128)));
}
