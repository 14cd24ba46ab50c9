/**
 * Runs an accepted program in the interpreter with every access checked and in the JIT, and asks the running
 * kernel for BPF_PROG_TEST_RUN on the same packets and map contents. An outcome is one line: return value,
 * packet out, and every value of every map.
 */
import { Kernel } from "../../../src/bpf/kernel.ts";
import type { PacketBuffer } from "../../../src/bpf/packet-buffer.ts";
import { type MapDef, PROGRAM_TYPES, type Program, type ProgramType } from "../../../src/bpf/program.ts";
import { testRun } from "../../../src/bpf/test-run.ts";
import { linuxOracle } from "../../oracle/linux-oracle.ts";
import { keyOf, keysIn } from "./generate/maps.ts";
import { Random } from "./generate/random.ts";
import { hex, mapLines, readVerdict, verifyLines } from "./kernel-verdict.ts";

export type RunInput = {
  readonly packet: Uint8Array;
  /** What each map holds before the run, by key; an absent key is deleted. */
  readonly maps: ReadonlyMap<MapDef, ReadonlyMap<number, Uint8Array>>;
};

/** Shorter packets than an Ethernet header Linux does not take. */
const MIN_PACKET_BYTES = 14;

export function inputsOf(program: Program, seed: number, runs: number): RunInput[] {
  const random = new Random(seed ^ 0x5eed);
  return Array.from({ length: runs }, () => {
    const packet = random.bytes(MIN_PACKET_BYTES + random.below(80));
    const maps = program.maps.map((def): [MapDef, Map<number, Uint8Array>] => {
      const kept = keysIn(def).filter(() => def.type !== "hash" || random.chance(60));
      return [def, new Map(kept.map((key) => [key, contents(random, def)]))];
    });
    return { packet, maps: new Map(maps) };
  });
}

function contents(random: Random, def: MapDef): Uint8Array {
  const value = random.bytes(def.valueBytes);
  // A lock is free, and Linux keeps what userspace writes there out.
  if (def.spinLockOffset !== undefined) value.fill(0, def.spinLockOffset, def.spinLockOffset + 4);
  return value;
}

type Side = { readonly kernel: Kernel; readonly buffers: ReadonlyMap<ProgramType, PacketBuffer> };

function side(): Side {
  // Each side draws the same numbers, small ones so that comparisons with them go both ways.
  const random = new Random(7);
  const kernel = new Kernel({ clockNs: () => 5n, random: () => random.below(12), cpus: 1 });
  return {
    kernel,
    buffers: new Map(
      PROGRAM_TYPES.map((type) => [type, kernel.createPacketBuffer(type, { roomBytes: 4096 })]),
    ),
  };
}

/** Loaded programs stay with their kernel: a new pair every so often keeps memory flat. */
const PROGRAMS_PER_KERNEL = 200;

export type TwinOutcome = { readonly outcomes: readonly string[]; readonly problem: string | null };

export class Twins {
  #interpreter = side();
  #jit = side();
  #used = 0;

  /** @returns one outcome an input, and what went wrong, or null */
  run(program: Program, inputs: readonly RunInput[]): TwinOutcome {
    if (this.#used++ >= PROGRAMS_PER_KERNEL) {
      this.#interpreter = side();
      this.#jit = side();
      this.#used = 0;
    }
    const a = this.#interpreter.kernel.load(program, { engine: "interpreter", checked: true });
    const b = this.#jit.kernel.load(program, { engine: "jit" });
    const outcomes: string[] = [];
    for (const [i, input] of inputs.entries()) {
      const one = once(this.#interpreter, a, input);
      const two = once(this.#jit, b, input);
      outcomes.push(two);
      if (one !== two) return { outcomes, problem: `run ${i}: interpreter ${one}, jit ${two}` };
      if (a.fault) return { outcomes, problem: `run ${i}: fault ${JSON.stringify(a.fault)}` };
    }
    return { outcomes, problem: null };
  }
}

function once({ kernel, buffers }: Side, loaded: ReturnType<Kernel["load"]>, input: RunInput): string {
  for (const [def, values] of input.maps) {
    const map = kernel.createMap(def);
    for (const key of keysIn(def)) {
      const value = values.get(key);
      if (value) map.set(keyOf(def, key), value);
      else map.remove(keyOf(def, key));
    }
  }
  const result = testRun(kernel, loaded, buffers.get(loaded.type)!, { data: input.packet });
  const values = [...input.maps.keys()].flatMap((def) => {
    const map = kernel.createMap(def);
    return keysIn(def).map((key) => hex(map.get(keyOf(def, key)) ?? new Uint8Array(0)));
  });
  const fault = result.fault ? ` fault ${result.fault.kind}` : "";
  return `${result.retval} ${hex(result.data)} ${values.join(" ")}${fault}`;
}

export type Question = { readonly program: Program; readonly inputs: readonly RunInput[] };
export type KernelAnswer = {
  readonly accepted: boolean;
  readonly error: number;
  /** One an input; null where the kernel refused the program or cannot run its type. */
  readonly outcomes: readonly string[] | null;
};

/** Verdicts and runs of many programs, in one process. @throws where there is no oracle */
export function kernelAnswers(questions: readonly Question[]): KernelAnswer[] {
  const oracle = linuxOracle();
  if (typeof oracle === "string") throw new Error(oracle);
  const blocks = questions.map(({ program, inputs }) => [
    ...mapLines(program),
    ...verifyLines(program, 0),
    ...inputs.flatMap((input) => [...fill(program, input), `run 1 ${hex(input.packet)} -`, ...look(program)]),
  ]);
  return oracle.ask(blocks).map((lines) => {
    const { accepted, error } = readVerdict(lines);
    const refused = lines.some((line) => line.startsWith("norun"));
    return { accepted, error, outcomes: accepted && !refused ? outcomesIn(lines) : null };
  });
}

function fill(program: Program, { maps }: RunInput): string[] {
  return program.maps.flatMap((def, index) =>
    keysIn(def).map((key) => {
      const value = maps.get(def)?.get(key);
      const at = `${index} ${hex(keyOf(def, key))}`;
      return value ? `set ${at} ${hex(value)} 0` : `del ${at}`;
    }),
  );
}

function look(program: Program): string[] {
  return program.maps.flatMap((def, index) =>
    keysIn(def).map((key) => `get ${index} ${hex(keyOf(def, key))}`),
  );
}

function outcomesIn(lines: readonly string[]): string[] {
  const outcomes: string[] = [];
  for (const line of lines) {
    const [what, first, second, third] = line.split(" ");
    if (what === "run") outcomes.push(`${first} ${third} `);
    else if (what === "get") {
      const last = outcomes.length - 1;
      const glue = outcomes[last]!.endsWith(" ") ? "" : " ";
      outcomes[last] += `${glue}${first === "0" ? second : "-"}`;
    }
  }
  return outcomes;
}
