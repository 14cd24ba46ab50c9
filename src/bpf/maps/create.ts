/** One constructor a map type: a new type in program.ts fails to compile until it has its row. */
import type { MapDef, MapTypeName } from "../program.ts";
import type { Runtime } from "../runtime.ts";
import { ArrayMap } from "./array.ts";
import type { BpfMap } from "./map.ts";

type Make = (rt: Runtime, def: MapDef, id: number) => BpfMap;

const MAKERS: Readonly<Partial<Record<MapTypeName, Make>>> = {
  array: (rt, def, id) => new ArrayMap(rt, def, id),
  percpu_array: (rt, def, id) => new ArrayMap(rt, def, id),
};

export function makeMap(rt: Runtime, def: MapDef, id: number): BpfMap {
  const make = MAKERS[def.type];
  if (!make) throw new Error(`map type ${def.type} is not there yet`);
  return make(rt, def, id);
}
