/**
 * The least BTF the kernel wants beside bytecode with functions: a function record each for the entry and
 * every subprogram, with the linkage and the prototype the Program states. Without it Linux refuses
 * callbacks, and takes global functions for static ones.
 */
import type { FuncArg, Program } from "../../src/bpf/program.ts";

const KIND = { int: 1, ptr: 2, struct: 4, func: 12, funcProto: 13, declTag: 17 } as const;
const VOID = 0;
const LINKAGE = { static: 0, global: 1 } as const;
const HEADER_BYTES = 24;
const INT_SIGNED = 1 << 24;

export type ProgramBtf = { readonly btf: Uint8Array; readonly funcInfo: Uint8Array };

class BtfWriter {
  readonly #words: number[] = [];
  #strings = "\0";
  #types = 0;
  readonly #known = new Map<string, number>();

  name(text: string): number {
    const at = this.#strings.length;
    this.#strings += `${text}\0`;
    return at;
  }
  type(name: number, kind: number, count: number, sizeOrType: number, ...more: number[]): number {
    this.#words.push(name, (kind << 24) | count, sizeOrType, ...more);
    return ++this.#types;
  }
  /** One type of a kind, by what tells it from others. */
  once(key: string, make: () => number): number {
    const id = this.#known.get(key) ?? make();
    this.#known.set(key, id);
    return id;
  }
  int(bytes: number): number {
    return this.once(`int${bytes}`, () =>
      this.type(this.name(`int${bytes}`), KIND.int, 0, bytes, (bytes === 4 ? INT_SIGNED : 0) | (bytes * 8)),
    );
  }
  pointerTo(struct: string, bytes: number): number {
    return this.once(struct, () => {
      const pointee = this.type(this.name(struct), KIND.struct, 0, bytes);
      return this.type(0, KIND.ptr, 0, pointee);
    });
  }
  finish(): Uint8Array {
    const types = Uint32Array.from(this.#words);
    const strings = new TextEncoder().encode(this.#strings);
    const header = Uint32Array.from([
      0x0001_eb9f,
      HEADER_BYTES,
      0,
      types.byteLength,
      types.byteLength,
      strings.length,
    ]);
    return Uint8Array.from([header, types, strings].flatMap((part) => [...new Uint8Array(part.buffer)]));
  }
}

export function programBtf(program: Program): ProgramBtf {
  const writer = new BtfWriter();
  const context = program.type === "xdp" ? "xdp_md" : "__sk_buff";
  const argument = (arg: FuncArg): number => {
    if (arg.kind === "scalar") return writer.int(arg.bytes);
    if (arg.kind === "ctx") return writer.pointerTo(context, 8);
    if (arg.kind === "unusable") return writer.once("void *", () => writer.type(0, KIND.ptr, 0, VOID));
    return writer.pointerTo(`region${arg.pointeeBytes}`, arg.pointeeBytes);
  };
  const funcInfo: number[] = [];
  const entry = { name: "entry", start: 0, isGlobal: true, args: [] };
  for (const { name, start, isGlobal, args } of [entry, ...program.subprograms]) {
    const parameters = (isGlobal ? (args ?? []) : []).flatMap((arg, i) => [
      writer.name(`a${i}`),
      argument(arg),
    ]);
    const result = writer.int(4);
    const proto = writer.type(0, KIND.funcProto, parameters.length / 2, result, ...parameters);
    const linkage = isGlobal ? LINKAGE.global : LINKAGE.static;
    const symbol = writer.name(`f${start}_${name.replace(/\W/g, "_")}`.slice(0, 60));
    const func = writer.type(symbol, KIND.func, linkage, proto);
    (args ?? []).forEach((arg, i) => {
      if (isGlobal && arg.kind === "pointer" && arg.nonNull)
        writer.type(writer.name("arg:nonnull"), KIND.declTag, 0, func, i);
    });
    funcInfo.push(start, func);
  }
  return { btf: writer.finish(), funcInfo: new Uint8Array(Uint32Array.from(funcInfo).buffer) };
}
