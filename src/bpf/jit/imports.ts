/**
 * What a compiled program calls outside wasm: helpers, and in checked mode the memory guard. Each import
 * is made when the emitter first asks for it, so that a module imports only what it uses.
 */
import type { CompileInput } from "../engine.ts";
import { type FaultKind, ProgramFault } from "../fault.ts";
import { type BoundHelper, bindHelper } from "../helpers/bind.ts";
import type { KfuncRow } from "../helpers/kfuncs.ts";
import { bindKfunc } from "../helpers/number-iterator.ts";
import { type HelperRow, helperById, parameterWires } from "../helpers/signatures.ts";
import { STACK_BYTES } from "../isa.ts";
import type { BpfMap } from "../maps/map.ts";
import { ProgArrayMap } from "../maps/prog-array.ts";
import { MemoryGuard } from "../memory-guard.ts";
import type { FunctionType, ValueType } from "./wasm.ts";

type HostFunction = (...args: never[]) => unknown;
export type FunctionImport = {
  readonly name: string;
  readonly type: FunctionType;
  readonly call: HostFunction;
};

const FAULTS = {
  budget: "the program ran its whole budget of instructions without an end",
  frames: "the call stack is too deep",
  call: "the register does not hold the address of a function",
} as const satisfies Partial<Record<FaultKind, string>>;
const FAULT_KINDS = Object.keys(FAULTS) as (keyof typeof FAULTS)[];

const NOTHING = { params: [], results: [] } as const;

export class Imports {
  readonly list: FunctionImport[] = [];
  readonly #input: CompileInput;
  readonly #indexByName = new Map<string, number>();
  #guard: MemoryGuard | null = null;

  constructor(input: CompileInput) {
    this.#input = input;
  }

  /** A helper in its wire types; the result is one i32 or i64, none for a void helper. */
  helper(row: HelperRow): number {
    const bound = bindHelper(this.#input.rt, row.id);
    return this.#add(row.name, helperType(row), bound ?? missing(row));
  }

  /** A map helper bound to its map, without the map's handle as first parameter. */
  mapHelper(row: HelperRow, map: BpfMap): number | null {
    const bind = BOUND_TO_MAP[row.name];
    if (!bind || map.def.readOnlyForPrograms === true) return null;
    const { params, results } = helperType(row);
    return this.#add(
      `${row.name}.${map.def.name}.${map.id}`,
      { params: params.slice(1), results },
      bind(map),
    );
  }

