/**
 * The WebAssembly binary format, as much of it as compiled programs need: opcodes as a table with the kind
 * of their operands, LEB128, one function body at a time, and a module's sections. Knows nothing of eBPF.
 * Operands follow the WebAssembly core specification, chapter 5 (binary format).
 */

export const VALUE_TYPES = { i32: 0x7f, i64: 0x7e } as const;
export type ValueType = keyof typeof VALUE_TYPES;

/** What follows an opcode byte. Blocks have no type of their own: `empty`. */
type OperandKind =
  | "none"
  | "index"
  | "memarg"
  | "atomic32"
  | "atomic64"
  | "i32"
  | "i64"
  | "empty"
  | "labels"
  | "indirect";

export const WASM_OPS = {
  unreachable: { code: 0x00, operand: "none" },
  block: { code: 0x02, operand: "empty" },
  loop: { code: 0x03, operand: "empty" },
  if: { code: 0x04, operand: "empty" },
  else: { code: 0x05, operand: "none" },
  end: { code: 0x0b, operand: "none" },
  br: { code: 0x0c, operand: "index" },
  br_if: { code: 0x0d, operand: "index" },
  br_table: { code: 0x0e, operand: "labels" },
  return: { code: 0x0f, operand: "none" },
  call: { code: 0x10, operand: "index" },
  call_indirect: { code: 0x11, operand: "indirect" },
  return_call_indirect: { code: 0x13, operand: "indirect" },
  "local.get": { code: 0x20, operand: "index" },
  "local.set": { code: 0x21, operand: "index" },
  "local.tee": { code: 0x22, operand: "index" },
  "table.get": { code: 0x25, operand: "index" },
  "i32.load": { code: 0x28, operand: "memarg" },
  "i64.load": { code: 0x29, operand: "memarg" },
  "i64.load8_s": { code: 0x30, operand: "memarg" },
  "i64.load8_u": { code: 0x31, operand: "memarg" },
  "i64.load16_s": { code: 0x32, operand: "memarg" },
  "i64.load16_u": { code: 0x33, operand: "memarg" },
  "i64.load32_s": { code: 0x34, operand: "memarg" },
  "i64.load32_u": { code: 0x35, operand: "memarg" },
  "i32.store": { code: 0x36, operand: "memarg" },
  "i64.store": { code: 0x37, operand: "memarg" },
  "i64.store8": { code: 0x3c, operand: "memarg" },
  "i64.store16": { code: 0x3d, operand: "memarg" },
  "i64.store32": { code: 0x3e, operand: "memarg" },
  "i32.const": { code: 0x41, operand: "i32" },
  "i64.const": { code: 0x42, operand: "i64" },
  "i32.eqz": { code: 0x45, operand: "none" },
  "i32.eq": { code: 0x46, operand: "none" },
  "i32.ne": { code: 0x47, operand: "none" },
  "i32.lt_s": { code: 0x48, operand: "none" },
  "i32.lt_u": { code: 0x49, operand: "none" },
  "i32.gt_s": { code: 0x4a, operand: "none" },
  "i32.gt_u": { code: 0x4b, operand: "none" },
  "i32.le_s": { code: 0x4c, operand: "none" },
  "i32.le_u": { code: 0x4d, operand: "none" },
  "i32.ge_s": { code: 0x4e, operand: "none" },
  "i32.ge_u": { code: 0x4f, operand: "none" },
  "i64.eqz": { code: 0x50, operand: "none" },
  "i64.eq": { code: 0x51, operand: "none" },
  "i64.ne": { code: 0x52, operand: "none" },
  "i64.lt_s": { code: 0x53, operand: "none" },
  "i64.lt_u": { code: 0x54, operand: "none" },
  "i64.gt_s": { code: 0x55, operand: "none" },
  "i64.gt_u": { code: 0x56, operand: "none" },
  "i64.le_s": { code: 0x57, operand: "none" },
  "i64.le_u": { code: 0x58, operand: "none" },
  "i64.ge_s": { code: 0x59, operand: "none" },
  "i64.ge_u": { code: 0x5a, operand: "none" },
  "i32.add": { code: 0x6a, operand: "none" },
  "i32.sub": { code: 0x6b, operand: "none" },
  "i32.mul": { code: 0x6c, operand: "none" },
  "i32.div_s": { code: 0x6d, operand: "none" },
  "i32.div_u": { code: 0x6e, operand: "none" },
  "i32.rem_s": { code: 0x6f, operand: "none" },
  "i32.rem_u": { code: 0x70, operand: "none" },
  "i32.and": { code: 0x71, operand: "none" },
  "i32.or": { code: 0x72, operand: "none" },
  "i32.xor": { code: 0x73, operand: "none" },
  "i32.shl": { code: 0x74, operand: "none" },
  "i32.shr_s": { code: 0x75, operand: "none" },
  "i32.shr_u": { code: 0x76, operand: "none" },
  "i32.rotl": { code: 0x77, operand: "none" },
  "i32.rotr": { code: 0x78, operand: "none" },
  "i64.add": { code: 0x7c, operand: "none" },
  "i64.sub": { code: 0x7d, operand: "none" },
  "i64.mul": { code: 0x7e, operand: "none" },
  "i64.div_s": { code: 0x7f, operand: "none" },
  "i64.div_u": { code: 0x80, operand: "none" },
  "i64.rem_s": { code: 0x81, operand: "none" },
  "i64.rem_u": { code: 0x82, operand: "none" },
  "i64.and": { code: 0x83, operand: "none" },
  "i64.or": { code: 0x84, operand: "none" },
  "i64.xor": { code: 0x85, operand: "none" },
  "i64.shl": { code: 0x86, operand: "none" },
  "i64.shr_s": { code: 0x87, operand: "none" },
  "i64.shr_u": { code: 0x88, operand: "none" },
  "i64.rotl": { code: 0x89, operand: "none" },
  "i32.wrap_i64": { code: 0xa7, operand: "none" },
  "i64.extend_i32_s": { code: 0xac, operand: "none" },
  "i64.extend_i32_u": { code: 0xad, operand: "none" },
  "i32.extend8_s": { code: 0xc0, operand: "none" },
  "i32.extend16_s": { code: 0xc1, operand: "none" },
  "i64.extend8_s": { code: 0xc2, operand: "none" },
  "i64.extend16_s": { code: 0xc3, operand: "none" },
  "i64.extend32_s": { code: 0xc4, operand: "none" },
  "ref.is_null": { code: 0xd1, operand: "none" },
  // Threads: the code stands behind a prefix byte, the access traps unless it is naturally aligned.
  "i32.atomic.store": { code: 0x17, operand: "atomic32" },
  "i32.atomic.rmw.add": { code: 0x1e, operand: "atomic32" },
  "i64.atomic.rmw.add": { code: 0x1f, operand: "atomic64" },
  "i32.atomic.rmw.and": { code: 0x2c, operand: "atomic32" },
  "i64.atomic.rmw.and": { code: 0x2d, operand: "atomic64" },
  "i32.atomic.rmw.or": { code: 0x33, operand: "atomic32" },
  "i64.atomic.rmw.or": { code: 0x34, operand: "atomic64" },
  "i32.atomic.rmw.xor": { code: 0x3a, operand: "atomic32" },
  "i64.atomic.rmw.xor": { code: 0x3b, operand: "atomic64" },
  "i32.atomic.rmw.xchg": { code: 0x41, operand: "atomic32" },
  "i64.atomic.rmw.xchg": { code: 0x42, operand: "atomic64" },
  "i32.atomic.rmw.cmpxchg": { code: 0x48, operand: "atomic32" },
  "i64.atomic.rmw.cmpxchg": { code: 0x49, operand: "atomic64" },
} as const satisfies Record<string, { code: number; operand: OperandKind }>;

