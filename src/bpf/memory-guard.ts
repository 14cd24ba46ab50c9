/**
 * What a program may touch at this very moment: the stack of its live frames, its context, the packet
 * between data_meta and data_end, the values of its maps element by element. The
 * interpreter always asks, the JIT in checked mode: this is the oracle that a verified program is safe.
 */
import { ProgramFault } from "./engine.ts";
import { ITERATOR_BYTES, type KfuncRow } from "./helpers/kfuncs.ts";
import type { HelperRow } from "./helpers/signatures.ts";
import { STACK_BYTES } from "./isa.ts";
import type { BpfMap } from "./maps/map.ts";
import type { Runtime } from "./runtime.ts";

export class MemoryGuard {
  /** Frames on the call chain. */
  frames = 1;
  readonly #rt: Runtime;
  readonly #maps: BpfMap[];

  constructor(rt: Runtime, maps: readonly BpfMap[]) {
    this.#rt = rt;
    this.#maps = [...maps];
  }

  /** A tail call brings the maps of its program. */
  addMaps(maps: readonly BpfMap[]): void {
    for (const map of maps) if (!this.#maps.includes(map)) this.#maps.push(map);
  }

  read(address: number, bytes: number, slot: number): void {
    if (!this.#isOpen(address, bytes, false)) this.#refuse("read", address, bytes, slot);
  }

  write(address: number, bytes: number, slot: number): void {
    if (!this.#isOpen(address, bytes, true)) this.#refuse("write", address, bytes, slot);
  }

  mapOf(handle: bigint, slot: number): BpfMap {
    const map = handle > 0n && handle < this.#rt.maps.length ? this.#rt.maps[Number(handle)] : undefined;
    if (!map) throw new ProgramFault("helper", `0x${handle.toString(16)} is not a map`, slot);
    return map;
  }

  /** The pointers of a helper call must lie where the program itself could reach. */
  checkArguments(row: HelperRow, registers: BigUint64Array, slot: number): void {
    let map: BpfMap | null = null;
    for (let i = 0; i < row.args.length; i++) {
      const kind = row.args[i]!;
      const value = registers[i + 1]!;
      switch (kind) {
        case "const_map_ptr":
          map = this.mapOf(value, slot);
          break;
        case "map_key":
          this.read(Number(value), map!.def.keyBytes, slot);
          break;
        case "map_value":
          this.read(Number(value), map!.def.valueBytes, slot);
          break;
        case "mem_rdonly":
        case "mem_rdonly_or_null":
        case "mem_write": {
          // The size argument is a u32: helpers read no more of the register.
          const size = Number(BigInt.asUintN(32, registers[i + 2]!));
          if (size === 0 || (kind === "mem_rdonly_or_null" && value === 0n)) break;
          if (kind === "mem_write") this.write(Number(value), size, slot);
          else this.read(Number(value), size, slot);
          break;
        }
        case "ctx":
          if (value !== BigInt(this.#rt.packet?.ctxAddress ?? -1)) {
            throw new ProgramFault("helper", `${row.name}: R${i + 1} is not the context pointer`, slot);
          }
          break;
        case "spin_lock":
          this.write(Number(value), 4, slot);
          break;
        default:
          break;
      }
    }
  }

  checkKfuncArguments(row: KfuncRow, registers: BigUint64Array, slot: number): void {
    row.args.forEach((kind, i) => {
      if (kind === "iterator") this.write(Number(registers[i + 1]!), ITERATOR_BYTES, slot);
    });
  }

  #isOpen(from: number, bytes: number, forWriting: boolean): boolean {
    const rt = this.#rt;
    const end = from + bytes;
    if (from >= rt.stackTop - this.frames * STACK_BYTES && end <= rt.stackTop) return true;
    const { packet } = rt;
    if (packet) {
      if (from >= packet.dataMeta && end <= packet.dataEnd) return true;
      if (from >= packet.ctxAddress && end <= packet.ctxAddress + packet.ctxBytes) return true;
    }
    for (const { values, def } of this.#maps) {
      if (!values || from < values.base) continue;
      const offset = from - values.base;
      if (offset >= values.count * values.strideBytes) continue;
      return (
        (offset % values.strideBytes) + bytes <= values.valueBytes &&
        !(forWriting && def.readOnlyForPrograms === true)
      );
    }
    return false;
  }

  #refuse(what: string, address: number, bytes: number, slot: number): never {
    throw new ProgramFault(
      "memory",
      `insn ${slot}: ${bytes}-byte ${what} at 0x${address.toString(16)} is outside the program's stack, context, packet and map values`,
      slot,
    );
  }
}
