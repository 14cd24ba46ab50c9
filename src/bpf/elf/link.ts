/**
 * Links one program: its entry function, then every function it reaches, appended in the order libbpf
 * appends them, so that instruction numbers agree with the kernel's log. Relocations become map indexes,
 * value offsets and call distances; debug facts move along.
 */
import { CALL_OPCODE, CALL_SRC, INSN_BYTES, WIDE_OPCODE, WIDE_SRC } from "../isa.ts";
import type { LineInfo, MapDef, Program, ProgramType, Subprogram } from "../program.ts";
import type { SectionKind } from "../section-names.ts";
import type { Btf } from "./btf.ts";
import { within } from "./by-offset.ts";
import { type ElfSymbol, SYMBOL_TYPE, UNDEFINED_SECTION } from "./elf-file.ts";
import type { CodeSection, ElfFunction } from "./functions.ts";
import { KernelFunctions } from "./kernel-functions.ts";
import type { ObjectMap } from "./maps.ts";
import { prototype } from "./prototype.ts";
import { type Budget, Malformed } from "./reader.ts";
import { Unsupported } from "./unsupported.ts";

/** As many as the kernel takes from root (BPF_COMPLEXITY_LIMIT_INSNS). */
const MAX_INSNS = 1_000_000;
const WIDE_NUMBER = Object.fromEntries(WIDE_SRC.map((row) => [row.name, row.src])) as Record<
  (typeof WIDE_SRC)[number]["name"],
  number
>;
/** The map a symbol and its addend name. */
export type MapFinder = (section: number, offset: number) => ObjectMap | undefined;

export type LinkInput = {
  readonly code: ReadonlyMap<number, CodeSection>;
  readonly maps: MapFinder;
  readonly btf: Btf | null;
  readonly license: string;
  readonly budget: Budget;
};

/** One function within the program: its copied bytes, and the slot they begin at. */
type Placed = { readonly func: ElfFunction; readonly base: number; readonly view: DataView };

export function linkProgram(entry: ElfFunction, kind: SectionKind, input: LinkInput): Program {
  const placed: Placed[] = [];
  const byFunction = new Map<ElfFunction, Placed>();
  const maps = new Map<MapDef, number>();
  const kernelFunctions = new KernelFunctions(input.btf);
  let slots = 0;

  const place = (func: ElfFunction): Placed => {
    const bytes = func.home.section.data.bytes.slice(func.start, func.start + func.size);
    // Beside its bytes a function costs the objects made for it.
    input.budget.spend(func.size + 64, "its functions");
    const item = { func, base: slots, view: new DataView(bytes.buffer) };
    slots += func.size / INSN_BYTES;
    if (slots > MAX_INSNS) throw new Unsupported(`it has more than ${MAX_INSNS} instructions`);
    placed.push(item);
    byFunction.set(func, item);
    return item;
  };
  const mapIndex = (def: MapDef): number => {
    const index = maps.get(def) ?? maps.size;
    maps.set(def, index);
    return index;
  };

  // Depth first, a callee's code right behind all that is placed when it is first met. A stack of our own:
  // a hostile call chain may be longer than the engine's.
  const open = [{ item: place(entry), slot: 0 }];
  for (let top = open.at(-1); top; top = open.at(-1)) {
    const { item } = top;
    if (top.slot * INSN_BYTES >= item.func.size) {
      open.pop();
      continue;
    }
    const slot = top.slot;
    const isWide = item.view.getUint8(slot * INSN_BYTES) === WIDE_OPCODE;
    top.slot += isWide ? 2 : 1;
    const callee = patch(item, slot, input, mapIndex, kernelFunctions);
    if (!callee) continue;
    let target = byFunction.get(callee);
    if (!target) {
      target = place(callee);
      open.push({ item: target, slot: 0 });
    }
    item.view.setInt32(slot * INSN_BYTES + 4, target.base - (item.base + slot) - 1, true);
  }

  const bytecode = new Uint8Array(slots * INSN_BYTES);
  for (const { base, view } of placed) bytecode.set(new Uint8Array(view.buffer), base * INSN_BYTES);
  const core = placed.reduce((sum, { func }) => sum + coreRelocations(func), 0);
  return {
    name: entry.name,
    section: entry.home.section.name,
    ...kind,
    bytecode,
    maps: [...maps.keys()],
    subprograms: placed.slice(1).map((item) => subprogram(item, kind.type, input.btf)),
    lines: placed.flatMap((item) => lineInfo(item, input)),
    license: input.license,
    ...(kernelFunctions.absent.length > 0 && { absentKfuncs: kernelFunctions.absent }),
    ...(core > 0 && {
      warnings: [
        `program '${entry.name}' has ${core} CO-RE relocation${core === 1 ? "" : "s"}, and none is applied: it sees kernel structs as they were when it was compiled`,
      ],
    }),
  };
}

