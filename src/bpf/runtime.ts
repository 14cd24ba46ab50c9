/**
 * What a running program and its helpers reach: memory, maps, clock, the packet at hand, where to redirect
 * it. One Runtime a kernel, reused by every run: nothing is allocated between a run's start and its end.
 * Runs never nest and never overlap, so that all emulated CPUs share one stack.
 */
import type { TailTarget } from "./executable.ts";
import { MAX_FRAMES, STACK_BYTES } from "./isa.ts";
import type { BpfMap } from "./maps/map.ts";
import { LinearMemory } from "./memory.ts";
import type { ProgramType } from "./program.ts";

/** Words the machine keeps in linear memory, where compiled code reaches them: offsets from `stateAddress`. */
export const STATE = {
  /** u32: tail calls taken in this run. */
  tailCalls: 0,
  /** u32: current CPU, 0-based. */
  cpu: 4,
  /** u32: instructions executed in this run, as compiled code writes them down when a function is left. */
  instructions: 8,
} as const;
const STATE_BYTES = 64;

export type RuntimeOptions = {
  readonly cpus?: number;
  readonly limitBytes?: number;
  /** Monotonic nanoseconds. */
  readonly clockNs?: () => bigint;
  /** Uniform u32. */
  readonly random?: () => number;
  readonly onTrace?: (line: string) => void;
};

/** What helpers may know of the packet at hand: addresses, and who to tell when they move. */
export interface Packet {
  readonly type: ProgramType;
  readonly ctxAddress: number;
  readonly ctxBytes: number;
  readonly hardStart: number;
  readonly hardEnd: number;
  data: number;
  dataEnd: number;
  dataMeta: number;
  syncContext(): void;
}

/** A map that holds back freed elements until the run that may still point at them is over. */
export type Reclaimer = { reclaim(): void };

export class Runtime {
  readonly memory: LinearMemory;
  readonly cpus: number;
  readonly clockNs: () => bigint;
  readonly random: () => number;
  readonly trace: (line: string) => void;
  /** By id; 0 is nobody's. */
  readonly maps: (BpfMap | undefined)[] = [undefined];
  /** Loaded programs by id. */
  readonly programs = new Map<number, TailTarget>();
  /** What program arrays mirror for compiled tail calls; each has its stretch of it. */
  readonly tailTable: WebAssembly.Table;
  readonly stateAddress: number;
  /** r10 of the outermost frame; frame n has STACK_BYTES below `stackTop - n * STACK_BYTES`. */
  readonly stackTop: number;
  readonly stackBottom: number;

  programType: ProgramType = "xdp";
  /** The packet under way, set by PacketBuffer.reset(); null for a bare run. */
  packet: Packet | null = null;
  /** Between begin() and end(): freed map elements must stay readable. */
  running = false;

  /** Address of the bpf_spin_lock the program holds, 0 for none. */
  heldLock = 0;

  /** bpf_redirect: interface; sk_redirect_*: socket handle. 0 when the program asked for none. */
  redirectTarget = 0;
  redirectFlags = 0;
  redirectMap: BpfMap | null = null;

  #cpu = 0;
  readonly #reclaimers: Reclaimer[] = [];

  constructor(options: RuntimeOptions = {}) {
    this.memory = new LinearMemory(options.limitBytes);
    this.cpus = options.cpus ?? 1;
    this.clockNs = options.clockNs ?? monotonicNs;
    this.random = options.random ?? (() => Math.floor(Math.random() * 2 ** 32));
    this.trace = options.onTrace ?? (() => {});
    this.tailTable = new WebAssembly.Table({ element: "anyfunc", initial: 0 });
    this.stateAddress = this.memory.alloc(STATE_BYTES, STATE_BYTES, "machine state");
    const stackBytes = MAX_FRAMES * STACK_BYTES;
    // One unused frame above: a stray offset from r10 must not hit what is allocated next.
    this.stackBottom = this.memory.alloc(stackBytes + STACK_BYTES, STACK_BYTES, "program stack");
    this.stackTop = this.stackBottom + stackBytes;
  }

  get cpu(): number {
    return this.#cpu;
  }

  set cpu(value: number) {
    if (!Number.isInteger(value) || value < 0 || value >= this.cpus) {
      throw new RangeError(`cpu ${value} does not exist: this machine has ${this.cpus}`);
    }
    this.#cpu = value;
    this.memory.words[(this.stateAddress + STATE.cpu) >> 2] = value;
  }

  get tailCalls(): number {
    return this.memory.words[(this.stateAddress + STATE.tailCalls) >> 2]!;
  }

  set tailCalls(count: number) {
    this.memory.words[(this.stateAddress + STATE.tailCalls) >> 2] = count;
  }

  begin(type: ProgramType): void {
    this.running = true;
    this.programType = type;
    this.tailCalls = 0;
    this.redirectTarget = 0;
    this.redirectFlags = 0;
    this.redirectMap = null;
  }

  end(): void {
    this.running = false;
    if (this.#reclaimers.length > 0) this.#reclaimAll();
  }

  /** A run that faulted never unlocks. */
  dropLock(): void {
    if (this.heldLock !== 0) this.memory.view.setUint32(this.heldLock, 0, true);
    this.heldLock = 0;
  }

  reclaimLater(map: Reclaimer): void {
    this.#reclaimers.push(map);
  }

  #reclaimAll(): void {
    for (const map of this.#reclaimers) map.reclaim();
    this.#reclaimers.length = 0;
  }
}

function monotonicNs(): bigint {
  return BigInt(Math.round(performance.now() * 1e6));
}