  /**
   * Any helper of an unverified program: whole registers in, whole r0 out, arguments checked first.
   * @param row null: the id comes from a register, as a first parameter
   */
  checkedHelper(row: HelperRow | null): number {
    const call = (id: number, args: bigint[], slot: number, frame: number): bigint => {
      const called = helperById(id);
      const bound = called && bindHelper(this.#input.rt, called.id);
      if (!called || !bound) throw new ProgramFault("call", `helper #${id} cannot be called here`, slot);
      this.#guardAt(frame).checkArguments(called, BigUint64Array.from([0n, ...args]), slot);
      const wires = parameterWires(called);
      const result = bound(
        ...wires.map((wire, i) => (wire === "i64" ? args[i]! : Number(BigInt.asIntN(32, args[i]!)))),
      );
      const value = BigInt(result ?? 0);
      return called.wire === "u32" ? BigInt.asUintN(32, value) : value;
    };
    const arity: ValueType[] = ["i64", "i64", "i64", "i64", "i64", "i32", "i32"];
    if (row) {
      const { id } = row;
      return this.#add(
        `checked.${row.name}`,
        { params: arity, results: ["i64"] },
        (r1: bigint, r2: bigint, r3: bigint, r4: bigint, r5: bigint, slot: number, frame: number) =>
          call(id, [r1, r2, r3, r4, r5], slot, frame),
      );
    }
    return this.#add(
      "checked",
      { params: ["i64", ...arity], results: ["i64"] },
      (id: bigint, r1: bigint, r2: bigint, r3: bigint, r4: bigint, r5: bigint, slot: number, frame: number) =>
        call(Number(BigInt.asIntN(53, id)), [r1, r2, r3, r4, r5], slot, frame),
    );
  }

  /** A kernel function: r1..r3 as i32, then, where arguments are checked first, slot and frame. */
  kfunc(row: KfuncRow, isChecked: boolean): number {
    const call = bindKfunc(this.#input.rt, row.id)!;
    const results: ValueType[] = row.ret === "void" ? [] : ["i32"];
    const params = row.args.map((): ValueType => "i32");
    if (!isChecked) return this.#add(row.name, { params, results }, call);
    const arity: ValueType[] = ["i64", "i64", "i64", "i32", "i32"];
    return this.#add(
      `checked.${row.name}`,
      { params: arity, results },
      (r1: bigint, r2: bigint, r3: bigint, slot: number, frame: number) => {
        this.#guardAt(frame).checkKfuncArguments(row, BigUint64Array.from([0n, r1, r2, r3]), slot);
        return call(...[r1, r2, r3].map((r) => Number(BigInt.asIntN(32, r))));
      },
    );
  }

  /** (map handle, slot) -> first slot of its stretch of the tail table, and its length: (i64, i32) -> i32 */
  tailBase(): number {
    return this.#add(
      "tail_base",
      { params: ["i64", "i32"], results: ["i32"] },
      (handle: bigint, slot: number) => this.#progArray(handle, slot).tailBase,
    );
  }

  tailCount(): number {
    return this.#add(
      "tail_count",
      { params: ["i64", "i32"], results: ["i32"] },
      (handle: bigint, slot: number) => this.#progArray(handle, slot).def.maxEntries,
    );
  }

  /** (low, high, bytes, slot, frame): throws unless the program may touch these bytes. */
  guard(access: "read" | "write"): number {
    return this.#add(
      `guard.${access}`,
      { params: ["i32", "i32", "i32", "i32", "i32"], results: [] },
      (low: number, high: number, bytes: number, slot: number, frame: number) => {
        this.#guardAt(frame)[access]((high >>> 0) * 2 ** 32 + (low >>> 0), bytes, slot);
      },
    );
  }

  /** (fixed offset, index, bytes) -> address of the packet's bytes there, or 0 when it is shorter. */
  packetAt(): number {
    const { rt } = this.#input;
    return this.#add(
      "packet_at",
      { params: ["i32", "i32", "i32"], results: ["i32"] },
      (fixed: number, index: number, bytes: number) => {
        const { packet } = rt;
        const offset = fixed + index;
        if (!packet || offset < 0 || packet.data + offset + bytes > packet.dataEnd) return 0;
        return packet.data + offset;
      },
    );
  }

  /** (lock): takes a lock that spinning did not get. */
  contended(): number {
    const { rt } = this.#input;
    return this.#add("contended", { params: ["i32"], results: [] }, (lock: number) =>
      rt.locks?.wait(lock >>> 0),
    );
  }

  /** (faultCode, slot): throws. */
  fault(): number {
    return this.#add("fault", { params: ["i32", "i32"], results: [] }, (code: number, slot: number) => {
      const kind = FAULT_KINDS[code]!;
      throw new ProgramFault(kind, FAULTS[kind], slot);
    });
  }

  faultCode(kind: FaultKind): number {
    return (FAULT_KINDS as FaultKind[]).indexOf(kind);
  }

  #progArray(handle: bigint, slot: number): ProgArrayMap {
    const map = this.#guardAt(this.#input.rt.stackTop - STACK_BYTES).mapOf(BigInt.asUintN(64, handle), slot);
    if (map instanceof ProgArrayMap) return map;
    throw new ProgramFault("helper", `tail_call: map '${map.def.name}' is not a program array`, slot);
  }

  /** The guard, told how many frames are live. */
  #guardAt(frame: number): MemoryGuard {
    const { rt, maps } = this.#input;
    this.#guard ??= new MemoryGuard(rt, maps);
    this.#guard.frames = (rt.stackTop - frame) / STACK_BYTES;
    return this.#guard;
  }

  #add(name: string, type: FunctionType, call: HostFunction): number {
    const known = this.#indexByName.get(name);
    if (known !== undefined) return known;
    const index = this.list.length;
    this.list.push({ name, type, call });
    this.#indexByName.set(name, index);
    return index;
  }
}

/** One closure a map, with exactly the parameters wasm passes: called without an adapter. */
const BOUND_TO_MAP: Readonly<Record<string, (map: BpfMap) => HostFunction>> = {
  map_lookup_elem: (map) => (key: number) => map.lookup(key),
  map_update_elem: (map) => (key: number, value: number, flags: bigint) => map.update(key, value, flags),
  map_delete_elem: (map) => (key: number) => map.delete(key),
};

export function helperType(row: HelperRow): FunctionType {
  const params = parameterWires(row);
  if (row.ret === "void") return { ...NOTHING, params };
  return { params, results: [row.wire === "i64" ? "i64" : "i32"] };
}

function missing(row: HelperRow): BoundHelper {
  return () => {
    throw new ProgramFault("call", `helper ${row.name} has no implementation`);
  };
}
