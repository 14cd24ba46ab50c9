/**
 * The emulated kernel as the hot tier uses it: every object loaded here shares the maps named in
 * SHARED_MAPS and its policy's (as pinning by name does on Linux), these get the configured number of entries,
 * and userspace gets its hand in them (HotTier). Maps of other names belong to their object alone.
 */
import type { EngineName } from "../../bpf/executable.ts";
import { Kernel, type LoadedProgram } from "../../bpf/kernel.ts";
import { LoadError } from "../../bpf/load-error.ts";
import type { HashMap } from "../../bpf/maps/hash.ts";
import type { ArrayLike, BpfMap } from "../../bpf/maps/map.ts";
import type { MapDef, Program, ProgramObject } from "../../bpf/program.ts";
import type { SharedMachine } from "../../bpf/runtime.ts";
import type { Verdict } from "../../bpf/verifier/verify.ts";
import { ArrayPlacement } from "./array-placement.ts";
import { type FillRace, HotTier } from "./hot-tier.ts";
import { LruPlacement } from "./lru-placement.ts";
import type { Placement } from "./placement.ts";
import { type HotPolicy, LRU_SLOTS_PER_ENTRY, POLICY_TABLE, policyOfMap, roundedEntries } from "./policy.ts";
import { SharedEntries } from "./shared-entries.ts";

const SHARED_MAPS: readonly string[] = [
  "hot_config",
  "stats",
  "run_info",
  "http_date",
  // What writes leave behind for fills, whichever memcached program saw them.
  "mc_expiry",
  "mc_written",
  "mc_control",
];
/** Written by each worker's userspace whenever it likes, so each has its own. */
const WORKERS_OWN: readonly string[] = ["http_date", "mc_stream"];

/** One slot of a program array, as a user names it: MAP[INDEX]=PROGRAM. */
export type TailCall = { readonly map: string; readonly index: number; readonly program: string };
/** Verdicts reached elsewhere, over programs whose maps `bindShared` has bound already. */
export type Verdicts = ReadonlyMap<Program, Verdict>;
type Slot = { readonly def: MapDef; readonly index: number; readonly program: string };

/** One of several workers over one memory, and how many there are. */
export type SharedCpu = SharedMachine & { readonly cpus: number };

export type HotMachineOptions = {
  readonly entries: number;
  readonly engine: EngineName;
  /** Default: direct. */
  readonly policy?: HotPolicy;
  readonly fillRace?: FillRace;
  /** Monotonic nanoseconds: bpf_ktime_get_ns and the entries' expiry. Of several workers, the same in all. */
  readonly clockNs?: () => bigint;
  readonly shared?: SharedCpu;
  /** Told to the memcached programs before any runs. */
  readonly memcachedPort?: number;
  /** Programs that another machine of this process has verified, as its `proved` lists them. */
  readonly proved?: readonly string[];
};

export class HotMachine {
  readonly kernel: Kernel;
  readonly hot: HotTier;
  readonly policy: HotPolicy;
  readonly engine: EngineName;
  readonly programs: LoadedProgram[] = [];
  /** Every verified program, whole: a second of verifying each that other workers need not spend. */
  readonly proved: Set<string>;
  readonly #entries: number;
  #memcachedPort = 0;
  readonly #shared = new Map<string, MapDef>();
  readonly #objects = new WeakMap<ProgramObject, Map<string, LoadedProgram>>();

