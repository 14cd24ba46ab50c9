/**
 * One emulated kernel: memory, maps, loaded programs, clock. The one place where verifier, JIT and
 * interpreter meet: a program is checked, verified, given its maps, compiled, and only then can run.
 * A fault at run time is a result: run() neither throws nor allocates on the hot path.
 */
import { decode } from "./codec.ts";
import { SK_ACTION, TC_ACTION, XDP_ACTION } from "./context.ts";
import { type CompileInput, type EngineName, type Executable, type Fault, faultOf } from "./engine.ts";
import { InterpretedProgram } from "./interpreter.ts";
import { compileProgram } from "./jit/compile.ts";
import { checkProgram } from "./load-checks.ts";
import { LoadError } from "./load-error.ts";
import { makeMap } from "./maps/create.ts";
import { mapProblem } from "./maps/define.ts";
import type { BpfMap } from "./maps/map.ts";
import { u32 } from "./maps/prog-array.ts";
import { LayoutMismatch, OutOfMemory } from "./memory.ts";
import { PacketBuffer, type PacketBufferOptions } from "./packet-buffer.ts";
import { isEmulated, type MapDef, type Program, type ProgramObject, type ProgramType } from "./program.ts";
import { Runtime, type RuntimeOptions } from "./runtime.ts";
import { explain } from "./verifier/explain.ts";
import { type Target, type Verdict, verify } from "./verifier/verify.ts";

export type KernelOptions = RuntimeOptions;

export type LoadOptions = {
  /** Default: jit. */
  readonly engine?: EngineName;
  /** Default: true. False is `--no-verify`: the program then runs with every access checked. */
  readonly verify?: boolean;
  /** Another kernel of this process has verified this very program over these very maps: not done again. */
  readonly proved?: boolean;
  /** Check every access at run time; default: only when not verified. */
  readonly checked?: boolean;
  /** Should compiled code count instructions for the cost model? Default: true. */
  readonly counts?: boolean;
  readonly target?: Target;
  /**
   * What verify() said of this very program with these very map definitions, where it was asked already: on
   * another thread, so that a long walk stops nobody here.
   */
  readonly verdict?: Verdict;
};

/** What run() answers for a program that faulted: the hook sees `fault`, detaches, and goes on without it. */
export const FAULT_VERDICT: Readonly<Record<ProgramType, number>> = {
  xdp: XDP_ACTION.aborted,
  tc: TC_ACTION.ok,
  sk_skb: SK_ACTION.pass,
  socket_filter: 0,
};

export interface LoadedProgram {
  readonly program: Program;
  readonly type: ProgramType;
  readonly engine: EngineName;
  readonly verified: boolean;
  /** Unique in its kernel, > 0: the value a PROG_ARRAY slot takes. */
  readonly id: number;
  /** @returns r0 as a signed 32-bit number, or FAULT_VERDICT with `fault` set */
  run(ctxAddress: number): number;
  readonly stats: ProgramStats;
  /** Set by the first faulty run; from then on run() only answers FAULT_VERDICT. */
  readonly fault: Fault | null;
}

export type ProgramStats = { readonly runs: number; readonly instructions: number };

function namesIn(def: MapDef): string[] {
  return (def.initialPrograms ?? []).filter((name) => name !== null);
}

type Engine = (input: CompileInput, counts: boolean) => Executable;
const ENGINES: Readonly<Record<EngineName, Engine>> = {
  jit: (input, counts) => compileProgram(input, { counts }),
  interpreter: (input) => new InterpretedProgram(input),
};

export class Kernel {
  readonly rt: Runtime;
  readonly #maps = new Map<MapDef, BpfMap>();
  #nextProgramId = 1;

  constructor(options: KernelOptions = {}) {
    this.rt = new Runtime(options);
  }

  get maps(): Iterable<BpfMap> {
    return this.#maps.values();
  }

  /**
   * The map of this definition, made on first sight: programs of one object share it.
   * @param own in a memory shared with other kernels: of this kernel alone, where else all have it in common
   */
  createMap(def: MapDef, own = false): BpfMap {
    const known = this.#maps.get(def);
    if (known) return known;
    if (!isEmulated(def.type)) {
      throw new LoadError(
        "BAD_MAP",
        `map '${def.name}' (${def.type}): this machine has no map of this type; verify judges it, run does not`,
      );
    }
    const problem = mapProblem(def);
    if (problem) throw new LoadError("BAD_MAP", problem.message);
    try {
      const map = makeMap(this.rt, def, this.rt.maps.length, own);
      this.rt.maps.push(map);
      this.#maps.set(def, map);
      return map;
    } catch (error) {
      if (error instanceof OutOfMemory) throw new LoadError("OUT_OF_MEMORY", error.message, "", error);
      if (error instanceof LayoutMismatch) throw new LoadError("BAD_MAP", error.message, "", error);
      // What V8 says to a typed array or a wasm table that is too long.
      if (!(error instanceof RangeError)) throw error;
      throw new LoadError(
        "OUT_OF_MEMORY",
        `map '${def.name}' with ${def.maxEntries} entries is larger than this process can hold. Lower max_entries.`,
        "",
        error,
      );
    }
  }

