/** Which helper takes which type of map, as Linux has it: a table from either side. */
import { LINUX_MAP_TYPES, type MapDef, type MapTypeName } from "../program.ts";
import type { VerifierHelper } from "./linux-helpers.ts";
import type { Walk } from "./walk.ts";

const QUEUES = ["queue", "stack"] as const;
const PUSHED = [...QUEUES, "bloom_filter"] as const;

/** Helpers made for one family of maps; and maps that only some helpers may touch. */
const MAPS_OF_HELPER: Readonly<Record<string, readonly MapTypeName[]>> = {
  tail_call: ["prog_array"],
  sk_redirect_map: ["sockmap"],
  sk_redirect_hash: ["sockhash"],
  map_lookup_percpu_elem: ["percpu_array", "percpu_hash", "lru_percpu_hash"],
  perf_event_read: ["perf_event_array"],
  perf_event_output: ["perf_event_array"],
  perf_event_read_value: ["perf_event_array"],
  skb_under_cgroup: ["cgroup_array"],
  current_task_under_cgroup: ["cgroup_array"],
  redirect_map: ["devmap", "devmap_hash", "cpumap", "xskmap"],
  map_push_elem: PUSHED,
  map_pop_elem: QUEUES,
  map_peek_elem: PUSHED,
  ringbuf_output: ["ringbuf"],
  ringbuf_reserve: ["ringbuf"],
  ringbuf_query: ["ringbuf"],
  for_each_map_elem: ["hash", "array", "percpu_hash", "percpu_array", "lru_hash", "lru_percpu_hash"],
};
const HELPERS_OF_MAP: Readonly<Partial<Record<MapTypeName, readonly string[]>>> = {
  prog_array: ["tail_call"],
  perf_event_array: ["perf_event_read", "perf_event_output", "perf_event_read_value"],
  stack_trace: ["get_stackid"],
  cgroup_array: ["skb_under_cgroup", "current_task_under_cgroup"],
  devmap: ["redirect_map", "map_lookup_elem"],
  devmap_hash: ["redirect_map", "map_lookup_elem"],
  cpumap: ["redirect_map"],
  xskmap: ["redirect_map", "map_lookup_elem"],
  array_of_maps: ["map_lookup_elem"],
  hash_of_maps: ["map_lookup_elem"],
  queue: ["map_push_elem", "map_pop_elem", "map_peek_elem"],
  stack: ["map_push_elem", "map_pop_elem", "map_peek_elem"],
  ringbuf: ["ringbuf_output", "ringbuf_reserve", "ringbuf_query"],
  bloom_filter: ["map_push_elem", "map_peek_elem"],
  sockmap: ["sk_redirect_map", "map_delete_elem", "map_lookup_elem", "map_update_elem"],
  sockhash: ["sk_redirect_hash", "map_delete_elem", "map_lookup_elem", "map_update_elem"],
};

/** Not for programs that run under the lock of the sockets in the map. */
const CHANGES_SOCKET_MAP = new Set(["map_update_elem", "map_delete_elem"]);

export function checkMapFits(w: Walk, helper: VerifierHelper, map: MapDef): void {
  if (helper.name === "map_update_elem" || helper.name === "map_delete_elem") {
    const isKernels = map.type === "devmap" || map.type === "devmap_hash";
    if (map.readOnlyForPrograms || isKernels) w.reject("map-access", "write into map forbidden");
  }
  if (helper.name === "for_each_map_elem" && !MAPS_OF_HELPER.for_each_map_elem?.includes(map.type)) {
    w.reject("map-helper-mismatch", "callback function not allowed for map");
  }
  if (helper.name === "tail_call" && map.type !== "prog_array") {
    w.reject("map-helper-mismatch", "expected prog array map for tail call");
  }
  const helperWants = MAPS_OF_HELPER[helper.name];
  const mapWants = HELPERS_OF_MAP[map.type];
  const isSocketMap = map.type === "sockmap" || map.type === "sockhash";
  const fits =
    (!helperWants || helperWants.includes(map.type)) &&
    (!mapWants || mapWants.includes(helper.name)) &&
    !(isSocketMap && CHANGES_SOCKET_MAP.has(helper.name) && w.program.type === "sk_skb");
  if (!fits) {
    const typeId = LINUX_MAP_TYPES.find((row) => row.name === map.type)?.id;
    w.reject(
      "map-helper-mismatch",
      `cannot pass map_type ${typeId} into func bpf_${helper.name}#${helper.id}`,
    );
  }
}
