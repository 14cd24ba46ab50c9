/**
 * Prints a module the JIT made as readable text, so that snapshots show what a change does to the code. The
 * two entry points for the host are alike in every module and left out, unless `withEntries`.
 */
import { WASM_OPS, type WasmOp } from "../../../src/bpf/jit/wasm.ts";

const ATOMIC_PREFIX = 0xfe;
const NAME_OF_OPCODE = new Map<number, WasmOp>(
  (Object.keys(WASM_OPS) as WasmOp[]).map((name) => {
    const { code, operand } = WASM_OPS[name];
    return [operand.startsWith("atomic") ? (ATOMIC_PREFIX << 8) | code : code, name];
  }),
);
const ENTRIES = ["run", "run64"];
const SECTION = { import: 2, export: 7, code: 10 };
/** Of FUNCTION_TYPE's functions. */
const LOCALS = "r1 r2 r3 r4 r5 frame r0 r6 r7 r8 r9 r10 wide address word count next".split(" ");

class Reader {
  at = 0;
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
  byte(): number {
    return this.bytes[this.at++]!;
  }
  u32(): number {
    return Number(this.leb().value);
  }
  signed(): bigint {
    const { value, bits } = this.leb();
    return BigInt.asIntN(bits, value);
  }
  leb(): { value: bigint; bits: number } {
    let value = 0n;
    for (let bits = 0; ; ) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << BigInt(bits);
      bits += 7;
      if (byte < 0x80) return { value, bits };
    }
  }
  /** Reads a u32 that nobody wants, then a byte. */
  byteBehindU32(): number {
    this.u32();
    return this.byte();
  }
  name(): string {
    const length = this.u32();
    this.at += length;
    return new TextDecoder().decode(this.bytes.subarray(this.at - length, this.at));
  }
  vector<T>(read: () => T): T[] {
    return Array.from({ length: this.u32() }, read);
  }
}

export function printModule(wasm: Uint8Array, withEntries = false): string {
  const reader = new Reader(wasm);
  reader.at = 8;
  let imports: string[] = [];
  const names = new Map<number, string>();
  const lines: string[] = [];
  while (reader.at < wasm.length) {
    const id = reader.byte();
    const end = reader.u32() + reader.at;
    if (id === SECTION.import) imports = readImports(reader);
    if (id === SECTION.export) {
      reader.vector(() => {
        const name = reader.name();
        reader.byte();
        names.set(reader.u32(), name);
      });
    }
    if (id === SECTION.code) {
      for (const name of imports) lines.push(`(import ${name})`);
      const nameOf = (index: number) => imports[index] ?? names.get(index) ?? `f${index}`;
      let index = imports.length;
      reader.vector(() => {
        const name = nameOf(index++);
        const body = readBody(reader, nameOf);
        if (withEntries || !ENTRIES.includes(name)) lines.push(`(func ${name}`, ...body, ")");
      });
    }
    reader.at = end;
  }
  return `${lines.join("\n")}\n`;
}

function readImports(reader: Reader): string[] {
  const functions: string[] = [];
  reader.vector(() => {
    reader.name();
    const name = reader.name();
    const kind = reader.byte();
    if (kind === 0) {
      reader.u32();
      functions.push(name);
    } else {
      if (kind === 1) reader.byte();
      const flags = reader.byte();
      reader.u32();
      if (flags & 1) reader.u32();
    }
  });
  return functions;
}

function readBody(reader: Reader, nameOf: (index: number) => string): string[] {
  const size = reader.u32();
  const end = reader.at + size;
  const isProgram = reader.vector(() => reader.byteBehindU32()).length > 0;
  const lines: string[] = [];
  let indent = 1;
  while (reader.at < end) {
    const first = reader.byte();
    const name = NAME_OF_OPCODE.get(first === ATOMIC_PREFIX ? (first << 8) | reader.byte() : first)!;
    if (name === "end" || name === "else") indent--;
    if (reader.at < end)
      lines.push(`${"  ".repeat(indent)}${name}${operand(reader, name, isProgram, nameOf)}`);
    if (name === "block" || name === "loop" || name === "if" || name === "else") indent++;
  }
  return lines;
}

function operand(
  reader: Reader,
  name: WasmOp,
  isProgram: boolean,
  nameOf: (index: number) => string,
): string {
  switch (WASM_OPS[name].operand) {
    case "none":
      return "";
    case "empty":
      reader.byte();
      return "";
    case "index": {
      const index = reader.u32();
      if (name === "call") return ` ${nameOf(index)}`;
      return name.startsWith("local") && isProgram ? ` ${LOCALS[index]}` : ` ${index}`;
    }
    case "memarg":
    case "atomic32":
    case "atomic64": {
      reader.u32();
      const offset = reader.u32();
      return offset === 0 ? "" : ` offset=${offset}`;
    }
    case "i32":
    case "i64":
      return ` ${reader.signed()}`;
    case "labels":
      return ` ${reader.vector(() => reader.u32()).join(" ")} ${reader.u32()}`;
    case "indirect":
      return ` type=${reader.u32()} table=${reader.u32()}`;
  }
}
