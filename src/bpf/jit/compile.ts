/**
 * The JIT: eBPF to WebAssembly. One wasm function per program and per subprogram, r0..r10 as i64 locals,
 * control flow rebuilt from the dominator tree, the machine's one linear memory imported. A program's
 * pointer is an i64 that holds a 32-bit offset, so a load is a wrap and a wasm load.
 *
 * Unchecked code is for verified programs: what could go wrong at run time is then wasm's own trap, which
 * the kernel reports as a fault. Checked code asks before each access, and counts against a budget.
 * Compiling is deterministic: equal input gives equal bytes. docs/jit.md tells more.
 */
import { type CompileInput, DEFAULT_BUDGET, type Executable } from "../engine.ts";
import { STACK_BYTES } from "../isa.ts";
import { LoadError } from "../load-error.ts";
import { PAGE_BYTES } from "../memory.ts";
import { STATE } from "../runtime.ts";
import { FUNCTION_TYPE_INDEX, TAIL_TABLE_INDEX } from "./calls.ts";
import { emitFunction } from "./emit.ts";
import { type CodeOptions, FUNCTION_TYPE, FunctionCode, LOCAL_TYPES } from "./function-code.ts";
import { type FunctionImport, Imports } from "./imports.ts";
import { Code, encodeModule, type FunctionBody, type FunctionType } from "./wasm.ts";

export type JitOptions = Partial<CodeOptions>;
export type Compiled = {
  readonly wasm: Uint8Array<ArrayBuffer>;
  readonly imports: readonly FunctionImport[];
};

/** @throws LoadError when the host cannot take the module (a function of more than some 7 MB) */
export function compileProgram(input: CompileInput, options: JitOptions = {}): Executable {
  const { wasm, imports } = emitModule(input, options);
  const env: Record<string, WebAssembly.ImportValue> = {
    memory: input.rt.memory.memory,
    table: input.rt.tailTable,
  };
  for (const { name, call } of imports) env[name] = call;
  try {
    const instance = new WebAssembly.Instance(new WebAssembly.Module(wasm), { env });
    return new JitProgram(input, instance.exports as unknown as Exports);
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) throw error;
    throw new LoadError("ENGINE", `the JIT cannot compile this program: ${error.message}`, "", error);
  }
}

type Exports = {
  run(ctx: number): number;
  run64(r1: bigint, r2: bigint): bigint;
  entry(): unknown;
};

class JitProgram implements Executable {
  readonly engine = "jit";
  readonly tailEntry: () => unknown;
  instructions = 0;
  readonly #exports: Exports;
  readonly #run: Exports["run"];
  readonly #input: CompileInput;
  readonly #counter: number;

  constructor(input: CompileInput, exports: Exports) {
    this.#input = input;
    this.#exports = exports;
    this.#run = exports.run;
    this.tailEntry = exports.entry;
    this.#counter = (input.rt.stateAddress + STATE.instructions) >> 2;
  }

  run(ctxAddress: number): number {
    const { memory } = this.#input.rt;
    memory.words[this.#counter] = 0;
    const result = this.#run(ctxAddress);
    this.instructions += memory.words[this.#counter]! >>> 0;
    return result;
  }

  run64(r1: bigint, r2: bigint): bigint {
    const { memory } = this.#input.rt;
    memory.words[this.#counter] = 0;
    const result = this.#exports.run64(r1, r2);
    this.instructions += memory.words[this.#counter]! >>> 0;
    return BigInt.asUintN(64, result);
  }
}

/** The module's bytes, and what they import in order. */
export function emitModule(input: CompileInput, options: JitOptions = {}): Compiled {
  const imports = new Imports(input);
  const full: CodeOptions = {
    counts: options.counts ?? true,
    tailCalls: options.tailCalls ?? hasTailCalls(),
    budget: options.budget ?? DEFAULT_BUDGET,
  };
  const bodies = input.functions.map((start, i) =>
    emitFunction(new FunctionCode(input, imports, full), start, input.functions[i + 1] ?? input.slots.length),
  );

  const types: FunctionType[] = [FUNCTION_TYPE, RUN_TYPE, RUN64_TYPE];
  const functionImports = imports.list.map(({ name, type }) => ({ name, type: typeIndex(types, type) }));
  const firstFunction = functionImports.length;
  const functions: FunctionBody[] = bodies.map((code) => {
    for (const { at, entry } of code.functionRefs) {
      patchIndex(code.bytes, at, firstFunction + input.functions.indexOf(entry));
    }
    return {
      type: FUNCTION_TYPE_INDEX,
      locals: code.hasRounds ? [...LOCAL_TYPES, "i32"] : LOCAL_TYPES,
      code: code.bytes,
    };
  });
  const run = firstFunction + functions.length;
  functions.push(emitRun(input, firstFunction), emitRun64(input, firstFunction));
  const wasm = encodeModule({
    types,
    functionImports,
    memory: { min: 1, max: MAX_PAGES, shared: input.rt.memory.isShared },
    table: true,
    functions,
    exports: [
      { name: "entry", func: firstFunction },
      { name: "run", func: run },
      { name: "run64", func: run + 1 },
    ],
  });
  return { wasm, imports: imports.list };
}

const MAX_PAGES = 2 ** 32 / PAGE_BYTES;
/** Numbers in and out, so that the host's call boxes no bigint. */
const RUN_TYPE: FunctionType = { params: ["i32"], results: ["i32"] };
const RUN64_TYPE: FunctionType = { params: ["i64", "i64"], results: ["i64"] };

function typeIndex(types: FunctionType[], type: FunctionType): number {
  const text = JSON.stringify(type);
  const known = types.findIndex((t) => JSON.stringify(t) === text);
  return known >= 0 ? known : types.push(type) - 1;
}

/** Fills in a five-byte LEB128. */
function patchIndex(bytes: number[], at: number, index: number): void {
  for (let i = 0; i < 4; i++) bytes[at + i] = ((index >>> (7 * i)) & 0x7f) | 0x80;
  bytes[at + 4] = index >>> 28;
}

function emitRun(input: CompileInput, entry: number): FunctionBody {
  const code = new Code().op("local.get", 0).op("i64.extend_i32_u");
  for (let i = 1; i < 5; i++) code.op("i64.const", 0n);
  code
    .op("i32.const", input.rt.stackTop - STACK_BYTES)
    .op("call", entry)
    .op("i32.wrap_i64")
    .op("end");
  return { type: 1, locals: [], code: code.bytes };
}

function emitRun64(input: CompileInput, entry: number): FunctionBody {
  const code = new Code().op("local.get", 0).op("local.get", 1);
  for (let i = 2; i < 5; i++) code.op("i64.const", 0n);
  code
    .op("i32.const", input.rt.stackTop - STACK_BYTES)
    .op("call", entry)
    .op("end");
  return { type: 2, locals: [], code: code.bytes };
}

/** Asked once, by a module of one function that tail-calls through an empty table. */
let tailCallsKnown: boolean | null = null;
function hasTailCalls(): boolean {
  tailCallsKnown ??= WebAssembly.validate(
    encodeModule({
      types: [{ params: [], results: [] }],
      functionImports: [],
      memory: { min: 1, max: 1 },
      table: true,
      functions: [
        {
          type: 0,
          locals: [],
          code: new Code().op("i32.const", 0).op("return_call_indirect", 0, TAIL_TABLE_INDEX).op("end").bytes,
        },
      ],
      exports: [],
    }),
  );
  return tailCallsKnown;
}
