/**
 * Bare bytecode with its maps beside it, for `bmc verify --raw`: MAPS.json is an array of
 * {type, key_size, value_size, max_entries, insn_indexes}; each index names a wide load of that map, whose
 * immediate (a file descriptor on Linux) we set. A map of maps says by inner_map which of the maps before it
 * those inside are like.
 */
import { decode } from "../bpf/codec.ts";
import { CLASS, INSN_BYTES, MODE, WIDE_SRC } from "../bpf/isa.ts";
import {
  type AttachType,
  isMapOfMaps,
  LINUX_MAP_TYPES,
  type MapDef,
  type MapTypeName,
  type Program,
  type ProgramType,
} from "../bpf/program.ts";
import { UsageError } from "./exit.ts";
import { parseHex } from "./hex.ts";
import { inputName, readInput } from "./input.ts";

const WIDE_OPCODE = CLASS.ld | MODE.imm | 0x18;
const SRC_MAP = WIDE_SRC.find((row) => row.name === "map")!.src;
const SRC_MAP_VALUE = WIDE_SRC.find((row) => row.name === "map_value")!.src;
/** What a load of a map that nobody named is set to: no such map. */
const NO_MAP = 0x7fff_ffff;

type RawMap = { readonly def: MapDef; readonly indexes: readonly number[] };

/** @throws UsageError */
export function readRawProgram(
  path: string,
  mapsPath: string | undefined,
  type: ProgramType,
  attach: AttachType | undefined,
): Program {
  const bytes = readInput(path);
  const name = inputName(path);
  if (bytes.length === 0) throw new UsageError(`${name}: the file is empty`);
  const bytecode = Uint8Array.from(asBytecode(bytes, name));
  const maps = mapsPath === undefined ? [] : readMaps(mapsPath);
  bindMaps(bytecode, maps, mapsPath ?? "--maps");
  return {
    name: "main",
    section: type,
    type,
    ...(attach && { attach }),
    bytecode,
    maps: maps.map((map) => map.def),
    subprograms: [],
    lines: [],
    license: "GPL",
  };
}

/** Binary, unless it is text of hexadecimal digits that makes sense only as such. */
function asBytecode(bytes: Uint8Array, name: string): Uint8Array {
  if (bytes.length % INSN_BYTES === 0 && decode(bytes).ok) return bytes;
  const text = new TextDecoder("latin1").decode(bytes);
  return /^[\s0-9a-fA-F]+$/.test(text) ? parseHex(text, name) : bytes;
}

function readMaps(path: string): RawMap[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(readInput(path)));
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    throw new UsageError(`${path}: not JSON: ${(cause as Error).message.replaceAll(/\s+/g, " ")}`, { cause });
  }
  if (!Array.isArray(parsed)) throw new UsageError(`${path}: expected an array of maps`);
  const maps: RawMap[] = [];
  for (const [index, item] of parsed.entries()) maps.push(readMap(item, `${path}: map ${index}`, maps));
  return maps;
}

function readMap(item: unknown, where: string, before: readonly RawMap[]): RawMap {
  if (typeof item !== "object" || item === null) throw new UsageError(`${where}: expected an object`);
  const fields = item as Record<string, unknown>;
  const number = (key: string, fallback?: number): number => {
    const value = fields[key] ?? fallback;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0) {
      throw new UsageError(`${where}: ${key} must be a whole number, found ${JSON.stringify(fields[key])}`);
    }
    return value;
  };
  const indexes = fields.insn_indexes ?? [];
  if (!Array.isArray(indexes) || !indexes.every((i) => Number.isInteger(i) && i >= 0)) {
    throw new UsageError(`${where}: insn_indexes must be an array of instruction indexes`);
  }
  const lock = fields.spin_lock_offset;
  const type = mapType(fields.type, where);
  const pattern = isMapOfMaps(type) ? before[number("inner_map", before.length)]?.def : undefined;
  if (isMapOfMaps(type) && !pattern) {
    throw new UsageError(
      `${where}: inner_map must be the place of a map before this one, as ${type} has maps`,
    );
  }
  const def: MapDef = {
    name: typeof fields.name === "string" ? fields.name : `map${before.length}`,
    type,
    keyBytes: number("key_size"),
    valueBytes: number("value_size"),
    maxEntries: number("max_entries"),
    flags: number("map_flags", 0),
    ...(typeof lock === "number" && { spinLockOffset: lock }),
    ...(fields.read_only === true && { readOnlyForPrograms: true }),
    ...(pattern && { inner: { ...pattern, name: "" } }),
  };
  return { def, indexes };
}

/** Our name, the kernel's (BPF_MAP_TYPE_HASH) or its number. */
function mapType(given: unknown, where: string): MapTypeName {
  const word = String(given)
    .toLowerCase()
    .replace(/^bpf_map_type_/, "");
  const row = LINUX_MAP_TYPES.find(({ name, id }) => name === word || String(id) === word);
  if (!row) {
    const known = LINUX_MAP_TYPES.map(({ name }) => name).join(", ");
    throw new UsageError(`${where}: type ${JSON.stringify(given)} is not known; known: ${known}`);
  }
  return row.name;
}

function bindMaps(bytecode: Uint8Array, maps: readonly RawMap[], where: string): void {
  const view = new DataView(bytecode.buffer, bytecode.byteOffset, bytecode.byteLength);
  const isWide = (insn: number) => bytecode[insn * INSN_BYTES] === WIDE_OPCODE;
  for (let insn = 0; (insn + 1) * INSN_BYTES <= bytecode.length; insn++) {
    if (!isWide(insn)) continue;
    const src = bytecode[insn * INSN_BYTES + 1]! >> 4;
    if (src === SRC_MAP || src === SRC_MAP_VALUE) view.setInt32(insn * INSN_BYTES + 4, NO_MAP, true);
    insn++;
  }
  maps.forEach(({ indexes }, map) => {
    for (const insn of indexes) {
      if ((insn + 1) * INSN_BYTES > bytecode.length || !isWide(insn)) {
        throw new UsageError(`${where}: map ${map}: instruction ${insn} is no wide load (ld_imm64)`);
      }
      const regs = bytecode[insn * INSN_BYTES + 1]!;
      if (regs >> 4 === 0) bytecode[insn * INSN_BYTES + 1] = regs | (SRC_MAP << 4);
      view.setInt32(insn * INSN_BYTES + 4, map, true);
    }
  });
}
