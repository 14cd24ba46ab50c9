/**
 * What a running program and its helpers reach: memory, maps, clock, the packet at hand, where to redirect
 * it. One Runtime a kernel, reused by every run: nothing is allocated between a run's start and its end.
 * Runs of a kernel never nest and never overlap, so that all its emulated CPUs share one stack. Kernels of
 * several threads may lie in one memory: each then is one CPU of the same machine, with a stack of its own.
 */
import type { TailTarget } from "./executable.ts";
import { MAX_FRAMES, STACK_BYTES } from "./isa.ts";
import type { BpfMap } from "./maps/map.ts";
import { LinearMemory } from "./memory.ts";
import type { ProgramType } from "./program.ts";
import { SpinLocks } from "./spin-lock.ts";

/** Words the machine keeps in linear memory, where compiled code reaches them: offsets from `stateAddress`. */
export const STATE = {
  /** u32: tail calls taken in this run. */
  tailCalls: 0,
  /** u32: current CPU, 0-based. */
  cpu: 4,
  /** u32: instructions executed in this run, as compiled code writes them down when a function is left. */
  instructions: 8,
  /** u32: address of the bpf_spin_lock the program or its control plane holds or is about to, 0 for none. */
  heldLock: 12,
  /** u32: the same of a map's own lock. */
  heldMapLock: 16,
  /** Always 0 (spin-lock.ts). */
  pillow: 20,
} as const;
export const STATE_BYTES = 64;
/** Its name in a shared memory's directory: who buries a CPU looks there. */
export const STATE_NAME = "machine state";

/** One of several threads over one machine. */
export type SharedMachine = {
  /** Made by createSharedMemory(). */
  readonly memory: WebAssembly.Memory;
  /**
   * Which CPU this thread is. `cpus` and above: one that runs no programs, but lays out maps and reads them.
   */
  readonly cpu: number;
  /** Locks that keep nobody out: for the test that shows what they are for. */
  readonly brokenLocks?: boolean;
};

export type RuntimeOptions = {
  readonly cpus?: number;
  readonly shared?: SharedMachine;
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

  /** null: nobody else runs over this memory, and a lock is never contended. */
  readonly locks: SpinLocks | null;
  /** bpf_redirect: interface; sk_redirect_*: socket handle. 0 when the program asked for none. */
  redirectTarget = 0;
  redirectFlags = 0;
  redirectMap: BpfMap | null = null;

  #cpu = 0;
  readonly #reclaimers: Reclaimer[] = [];

  constructor(options: RuntimeOptions = {}) {
    const shared = options.shared ?? null;
    this.memory = new LinearMemory(options.limitBytes, shared);
    this.cpus = options.cpus ?? 1;
    this.clockNs = options.clockNs ?? monotonicNs;
    this.random = options.random ?? (() => Math.floor(Math.random() * 2 ** 32));
    this.trace = options.onTrace ?? (() => {});
    this.tailTable = new WebAssembly.Table({ element: "anyfunc", initial: 0 });
    this.stateAddress = this.memory.alloc(STATE_BYTES, STATE_BYTES, STATE_NAME);
    const stackBytes = MAX_FRAMES * STACK_BYTES;
    // One unused frame above: a stray offset from r10 must not hit what is allocated next.
    this.stackBottom = this.memory.alloc(stackBytes + STACK_BYTES, STACK_BYTES, "program stack");
    this.stackTop = this.stackBottom + stackBytes;
    this.locks =
      shared && !shared.brokenLocks
        ? new SpinLocks(this.memory, shared.cpu, this.stateAddress + STATE.pillow)
        : null;
    if (shared) {
      // What a dead predecessor left.
      this.memory.words.fill(0, this.stateAddress >> 2, (this.stateAddress + STATE_BYTES) >> 2);
      if (shared.cpu < this.cpus) this.cpu = shared.cpu;
    }
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

  /** Address of the bpf_spin_lock the program holds, 0 for none. */
  get heldLock(): number {
    return this.memory.words[(this.stateAddress + STATE.heldLock) >> 2]! >>> 0;
  }

  /** bpf_spin_lock, and userspace's way to the same locks. @throws ProgramFault when it cannot be had */
  lock(address: number): void {
    const note = this.stateAddress + STATE.heldLock;
    if (this.locks !== null) this.locks.take(address, note);
    else {
      this.memory.words[address >> 2] = 1;
      this.memory.words[note >> 2] = address;
    }
  }

  /** lock() for who must not wait. @returns whether it is had */
  tryLock(address: number): boolean {
    if (this.locks !== null) return this.locks.tryTake(address, this.stateAddress + STATE.heldLock);
    this.lock(address);
    return true;
  }

  unlock(address: number): void {
    const note = this.stateAddress + STATE.heldLock;
    if (this.locks !== null) this.locks.release(address, note);
    else {
      this.memory.words[address >> 2] = 0;
      this.memory.words[note >> 2] = 0;
    }
  }

  /** A run that faulted never unlocks. It may have faulted waiting for a lock that is another's. */
  dropLock(): void {
    const lock = this.heldLock;
    if (lock === 0) return;
    if (this.locks === null || this.locks.isHeldBy(lock, this.locks.mark - 1)) this.unlock(lock);
    else this.memory.words[(this.stateAddress + STATE.heldLock) >> 2] = 0;
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