/** Resolves one instruction in place. @returns the function it calls or loads, whose distance is yet open */
function patch(
  { func, view }: Placed,
  slot: number,
  { code, maps }: LinkInput,
  mapIndex: (def: MapDef) => number,
  kernelFunctions: KernelFunctions,
): ElfFunction | null {
  const at = slot * INSN_BYTES;
  const opcode = view.getUint8(at);
  const registers = view.getUint8(at + 1);
  const imm = view.getInt32(at + 4, true);
  const relocation = func.home.relocations.get(func.start + at);
  const where = `insn ${slot} of '${func.name}'`;
  if (opcode === WIDE_OPCODE && at + 2 * INSN_BYTES > func.size) {
    throw new Malformed(`${where} is half a wide load at the function's end`);
  }
  if (!relocation) {
    if (opcode === WIDE_OPCODE && registers >> 4 !== WIDE_NUMBER.imm) {
      throw new Malformed(`${where} loads a map or function, but no relocation says which`);
    }
    if (opcode !== CALL_OPCODE || registers >> 4 !== CALL_SRC.local) return null;
    // A call within the section needs no relocation: the distance is the compiler's.
    return functionAt(func.home, func.start + at + INSN_BYTES * (imm + 1), where);
  }
  const { kind, symbol } = relocation;
  if (kind.place !== (opcode === WIDE_OPCODE ? "wide load" : opcode === CALL_OPCODE ? "call" : "")) {
    throw new Malformed(`${where} has a relocation ${kind.name}, which is for a ${kind.place}`);
  }
  const home = code.get(symbol.section);
  if (opcode === CALL_OPCODE) {
    if (symbol.section === UNDEFINED_SECTION) {
      view.setUint8(at + 1, (registers & 0xf) | (CALL_SRC.kfunc << 4));
      view.setInt32(at + 4, kernelFunctions.callNumber(symbol), true);
      return null;
    }
    if (!home) throw new Malformed(`${where} calls '${symbol.name}', which is not code`);
    view.setUint8(at + 1, (registers & 0xf) | (CALL_SRC.local << 4));
    return functionAt(home, symbol.value + INSN_BYTES * (imm + 1), where);
  }
  const setPseudo = (number: number) => view.setUint8(at + 1, (registers & 0xf) | (number << 4));
  if (home) {
    setPseudo(WIDE_NUMBER.func);
    return functionAt(home, symbol.value + imm, where);
  }
  if (symbol.section === UNDEFINED_SECTION) {
    view.setInt32(at + 4, kernelFunctions.address(symbol), true);
    view.setInt32(at + INSN_BYTES + 4, 0, true);
    return null;
  }
  const map = maps(symbol.section, symbol.value + imm);
  if (!map) throw new Unsupported(`${where} uses '${nameOf(symbol)}', which is no map and no data section`);
  if (!map.def) throw new Unsupported(map.problem ?? `map '${map.name}' is unusable`);
  setPseudo(map.refersTo === "value" ? WIDE_NUMBER.map_value : WIDE_NUMBER.map);
  view.setInt32(at + 4, mapIndex(map.def), true);
  view.setInt32(at + INSN_BYTES + 4, map.refersTo === "value" ? (symbol.value + imm) | 0 : 0, true);
  return null;
}

function nameOf(symbol: ElfSymbol): string {
  return symbol.type === SYMBOL_TYPE.section ? `section ${symbol.section}` : symbol.name;
}

function functionAt(home: CodeSection, offset: number, where: string): ElfFunction {
  const func = home.byOffset.get(offset);
  if (!func) {
    throw new Malformed(
      `${where} refers to byte ${offset} of section ${home.section.name}, where no function starts`,
    );
  }
  return func;
}

function subprogram({ func, base }: Placed, programType: ProgramType, btf: Btf | null): Subprogram {
  const type = func.home.info.funcTypes.get(func.start);
  const signature = btf && type !== undefined ? btf.type(type) : null;
  if (!btf || type === undefined || signature?.kind !== "func")
    return { name: func.name, start: base, isGlobal: false };
  // Without BTF the kernel has no prototype to verify by, so only BTF makes a function global.
  const isGlobal = signature.linkage === "global" && func.isGlobal;
  return { name: func.name, start: base, isGlobal, ...prototype(btf, type, signature.type, programType) };
}

function lineInfo({ func, base }: Placed, { btf, budget }: LinkInput): LineInfo[] {
  if (!btf) return [];
  const { lines: all } = func.home.info;
  // Line 0 is the compiler not knowing: the line before goes on. A record out of step names no instruction.
  const lines = within(all, func.start, func.start + func.size).filter(
    (record) => record.line > 0 && record.offset % INSN_BYTES === 0,
  );
  budget.spend(lines.length * 64, "its line information");
  return lines.map(({ offset, fileName, text, line, column }) => ({
    insn: base + (offset - func.start) / INSN_BYTES,
    file: btf.strings.at(fileName),
    line,
    column,
    text: btf.strings.at(text).trim(),
  }));
}

function coreRelocations(func: ElfFunction): number {
  return within(func.home.info.coreRelocations, func.start, func.start + func.size).length;
}