  createPacketBuffer(type: ProgramType, options: PacketBufferOptions = {}): PacketBuffer {
    return new PacketBuffer(this.rt, type, options);
  }

  /** @throws LoadError */
  load(program: Program, options: LoadOptions = {}): LoadedProgram {
    // First of all: its helpers are not here either, and the map is the reason.
    const foreign = program.maps.find((def) => !isEmulated(def.type));
    if (foreign) this.createMap(foreign);
    const decoded = decode(program.bytecode);
    if (!decoded.ok) {
      throw new LoadError(
        "BAD_BYTECODE",
        `program '${program.name}': insn ${decoded.error.insn}: ${decoded.error.message}`,
      );
    }
    const verified = options.verify ?? true;
    const checked = checkProgram(decoded.slots, program.maps.length, verified);
    if (!checked.ok) {
      throw new LoadError(
        "BAD_BYTECODE",
        `program '${program.name}': insn ${checked.insn}: ${checked.message}`,
      );
    }
    if (verified && options.proved !== true) {
      const verdict = options.verdict ?? verify(program, { target: options.target ?? "linux" });
      if (!verdict.accepted) {
        // The log costs time that only a refused program should pay.
        const { log } = verify(program, { target: options.target ?? "linux", logLevel: 1 });
        throw new LoadError("REJECTED", explain(verdict).join("\n"), log.join("\n"));
      }
    }
    const maps = program.maps.map((def) => this.createMap(def));
    const engine = options.engine ?? "jit";
    const input: CompileInput = {
      slots: decoded.slots,
      functions: checked.functions,
      maps,
      rt: this.rt,
      checked: options.checked ?? !verified,
    };
    const loaded = new Loaded(
      this.rt,
      program,
      this.#nextProgramId++,
      verified,
      ENGINES[engine](input, options.counts ?? true),
    );
    this.rt.programs.set(loaded.id, loaded);
    return loaded;
  }

  /** Nobody runs it any more, but for program arrays that hold it still. Its maps stay: memory is never given back. */
  unload(loaded: LoadedProgram): void {
    this.rt.programs.delete(loaded.id);
  }

  /**
   * Loads programs of an object by name, with those its program arrays start with, and fills these arrays.
   * @returns all of them by name @throws LoadError
   */
  loadObject(
    object: ProgramObject,
    names: readonly string[],
    options: LoadOptions = {},
  ): Map<string, LoadedProgram> {
    const loaded = new Map<string, LoadedProgram>();
    const wanted = [...names];
    for (let name = wanted.shift(); name !== undefined; name = wanted.shift()) {
      if (loaded.has(name)) continue;
      const program = object.programs.find((candidate) => candidate.name === name);
      if (!program) throw new LoadError("BAD_BYTECODE", `the object has no program '${name}'`);
      loaded.set(name, this.load(program, options));
      for (const def of program.maps) wanted.push(...namesIn(def));
    }
    const defs = new Set([...loaded.values()].flatMap(({ program }) => program.maps));
    for (const def of defs) this.#fillProgramArray(def, loaded);
    return loaded;
  }

  #fillProgramArray(def: MapDef, loaded: ReadonlyMap<string, LoadedProgram>): void {
    def.initialPrograms?.forEach((name, index) => {
      const target = name === null ? undefined : loaded.get(name);
      if (!target) return;
      const errno = this.createMap(def).set(u32(index), u32(target.id));
      if (errno !== 0) {
        throw new LoadError("BAD_MAP", `map '${def.name}' refuses program '${name}' (errno ${-errno})`);
      }
    });
  }
}

class Loaded implements LoadedProgram {
  readonly program: Program;
  readonly type: ProgramType;
  readonly engine: EngineName;
  readonly verified: boolean;
  readonly id: number;
  fault: Fault | null = null;
  runs = 0;
  readonly #rt: Runtime;
  readonly executable: Executable;

  constructor(rt: Runtime, program: Program, id: number, verified: boolean, executable: Executable) {
    this.#rt = rt;
    this.verified = verified;
    this.program = program;
    this.type = program.type;
    this.id = id;
    this.engine = executable.engine;
    this.executable = executable;
  }

  get stats(): ProgramStats {
    return { runs: this.runs, instructions: this.executable.instructions };
  }

  run(ctxAddress: number): number {
    if (this.fault) return FAULT_VERDICT[this.type];
    const rt = this.#rt;
    rt.begin(this.type);
    this.runs++;
    try {
      return this.executable.run(ctxAddress);
    } catch (error) {
      this.fault = faultOf(error);
      rt.dropLock();
      return FAULT_VERDICT[this.type];
    } finally {
      rt.end();
    }
  }
}