export type WasmOp = keyof typeof WASM_OPS;
type OpsWith<K extends OperandKind> = {
  [N in WasmOp]: (typeof WASM_OPS)[N]["operand"] extends K ? N : never;
}[WasmOp];
export type PlainOp = OpsWith<"none">;
export type MemoryOp = OpsWith<"memarg">;
export type Atomic32Op = OpsWith<"atomic32">;
export type Atomic64Op = OpsWith<"atomic64">;
type Operands = {
  none: [];
  empty: [];
  index: [index: number];
  memarg: [offset: number];
  atomic32: [offset: number];
  atomic64: [offset: number];
  i32: [value: number];
  i64: [value: bigint];
  labels: [labels: readonly number[], otherwise: number];
  indirect: [type: number, table: number];
};

const EMPTY_BLOCK = 0x40;
const ATOMIC_PREFIX = 0xfe;
/** log2 of the bytes: what validation wants an atomic's alignment to be. */
const NATURAL_ALIGNMENT = { atomic32: 2, atomic64: 3 } as const;

/** Grows a list of bytes in the format's encodings. */
export class ByteWriter {
  readonly bytes: number[] = [];

  byte(value: number): this {
    this.bytes.push(value);
    return this;
  }

  /** Unsigned LEB128 of a u32. */
  u32(value: number): this {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.bytes.push((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.bytes.push(rest);
    return this;
  }

  /** Signed LEB128 of an i32. */
  s32(value: number): this {
    let rest = value | 0;
    while (rest < -0x40 || rest > 0x3f) {
      this.bytes.push((rest & 0x7f) | 0x80);
      rest >>= 7;
    }
    this.bytes.push(rest & 0x7f);
    return this;
  }

  /** Signed LEB128 of the low 64 bits. */
  s64(value: bigint): this {
    let rest = BigInt.asIntN(64, value);
    while (rest < -0x40n || rest > 0x3fn) {
      this.bytes.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.bytes.push(Number(rest & 0x7fn));
    return this;
  }

  name(text: string): this {
    const bytes = new TextEncoder().encode(text);
    this.u32(bytes.length);
    return this.append(bytes);
  }

  append(bytes: Iterable<number>): this {
    for (const byte of bytes) this.bytes.push(byte);
    return this;
  }

  /** `count` items, each written by `write`, behind their number. */
  vector<T>(items: readonly T[], write: (item: T, index: number) => void): this {
    this.u32(items.length);
    items.forEach(write);
    return this;
  }
}

/** One function body under construction. */
export class Code extends ByteWriter {
  op<N extends WasmOp>(name: N, ...operands: Operands[(typeof WASM_OPS)[N]["operand"]]): this {
    const { code, operand } = WASM_OPS[name];
    if (operand === "atomic32" || operand === "atomic64") this.byte(ATOMIC_PREFIX);
    this.byte(code);
    const values = operands as unknown as readonly [never, never];
    switch (operand) {
      case "none":
        return this;
      case "empty":
        return this.byte(EMPTY_BLOCK);
      case "index":
        return this.u32(values[0]);
      case "memarg": // the alignment is a hint, and 0 promises nothing
        return this.u32(0).u32(values[0]);
      case "atomic32":
      case "atomic64":
        return this.u32(NATURAL_ALIGNMENT[operand]).u32(values[0]);
      case "i32":
        return this.s32(values[0]);
      case "i64":
        return this.s64(values[0]);
      case "labels":
        return this.vector(values[0] as readonly number[], (label) => this.u32(label)).u32(values[1]);
      case "indirect":
        return this.u32(values[0]).u32(values[1]);
    }
  }
}

export type FunctionType = { readonly params: readonly ValueType[]; readonly results: readonly ValueType[] };
export type FunctionBody = {
  readonly type: number;
  readonly locals: readonly ValueType[];
  readonly code: readonly number[];
};
export type WasmModule = {
  readonly types: readonly FunctionType[];
  /** Their indices come first in the function index space. */
  readonly functionImports: readonly { readonly name: string; readonly type: number }[];
  /** Imported as `env.memory`; pages. */
  readonly memory: { readonly min: number; readonly max: number; readonly shared?: boolean };
  /** Import `env.table` of functions as table 0? */
  readonly table: boolean;
  readonly functions: readonly FunctionBody[];
  readonly exports: readonly { readonly name: string; readonly func: number }[];
};

const SECTION = { type: 1, import: 2, function: 3, export: 7, code: 10 } as const;
const EXTERNAL = { func: 0x00, table: 0x01, memory: 0x02 } as const;
const FUNCREF = 0x70;
const FUNCTION_FORM = 0x60;
const LIMITS = { min: 0x00, minMax: 0x01, sharedMinMax: 0x03 } as const;
const MAGIC_AND_VERSION = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

export function encodeModule(module: WasmModule): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter().append(MAGIC_AND_VERSION);
  const section = (id: number, fill: (s: ByteWriter) => void): void => {
    const body = new ByteWriter();
    fill(body);
    out.byte(id).u32(body.bytes.length).append(body.bytes);
  };
  section(SECTION.type, (s) =>
    s.vector(module.types, (type) => {
      s.byte(FUNCTION_FORM);
      for (const list of [type.params, type.results]) s.vector(list, (t) => s.byte(VALUE_TYPES[t]));
    }),
  );
  section(SECTION.import, (s) => {
    s.u32(module.functionImports.length + 1 + (module.table ? 1 : 0));
    for (const { name, type } of module.functionImports) {
      s.name("env").name(name).byte(EXTERNAL.func).u32(type);
    }
    const { min, max, shared } = module.memory;
    const limits = shared === true ? LIMITS.sharedMinMax : LIMITS.minMax;
    s.name("env").name("memory").byte(EXTERNAL.memory).byte(limits).u32(min).u32(max);
    if (module.table) s.name("env").name("table").byte(EXTERNAL.table).byte(FUNCREF).byte(LIMITS.min).u32(0);
  });
  section(SECTION.function, (s) => s.vector(module.functions, (f) => s.u32(f.type)));
  section(SECTION.export, (s) =>
    s.vector(module.exports, ({ name, func }) => s.name(name).byte(EXTERNAL.func).u32(func)),
  );
  section(SECTION.code, (s) =>
    s.vector(module.functions, ({ locals, code }) => {
      const body = new ByteWriter();
      const runs = runLengths(locals);
      body.vector(runs, ([count, type]) => body.u32(count).byte(VALUE_TYPES[type]));
      body.append(code);
      s.u32(body.bytes.length).append(body.bytes);
    }),
  );
  return new Uint8Array(out.bytes);
}

function runLengths(types: readonly ValueType[]): [count: number, type: ValueType][] {
  const runs: [number, ValueType][] = [];
  for (const type of types) {
    const last = runs.at(-1);
    if (last?.[1] === type) last[0]++;
    else runs.push([1, type]);
  }
  return runs;
}
