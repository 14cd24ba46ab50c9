/** Runs an accepted program in the interpreter with every access checked and in the JIT, on the same bytes. */
import { Kernel, type LoadedProgram } from "../../../src/bpf/kernel.ts";
import type { PacketBuffer } from "../../../src/bpf/packet-buffer.ts";
import type { Program } from "../../../src/bpf/program.ts";
import { FUZZ_MAP, Random, VALUE_BYTES } from "./generate.ts";

const KEY = new Uint8Array(4);
const EDGE_BYTES = [0, 1, 0x7f, 0x80, 0xff];

type Side = { kernel: Kernel; buffer: PacketBuffer };

function side(): Side {
  // Each side draws the same numbers, small ones so that comparisons with them go both ways.
  const random = new Random(7);
  const kernel = new Kernel({ clockNs: () => 5n, random: () => random.below(12) });
  return { kernel, buffer: kernel.createPacketBuffer("xdp") };
}

/** Loaded programs stay with their kernel: a new pair every so often keeps memory flat. */
const PROGRAMS_PER_KERNEL = 200;

export class Twins {
  #interpreter = side();
  #jit = side();
  #used = 0;

  /** @returns what went wrong, or null */
  run(program: Program, seed: number, runs: number): string | null {
    if (this.#used++ >= PROGRAMS_PER_KERNEL) {
      this.#interpreter = side();
      this.#jit = side();
      this.#used = 0;
    }
    const a = this.#interpreter.kernel.load(program, { engine: "interpreter", checked: true, verify: false });
    const b = this.#jit.kernel.load(program, { engine: "jit", verify: true });
    const random = new Random(seed ^ 0x5eed);
    for (let i = 0; i < runs; i++) {
      const value = bytes(random, VALUE_BYTES);
      const packet = bytes(random, random.below(80));
      const one = once(this.#interpreter, a, value, packet);
      const two = once(this.#jit, b, value, packet);
      if (one !== two) return `run ${i}: interpreter ${one}, jit ${two}`;
      if (a.fault) return `run ${i}: fault ${JSON.stringify(a.fault)}`;
    }
    return null;
  }
}

function bytes(random: Random, length: number): Uint8Array {
  const edgy = random.chance(60);
  return Uint8Array.from({ length }, () => (edgy ? random.pick(EDGE_BYTES) : random.below(256)));
}

function once(
  { kernel, buffer }: Side,
  loaded: LoadedProgram,
  value: Uint8Array,
  packet: Uint8Array,
): string {
  const map = kernel.createMap(FUZZ_MAP);
  map.set(KEY, value);
  buffer.reset(packet);
  const verdict = loaded.run(buffer.ctxAddress);
  const after = Buffer.from(map.get(KEY) ?? []).toString("hex");
  const fault = loaded.fault ? ` fault ${loaded.fault.kind}` : "";
  return `${verdict} ${after} ${Buffer.from(buffer.bytes()).toString("hex")}${fault}`;
}
