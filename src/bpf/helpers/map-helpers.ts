/** Map look-up, update, delete: the program's handle to the map's own operation. */
import { ProgramFault } from "../fault.ts";
import { type BpfMap, ERRNO } from "../maps/map.ts";
import type { Runtime } from "../runtime.ts";
import type { HelperTable } from "./implementation.ts";

export function mapOf(rt: Runtime, handle: number): BpfMap {
  const map = handle > 0 ? rt.maps[handle] : undefined;
  if (!map) throw new ProgramFault("helper", `${handle >>> 0} is not a map`);
  return map;
}

export const MAP_HELPERS = {
  map_lookup_elem: (rt, map, key) => mapOf(rt, map).lookup(key),
  map_update_elem: (rt, map, key, value, flags) => {
    const target = mapOf(rt, map);
    return target.def.readOnlyForPrograms ? -ERRNO.EPERM : target.update(key, value, flags);
  },
  map_delete_elem: (rt, map, key) => {
    const target = mapOf(rt, map);
    return target.def.readOnlyForPrograms ? -ERRNO.EPERM : target.delete(key);
  },
} satisfies Partial<HelperTable>;
