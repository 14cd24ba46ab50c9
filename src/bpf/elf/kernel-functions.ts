/**
 * Symbols a program leaves to the kernel: functions declared `__ksym`, found in BTF's .ksyms. A call becomes
 * the number of our table; the address only says whether the function is there (libbpf's bpf_ksym_exists).
 */
import { ABSENT_KFUNC, KFUNCS, type KfuncRow, kfuncByName } from "../helpers/kfuncs.ts";
import type { Btf } from "./btf.ts";
import { BINDING, type ElfSymbol } from "./elf-file.ts";
import { Unsupported } from "./unsupported.ts";

export class KernelFunctions {
  /** Weak ones this machine lacks: the program may ask for them, and must not reach a call of them. */
  readonly absent: string[] = [];
  readonly #btf: Btf | null;

  constructor(btf: Btf | null) {
    this.#btf = btf;
  }

  callNumber(symbol: ElfSymbol): number {
    const { name } = symbol;
    const row = this.#find(name);
    if (row) return row.id;
    if (!this.#btf?.kernelFunction(name)) {
      throw new Unsupported(`it calls '${name}', which the object does not define`);
    }
    if (symbol.binding !== BINDING.weak) {
      const known = KFUNCS.map((kfunc) => kfunc.name).join(", ");
      throw new Unsupported(
        `it calls the kernel function '${name}', which is not known here; known: ${known}`,
      );
    }
    const index = this.absent.indexOf(name);
    return ABSENT_KFUNC + (index >= 0 ? index : this.absent.push(name) - 1);
  }

  address(symbol: ElfSymbol): number {
    const row = this.#find(symbol.name);
    if (row) return row.id;
    // An absent weak symbol has the address 0, as libbpf gives it.
    if (symbol.binding === BINDING.weak) return 0;
    throw new Unsupported(`it uses '${symbol.name}', which the object does not define`);
  }

  #find(name: string): KfuncRow | undefined {
    const declared = this.#btf?.kernelFunction(name);
    const row = declared && kfuncByName(name);
    if (!this.#btf || !row) return undefined;
    const proto = this.#btf.resolve(declared.type);
    const count = proto.kind === "func_proto" ? proto.params.length : 0;
    if (count !== row.args.length) {
      throw new Unsupported(
        `it declares the kernel function '${name}' with ${count} parameters; it has ${row.args.length}`,
      );
    }
    return row;
  }
}
