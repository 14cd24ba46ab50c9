/**
 * The emulated kernel as the hot tier uses it: every object loaded here shares the maps named in
 * SHARED_MAPS (as pinning by name does on Linux), the hot map gets the configured number of entries, and
 * userspace gets its hand in it (HotTier). Maps of other names belong to their object alone.
 */
import type { EngineName } from "../../bpf/executable.ts";
import { Kernel, type LoadedProgram } from "../../bpf/kernel.ts";
import type { ArrayLike, BpfMap } from "../../bpf/maps/map.ts";
import type { MapDef, Program, ProgramObject } from "../../bpf/program.ts";
import { type FillRace, HotTier } from "./hot-tier.ts";
import { HOT_ENTRY_BYTES } from "./layout.ts";

const SHARED_MAPS: readonly string[] = ["hot_map", "hot_config", "stats", "run_info", "http_date"];
const HOT_MAP = "hot_map";

export type HotMachineOptions = {
  readonly entries: number;
  readonly engine: EngineName;
  readonly fillRace?: FillRace;
  /** Monotonic nanoseconds: bpf_ktime_get_ns and the entries' expiry. */
  readonly clockNs?: () => bigint;
};

export class HotMachine {
  readonly kernel: Kernel;
  readonly hot: HotTier;
  readonly engine: EngineName;
  readonly programs: LoadedProgram[] = [];
  readonly #entries: number;
  readonly #shared = new Map<string, MapDef>();

  /** @throws LoadError when the hot map does not fit */
  constructor(options: HotMachineOptions) {
    this.#entries = options.entries;
    this.engine = options.engine;
    this.kernel = new Kernel({
      ...(options.clockNs && { clockNs: options.clockNs }),
    });
    const map = this.kernel.createMap(this.#bind(HOT_MAP_DEF)) as ArrayLike;
    this.hot = new HotTier(map, this.kernel.rt.memory, this.kernel.rt.clockNs, options.fillRace);
  }

  /** Loads one program of an object. @throws LoadError */
  load(program: Program): LoadedProgram {
    const maps = program.maps.map((def) => this.#bind(def));
    const loaded = this.kernel.load({ ...program, maps }, { engine: this.engine });
    this.programs.push(loaded);
    this.#writeConfig();
    return loaded;
  }

  /** A map of a loaded object by name, or null. */
  map(name: string, object?: ProgramObject): BpfMap | null {
    const def = this.#shared.get(name) ?? object?.maps.find((candidate) => candidate.name === name);
    if (def === undefined) return null;
    for (const map of this.kernel.maps) if (map.def === def) return map;
    return null;
  }

  #bind(def: MapDef): MapDef {
    if (!SHARED_MAPS.includes(def.name)) return def;
    const known = this.#shared.get(def.name);
    if (known === undefined) {
      const bound = def.name === HOT_MAP ? { ...def, maxEntries: this.#entries } : def;
      this.#shared.set(def.name, bound);
      return bound;
    }
    // Someone's own object may use the name for something else: then it is not ours to share.
    const same =
      known.type === def.type && known.keyBytes === def.keyBytes && known.valueBytes === def.valueBytes;
    return same ? known : def;
  }

  /** Programs take the slot modulo this number (hot_map.h, hot_slot). */
  #writeConfig(): void {
    const config = this.map("hot_config");
    if (config === null) return;
    const value = new Uint8Array(config.def.valueBytes);
    new DataView(value.buffer).setUint32(0, this.#entries, true);
    config.set(new Uint8Array(config.def.keyBytes), value);
  }
}

/** As src/programs/hot_map.h declares it. */
const HOT_MAP_DEF: MapDef = {
  name: HOT_MAP,
  type: "array",
  keyBytes: 4,
  valueBytes: HOT_ENTRY_BYTES,
  maxEntries: 16_384,
  flags: 0,
  spinLockOffset: 0,
};
