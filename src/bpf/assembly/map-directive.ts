/**
 * `.map NAME TYPE key=4 value=8 entries=16 [flags=0] [lock=OFFSET] [kernel=NAME(OFFSET BYTES)] [data="HEX"]
 * [readonly]`, kernel once for each part of the value that is the kernel's (`bpf_timer`, `kptr`); of a map of maps
 * also `inner=`, what those inside are like: a map declared above, by its name, or `(TYPE key=4 …)`.
 */
import { isMapOfMaps, type KernelField, LINUX_MAP_TYPES, type MapDef, type MapTypeName } from "../program.ts";
import type { Cursor } from "./cursor.ts";

const MAP_TYPE_NAMES = new Map(LINUX_MAP_TYPES.map((row) => [row.name as string, row.name]));
const NUMBER_OPTIONS = ["key", "value", "entries", "flags", "lock"] as const;
type NumberOption = (typeof NUMBER_OPTIONS)[number];

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

export function parseMap(cursor: Cursor, maps: MapDef[]): void {
  const token = cursor.peek();
  const name = cursor.word("a map name");
  if (maps.some((map) => map.name === name)) throw cursor.mismatch("a map name that is not taken", token);
  maps.push(parseShape(cursor, maps, name));
}

/** @param name "" for what stands in parentheses: Linux keeps no name of it */
function parseShape(cursor: Cursor, maps: readonly MapDef[], name: string): MapDef {
  const typeToken = cursor.next("a map type");
  const type = MAP_TYPE_NAMES.get(typeToken.text);
  if (!type) throw cursor.mismatch(`a map type: ${[...MAP_TYPE_NAMES.keys()].join(", ")}`, typeToken);
  const given = new Map<NumberOption, number>();
  let data: Uint8Array | undefined;
  let inner: MapDef | undefined;
  let isReadOnly = false;
  const kernelFields: KernelField[] = [];
  while (!cursor.atEnd() && !(name === "" && cursor.isAt(")"))) {
    const more = isMapOfMaps(type) ? "inner=NAME" : 'data="HEX"';
    const expected = `${NUMBER_OPTIONS.map((option) => `${option}=N`).join(", ")}, kernel=NAME(N N), ${more} or readonly`;
    const token = cursor.next(expected);
    const option = NUMBER_OPTIONS.find((known) => known === token.text);
    if (option) {
      cursor.expect("=");
      given.set(option, cursor.bounded(0, 2 ** 32 - 1, `the ${option} of a map`));
    } else if (token.text === "data") {
      cursor.expect("=");
      data = parseHexString(cursor);
    } else if (token.text === "kernel") {
      cursor.expect("=");
      kernelFields.push(parseKernelField(cursor));
    } else if (token.text === "inner" && isMapOfMaps(type)) {
      cursor.expect("=");
      inner = parseInner(cursor, maps);
    } else if (token.text === "readonly") isReadOnly = true;
    else throw cursor.mismatch(expected, token);
  }
  const required = (option: NumberOption, otherwise?: number) => {
    const value = given.get(option) ?? otherwise;
    if (value === undefined) throw cursor.mismatch(`${option}=N`);
    return value;
  };
  if (isMapOfMaps(type) && !inner) {
    throw cursor.mismatch("inner=NAME, a map declared above that those inside are like");
  }
  const lock = given.get("lock");
  return {
    name,
    type,
    keyBytes: required("key", hasFixedKey(type) ? 4 : undefined),
    valueBytes: required("value", holdsHandles(type) ? 4 : data?.length),
    maxEntries: required("entries", data ? 1 : undefined),
    flags: required("flags", 0),
    ...(lock !== undefined && { spinLockOffset: lock }),
    ...(kernelFields.length > 0 && { kernelFields }),
    ...(data && { initialValue: data }),
    ...(isReadOnly && { readOnlyForPrograms: true }),
    ...(inner && { inner }),
  };
}

function parseKernelField(cursor: Cursor): KernelField {
  const name = cursor.word("the name of a part that is the kernel's");
  cursor.expect("(");
  const offset = cursor.bounded(0, 2 ** 32 - 1, "the offset of that part");
  const bytes = cursor.bounded(1, 2 ** 32 - 1, "the size of that part");
  cursor.expect(")");
  return { name, offset, bytes };
}

/** Maps of maps go one level deep, so this does not go deeper either. */
function parseInner(cursor: Cursor, maps: readonly MapDef[]): MapDef {
  const expected = "a map declared above that holds no maps, or (TYPE key=N …)";
  const token = cursor.peek();
  if (cursor.isAt("(") && !isMapOfMaps(cursor.peek(1)?.text as MapTypeName)) {
    cursor.expect("(");
    const inner = parseShape(cursor, maps, "");
    cursor.expect(")");
    return inner;
  }
  const name = cursor.word(expected);
  const pattern = maps.find((map) => map.name === name);
  if (!pattern || pattern.inner) throw cursor.mismatch(expected, token);
  return { ...pattern, name: "" };
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
