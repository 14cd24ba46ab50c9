/**
 * Runs a program on one packet in the interpreter, every access checked, and keeps what the page steps
 * through: registers before and after each instruction and what was written where. Bounded: a program
 * that loops on shows its first MAX_STEPS instructions.
 */
import { decode } from "../../bpf/codec.ts";
import { SK_ACTION, TC_ACTION, XDP_ACTION } from "../../bpf/context.ts";
import { formatInstruction } from "../../bpf/disassembler.ts";
import { faultOf } from "../../bpf/fault.ts";
import { InterpretedProgram } from "../../bpf/interpreter.ts";
import { Kernel } from "../../bpf/kernel.ts";
import type { PacketBuffer } from "../../bpf/packet-buffer.ts";
import type { Program, ProgramType } from "../../bpf/program.ts";

export const MAX_STEPS = 20_000;
/** A map is shown with at most so many of its entries that are not zero. */
const MAX_ENTRIES = 64;

/** A map element set before the run, where the program has such a map. */
export type Seed = { readonly map: string; readonly key: Uint8Array; readonly value: Uint8Array };

export type Write = { readonly place: string; readonly bytes: Uint8Array };
export type RunStep = {
  readonly slot: number;
  readonly text: string;
  readonly depth: number;
  readonly registers: readonly bigint[];
  /** Register numbers this instruction changed. */
  readonly changed: readonly number[];
  readonly writes: readonly Write[];
};
export type MapDump = {
  readonly name: string;
  readonly entries: readonly { readonly key: Uint8Array; readonly value: Uint8Array }[];
};
export type RunResult = {
  /** The verdict by its name where the program type has one, and r0. */
  readonly verdict: string;
  readonly r0: bigint;
  readonly steps: readonly RunStep[];
  readonly truncated: boolean;
  readonly packet: Uint8Array;
  readonly maps: readonly MapDump[];
  readonly fault: string | null;
};

const VERDICTS: Readonly<Record<ProgramType, readonly (readonly [string, number])[]>> = {
  xdp: Object.entries(XDP_ACTION).map(([name, code]) => [`XDP_${name.toUpperCase()}`, code]),
  sk_skb: Object.entries(SK_ACTION).map(([name, code]) => [`SK_${name.toUpperCase()}`, code]),
  tc: Object.entries(TC_ACTION).map(([name, code]) => [`TC_ACT_${name.toUpperCase()}`, code]),
  socket_filter: [],
};

/** @throws LoadError when the program cannot be loaded at all */
export function runProgram(program: Program, packet: Uint8Array, seeds: readonly Seed[] = []): RunResult {
  const kernel = new Kernel();
  const buffer = kernel.createPacketBuffer(program.type);
  const loaded = kernel.load(program, { engine: "interpreter", verify: false });
  const executable = kernel.rt.programs.get(loaded.id)?.executable;
  if (!(executable instanceof InterpretedProgram)) throw new Error("the interpreter made no trace");
  for (const map of kernel.maps) {
    for (const seed of seeds) if (seed.map === map.def.name) map.set(seed.key, seed.value);
  }
  buffer.reset(packet);
  kernel.rt.begin(program.type);

  const mapName = (index: number) => program.maps[index]?.name;
  const steps: RunStep[] = [];
  const trace = executable.trace(BigInt(buffer.ctxAddress));
  let r0 = 0n;
  let fault: string | null = null;
  let truncated = false;
  try {
    for (;;) {
      const next = trace.next();
      if (next.done) {
        r0 = next.value;
        break;
      }
      if (steps.length === MAX_STEPS) {
        truncated = true;
        break;
      }
      const { slot, insn, depth, before, after, writes } = next.value;
      steps.push({
        slot,
        depth,
        text: formatInstruction(insn, { slot, mapName }),
        registers: after,
        changed: after.flatMap((value, reg) => (value === before[reg] ? [] : [reg])),
        writes: writes.map(({ address, bytes }) => ({ place: placeOf(kernel, buffer, address), bytes })),
      });
    }
  } catch (error) {
    fault = faultOf(error).message;
  } finally {
    kernel.rt.end();
  }
  return {
    verdict: verdictOf(program.type, r0),
    r0,
    steps,
    truncated,
    packet: buffer.bytes().slice(),
    maps: dumpMaps(kernel),
    fault,
  };
}

function verdictOf(type: ProgramType, r0: bigint): string {
  const code = Number(BigInt.asIntN(32, r0));
  return VERDICTS[type].find(([, value]) => value === code)?.[0] ?? String(code);
}

/** An address as a person names it: `fp-8`, `packet+14`, `ctx+4`, `counters+0`. */
function placeOf(kernel: Kernel, buffer: PacketBuffer, address: number): string {
  const { stackBottom, stackTop } = kernel.rt;
  if (address >= stackBottom && address < stackTop) return `fp${address - stackTop}`;
  if (address >= buffer.hardStart && address < buffer.hardEnd) {
    const offset = address - buffer.data;
    return `packet${offset < 0 ? "" : "+"}${offset}`;
  }
  for (const { def, values } of kernel.maps) {
    if (!values) continue;
    const offset = address - values.base;
    if (offset >= 0 && offset < values.count * values.strideBytes) return `${def.name}+${offset}`;
  }
  return `ctx+${address - buffer.ctxAddress}`;
}

function dumpMaps(kernel: Kernel): MapDump[] {
  return [...kernel.maps].map((map) => {
    const entries: { key: Uint8Array; value: Uint8Array }[] = [];
    for (const [key, value] of map.entries()) {
      if (entries.length === MAX_ENTRIES) break;
      if (value.some((byte) => byte !== 0)) entries.push({ key, value });
    }
    return { name: map.def.name, entries };
  });
}

/** Slots of a program with their text, for listings beside the trace. */
export function listing(program: Program): readonly { slot: number; text: string }[] {
  const decoded = decode(program.bytecode);
  if (!decoded.ok) return [];
  const mapName = (index: number) => program.maps[index]?.name;
  return decoded.slots.flatMap((insn, slot) =>
    insn ? [{ slot, text: formatInstruction(insn, { slot, mapName }) }] : [],
  );
}
