/** One thread of the race test: one CPU of the shared machine, running one program many times. */
import { parentPort, workerData } from "node:worker_threads";
import type { EngineName } from "../../../src/bpf/executable.ts";
import { Kernel } from "../../../src/bpf/kernel.ts";
import { assembled } from "../assembled.ts";

export type RaceInput = {
  readonly memory: WebAssembly.Memory;
  readonly cpu: number;
  readonly cpus: number;
  readonly text: string;
  readonly engine: EngineName;
  readonly runs: number;
  readonly brokenLocks: boolean;
  /** Set to 1 to begin: all at once. */
  readonly gate: Int32Array;
};
/** How often the program returned 0, 1, or something else. */
export type RaceResult = {
  readonly good: number;
  readonly torn: number;
  readonly odd: number;
  readonly fault: string | null;
};

const { memory, cpu, cpus, text, engine, runs, brokenLocks, gate } = workerData as RaceInput;
const kernel = new Kernel({ cpus, shared: { memory, cpu, brokenLocks } });
const program = kernel.load(assembled(text), { engine });
const packet = kernel.createPacketBuffer("xdp");
const bytes = new Uint8Array(64);
Atomics.add(gate, 1, 1);
Atomics.wait(gate, 0, 0);
let good = 0;
let torn = 0;
let seed = cpu + 1;
for (let i = 0; i < runs; i++) {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  bytes[0] = (seed >>> 16) & 3;
  bytes[1] = (seed >>> 20) & 3;
  packet.reset(bytes);
  const r0 = program.run(packet.ctxAddress);
  if (r0 === 0) good++;
  else if (r0 === 1) torn++;
}
parentPort?.postMessage({
  good,
  torn,
  odd: runs - good - torn,
  fault: program.fault?.message ?? null,
} satisfies RaceResult);