  /** @throws LoadError when the hot map does not fit */
  constructor(options: HotMachineOptions) {
    this.policy = options.policy ?? "direct";
    this.#entries = roundedEntries(this.policy, options.entries);
    this.engine = options.engine;
    this.#memcachedPort = options.memcachedPort ?? 0;
    this.proved = new Set(options.proved);
    const { shared, clockNs } = options;
    if (shared && this.policy !== "direct") {
      throw new LoadError(
        "BAD_MAP",
        `policy ${this.policy} cannot be shared by several workers, whose userspace takes one lock a slot. Use direct, or one worker`,
      );
    }
    this.kernel = new Kernel({ ...(clockNs && { clockNs }), ...(shared && { shared, cpus: shared.cpus }) });
    const placement = this.#place();
    const { memory } = this.kernel.rt;
    const others = shared ? new SharedEntries(this.kernel, this.#entries, shared.cpu) : null;
    this.hot = new HotTier(placement, memory, this.kernel.rt.clockNs, options.fillRace, others);
  }

  /** Loads one program of an object. @throws LoadError */
  load(program: Program, verdicts?: Verdicts): LoadedProgram {
    this.#requirePolicy(program);
    const maps = program.maps.map((def) => this.#bind(def));
    const bound = { ...program, maps };
    const proof = fingerprint(bound);
    const verdict = verdicts?.get(program);
    const loaded = this.kernel.load(bound, {
      engine: this.engine,
      proved: this.proved.has(proof),
      ...(verdict && { verdict }),
    });
    this.proved.add(proof);
    this.programs.push(loaded);
    this.#writeConfig();
    return loaded;
  }

  /** Definitions that objects share by name, as they are now. */
  get sharedMaps(): readonly MapDef[] {
    return [...this.#shared.values()];
  }

  unload(loaded: LoadedProgram): void {
    this.kernel.unload(loaded);
    const at = this.programs.indexOf(loaded);
    if (at >= 0) this.programs.splice(at, 1);
  }

  /**
   * Loads a program of an object with all that it can tail-call, and fills the program arrays: with what the
   * object says, then with `tailCalls`. Programs already loaded from the object are not loaded again.
   * @throws LoadError
   */
  loadWithTailCalls(
    object: ProgramObject,
    name: string,
    tailCalls: readonly TailCall[] = [],
    verdicts?: Verdicts,
  ): LoadedProgram {
    const loaded = this.#loadedOf(object);
    const wanted = [name];
    for (let next = wanted.shift(); next !== undefined; next = wanted.shift()) {
      const program = object.programs.find((candidate) => candidate.name === next);
      if (program === undefined) {
        const has = object.programs.map((candidate) => candidate.name).join(", ") || "none";
        throw new LoadError("BAD_BYTECODE", `the object has no program '${next}'; it has: ${has}`);
      }
      if (!loaded.has(next)) loaded.set(next, this.load(program, verdicts));
      for (const slot of slotsOf(program, tailCalls))
        if (!loaded.has(slot.program)) wanted.push(slot.program);
    }
    for (const program of object.programs) {
      if (loaded.has(program.name)) for (const slot of slotsOf(program, tailCalls)) this.#fill(slot, loaded);
    }
    return loaded.get(name) as LoadedProgram;
  }

  /** A map of a loaded object by name, or null. */
  map(name: string, object?: ProgramObject): BpfMap | null {
    const def = this.#shared.get(name) ?? object?.maps.find((candidate) => candidate.name === name);
    if (def === undefined) return null;
    for (const map of this.kernel.maps) if (map.def === def) return map;
    return null;
  }

  #place(): Placement {
    const { entryMap, slotMap, ways } = POLICY_TABLE[this.policy];
    const { memory } = this.kernel.rt;
    const map = this.kernel.createMap(this.#share({ ...entryMap, maxEntries: this.#entries }));
    if (slotMap === null) return new ArrayPlacement(map as ArrayLike, memory, ways);
    const slots = LRU_SLOTS_PER_ENTRY * this.#entries;
    const guards = this.kernel.createMap(this.#share({ ...slotMap, maxEntries: slots }));
    return new LruPlacement(map as HashMap, guards as ArrayLike, memory);
  }

  /** A program built for another policy would serve entries that no write reaches. */
  #requirePolicy(program: Program): void {
    for (const { name, valueBytes } of program.maps) {
      const policy = policyOfMap(name);
      if (
        policy === null ||
        policy === this.policy ||
        valueBytes !== POLICY_TABLE[policy].entryMap.valueBytes
      )
        continue;
      const { flag } = POLICY_TABLE[this.policy];
      throw new LoadError(
        "BAD_MAP",
        `program '${program.name}' keeps its entries in '${name}', which is policy ${policy}; this hot tier is ${this.policy}. Build it with ${flag}, or serve with --hot-policy ${policy}`,
      );
    }
  }

  #loadedOf(object: ProgramObject): Map<string, LoadedProgram> {
    const known = this.#objects.get(object) ?? new Map<string, LoadedProgram>();
    this.#objects.set(object, known);
    return known;
  }

  #fill({ def, index, program }: Slot, loaded: ReadonlyMap<string, LoadedProgram>): void {
    const target = loaded.get(program);
    if (target === undefined) return;
    const errno = this.kernel.createMap(this.#bind(def)).set(u32Bytes(index), u32Bytes(target.id));
    if (errno !== 0) {
      throw new LoadError("BAD_MAP", `map '${def.name}' refuses program '${program}' in slot ${index}`);
    }
  }

  #bind(def: MapDef): MapDef {
    if (SHARED_MAPS.includes(def.name) && !this.#shared.has(def.name)) this.#share(def);
    const bound = bindShared(def, this.sharedMaps);
    if (WORKERS_OWN.includes(bound.name)) this.kernel.createMap(bound, true);
    return bound;
  }

  #share(def: MapDef): MapDef {
    this.#shared.set(def.name, def);
    if (WORKERS_OWN.includes(def.name)) this.kernel.createMap(def, true);
    return def;
  }

  /** Tells the memcached programs which port is theirs (hot_map.h, hot_config). */
  set memcachedPort(port: number) {
    this.#memcachedPort = port;
    this.#writeConfig();
  }

  /** Programs take the slot modulo `entries` (hot_map.h, hot_slot). */
  #writeConfig(): void {
    const config = this.map("hot_config");
    if (config === null) return;
    const value = new Uint8Array(config.def.valueBytes);
    const view = new DataView(value.buffer);
    view.setUint32(0, this.#entries, true);
    view.setUint32(4, this.#memcachedPort, true);
    const key = new Uint8Array(config.def.keyBytes);
    // Other workers' programs may be reading it: what is right already is not written again.
    if (config.get(key)?.every((byte, i) => byte === value[i])) return;
    config.set(key, value);
  }
}

/** The shared map a definition stands for, or itself. */
export function bindShared(def: MapDef, shared: readonly MapDef[]): MapDef {
  const known = shared.find(({ name }) => name === def.name);
  if (known === undefined) return def;
  // Someone's own object may use the name for something else: then it is not ours to share.
  const same =
    known.type === def.type && known.keyBytes === def.keyBytes && known.valueBytes === def.valueBytes;
  return same ? known : def;
}

function slotsOf(program: Program, tailCalls: readonly TailCall[]): Slot[] {
  return program.maps
    .filter((def) => def.type === "prog_array")
    .flatMap((def) => [
      ...(def.initialPrograms ?? []).flatMap((name, index) =>
        name === null ? [] : [{ def, index, program: name }],
      ),
      ...tailCalls
        .filter(({ map }) => map === def.name)
        .map(({ index, program: name }) => ({ def, index, program: name })),
    ]);
}

/** All that a verdict depends on. */
function fingerprint({ type, attach, bytecode, maps, subprograms, license }: Program): string {
  const plain = maps.map((def) => ({ ...def, initialValue: Array.from(def.initialValue ?? []) }));
  return JSON.stringify([type, attach, license, subprograms, plain, Array.from(bytecode)]);
}

function u32Bytes(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}
