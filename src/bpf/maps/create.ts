/** One constructor a map type: a new type in program.ts fails to compile until it has its row. */
import { type EmulatedMapType, isEmulated, type MapDef } from "../program.ts";
import type { Runtime } from "../runtime.ts";
import { ArrayMap } from "./array.ts";
import { HashMap } from "./hash.ts";
import type { BpfMap } from "./map.ts";
import { ProgArrayMap } from "./prog-array.ts";
import { SockHash, SockMap } from "./sockets.ts";

type Make = (rt: Runtime, def: MapDef, id: number, own: boolean) => BpfMap;

const MAKERS: Readonly<Record<EmulatedMapType, Make>> = {
  array: (rt, def, id, own) => new ArrayMap(rt, def, id, own),
  percpu_array: (rt, def, id, own) => new ArrayMap(rt, def, id, own),
  hash: (rt, def, id, own) => new HashMap(rt, def, id, own),
  lru_hash: (rt, def, id, own) => new HashMap(rt, def, id, own),
  percpu_hash: (rt, def, id, own) => new HashMap(rt, def, id, own),
  prog_array: (rt, def, id) => new ProgArrayMap(rt, def, id),
  sockmap: (_rt, def, id) => new SockMap(def, id),
  sockhash: (rt, def, id) => new SockHash(rt, def, id),
};

/** @throws OutOfMemory; the definition is one mapProblem() has nothing against */
export function makeMap(rt: Runtime, def: MapDef, id: number, own = false): BpfMap {
  if (!isEmulated(def.type)) throw new TypeError(`no map of type ${def.type} can be made`);
  return MAKERS[def.type](rt, def, id, own);
}
