/**
 * One run of an interpreted program, instruction by instruction: registers, frames, calls. Registers are a
 * BigUint64Array whose 32-bit halves are viewed beside it (little-endian, as the linear memory), so that
 * 32-bit work needs no bigint. interpreter.ts is its face.
 */
import { alu32, alu64, atomicResult, isTaken32, isTaken64, movsx, swapBytes } from "./arithmetic.ts";
import { ProgramFault } from "./engine.ts";
import { type BoundHelper, bindHelper } from "./helpers/bind.ts";
import { kfuncById } from "./helpers/kfuncs.ts";
import { bindKfunc } from "./helpers/number-iterator.ts";
import { type HelperRow, helperById, parameterWires } from "./helpers/signatures.ts";
import type { InterpretedProgram } from "./interpreter.ts";
import {
  type AtomicOp,
  assertNever,
  FRAME_POINTER,
  type Instruction,
  MAX_FRAMES,
  MAX_LOOPS,
  MAX_TAIL_CALLS,
  REGISTER_COUNT,
  STACK_BYTES,
  slotsOf,
} from "./isa.ts";
import { ERRNO } from "./maps/map.ts";
import { ProgArrayMap } from "./maps/prog-array.ts";
import { MemoryGuard } from "./memory-guard.ts";
import type { Runtime } from "./runtime.ts";

const FIRST_SAVED = 6;
const LAST_SAVED = 9;

/** What a frame returns to; `loop` when a helper called it again and again. */
type Frame = {
  readonly program: InterpretedProgram;
  readonly returnTo: number;
  readonly saved: BigUint64Array;
  /** Rounds its may_gotos had left. */
  readonly rounds: number;
  readonly loop: {
    index: number;
    readonly count: number;
    readonly entry: number;
    readonly ctx: bigint;
  } | null;
};

type Helper = {
  readonly row: HelperRow;
  readonly call: BoundHelper | undefined;
  readonly wires: readonly ("i32" | "i64")[];
};

export class Run {
  readonly registers = new BigUint64Array(REGISTER_COUNT);
  executed = 0;
  ended = false;
  onWrite: ((address: number, bytes: number) => void) | null = null;
  readonly #halves = new Int32Array(this.registers.buffer);
  readonly #rt: Runtime;
  readonly #guard: MemoryGuard;
  readonly #frames: Frame[] = [];
  readonly #helpers = new Map<number, Helper>();
  #program: InterpretedProgram;
  #pc = 0;
  /** Rounds left to the may_gotos of the function being run. */
  #rounds = MAX_LOOPS;

  constructor(program: InterpretedProgram, r1: bigint, r2: bigint) {
    this.#program = program;
    this.#rt = program.input.rt;
    this.#guard = new MemoryGuard(this.#rt, program.input.maps);
    this.registers[1] = r1;
    this.registers[2] = r2;
    this.registers[FRAME_POINTER] = BigInt(this.#rt.stackTop);
  }

  toEnd(budget: number): void {
    while (!this.ended) {
      if (this.executed === budget) {
        throw new ProgramFault("budget", `the program ran ${budget} instructions without an end`, this.#pc);
      }
      this.step();
    }
  }

  position(): { slot: number; insn: Instruction; depth: number } {
    const insn = this.#program.input.slots[this.#pc]!;
    return { slot: this.#pc, insn, depth: this.#frames.length + 1 };
  }

  step(): void {
    const slot = this.#pc;
    const insn = this.#program.input.slots[slot];
    if (!insn) throw new ProgramFault("trap", `no instruction at slot ${slot}`, slot);
    this.executed++;
    this.#pc = slot + 1;
    const { registers } = this;
    switch (insn.kind) {
      case "alu":
        if (insn.width === 64) {
          const operand = insn.src === null ? this.#program.constants[slot]! : registers[insn.src]!;
          registers[insn.dst] = alu64(insn.op, registers[insn.dst]!, operand);
        } else {
          const operand = insn.src === null ? insn.imm : this.#low(insn.src);
          this.#setLow(insn.dst, alu32(insn.op, this.#low(insn.dst), operand));
        }
        return;
      case "neg":
        if (insn.width === 64) registers[insn.dst] = -registers[insn.dst]!;
        else this.#setLow(insn.dst, -this.#low(insn.dst));
        return;
      case "movsx": {
        const value = movsx(insn.bits, registers[insn.src]!);
        registers[insn.dst] = insn.width === 64 ? value : BigInt.asUintN(32, value);
        return;
      }
      case "swap":
        registers[insn.dst] = swapBytes(insn.order, insn.bits, registers[insn.dst]!);
        return;
      case "jump":
        this.#pc += insn.off;
        return;
      case "branch": {
        const taken =
          insn.width === 64
            ? isTaken64(
                insn.op,
                registers[insn.dst]!,
                insn.src === null ? this.#program.constants[slot]! : registers[insn.src]!,
              )
            : isTaken32(insn.op, this.#low(insn.dst), insn.src === null ? insn.imm : this.#low(insn.src));
        if (taken) this.#pc += insn.off;
        return;
      }
      case "may_goto":
        if (this.#rounds === 0) this.#pc += insn.off;
        else this.#rounds--;
        return;
      case "call":
        this.#call(insn, slot);
        return;
      case "exit":
        this.#exit();
        return;
      case "load": {
        const address = this.#address(insn.src, insn.off);
        this.#guard.read(address, insn.bytes, slot);
        this.#load(insn, address);
        return;
      }
      case "store": {
        const address = this.#address(insn.dst, insn.off);
        this.#guard.write(address, insn.bytes, slot);
        const value = insn.src === null ? this.#program.constants[slot]! : registers[insn.src]!;
        this.#store(address, insn.bytes, value);
        return;
      }
      case "atomic": {
        const address = this.#address(insn.dst, insn.off);
        this.#guard.write(address, insn.bytes, slot);
        if (this.#rt.memory.isShared) this.#sharedAtomic(insn, address, slot);
        else this.#atomic(insn, address);
        return;
      }
      case "packet":
        this.#loadPacket(insn);
        return;
      case "wide":
        registers[insn.dst] = this.#program.constants[slot]!;
        this.#pc = slot + slotsOf(insn);
        return;
      default:
        assertNever(insn);
    }
  }

  #low(register: number): number {
    return this.#halves[register * 2]!;
  }

  /** Writes to a 32-bit subregister zero the upper half (RFC 9669 §4.1). */
  #setLow(register: number, value: number): void {
    this.#halves[register * 2] = value;
    this.#halves[register * 2 + 1] = 0;
  }

  /** As a number: exact below 2^53, and anything larger is out of every region anyway. */
  #address(register: number, off: number): number {
    const high = this.#halves[register * 2 + 1]! >>> 0;
    return high * 2 ** 32 + (this.#low(register) >>> 0) + off;
  }

  #load(insn: Extract<Instruction, { kind: "load" }>, address: number): void {
    const { view } = this.#rt.memory;
    const { dst, bytes, signed } = insn;
    if (bytes === 8) {
      this.registers[dst] = view.getBigUint64(address, true);
      return;
    }
    if (signed) {
      const value =
        bytes === 4
          ? view.getInt32(address, true)
          : bytes === 2
            ? view.getInt16(address, true)
            : view.getInt8(address);
      this.#halves[dst * 2] = value;
      this.#halves[dst * 2 + 1] = value >> 31;
      return;
    }
    const value =
      bytes === 4
        ? view.getUint32(address, true)
        : bytes === 2
          ? view.getUint16(address, true)
          : view.getUint8(address);
    this.#setLow(dst, value);
  }

  #store(address: number, bytes: number, value: bigint): void {
    const { view } = this.#rt.memory;
    if (bytes === 8) view.setBigUint64(address, value, true);
    else {
      const low = Number(BigInt.asUintN(32, value));
      if (bytes === 4) view.setUint32(address, low, true);
      else if (bytes === 2) view.setUint16(address, low & 0xffff, true);
      else view.setUint8(address, low & 0xff);
    }
    this.onWrite?.(address, bytes);
  }

  /** Other threads run over the same memory: the operation is the host's. */
  #sharedAtomic(insn: Extract<Instruction, { kind: "atomic" }>, address: number, slot: number): void {
    const { registers } = this;
    const { bytes, op } = insn;
    if (address % bytes !== 0) {
      throw new ProgramFault(
        "memory",
        `insn ${slot}: atomic of ${bytes} bytes at 0x${address.toString(16)} is not aligned, which a shared memory demands`,
        slot,
      );
    }
    const { buffer } = this.#rt.memory.memory;
    const operand = BigInt.asUintN(bytes * 8, registers[insn.src]!);
    const expected = BigInt.asUintN(bytes * 8, registers[0]!);
    const old =
      bytes === 8
        ? HOST_ATOMICS[op](
            new BigUint64Array(buffer, address, 1) as never,
            operand as never,
            expected as never,
          )
        : HOST_ATOMICS[op](new Uint32Array(buffer, address, 1), Number(operand), Number(expected));
    this.onWrite?.(address, bytes);
    if (op === "cmpxchg") registers[0] = BigInt(old);
    else if (insn.fetch) registers[insn.src] = BigInt(old);
  }

  /** One thread runs programs, so reading and writing in turn is atomic. */
  #atomic(insn: Extract<Instruction, { kind: "atomic" }>, address: number): void {
    const { view } = this.#rt.memory;
    const { registers } = this;
    const bits = insn.bytes * 8;
    const old = insn.bytes === 8 ? view.getBigUint64(address, true) : BigInt(view.getUint32(address, true));
    const operand = BigInt.asUintN(bits, registers[insn.src]!);
    if (insn.op === "cmpxchg") {
      if (old === BigInt.asUintN(bits, registers[0]!)) this.#store(address, insn.bytes, operand);
      registers[0] = old;
      return;
    }
    this.#store(address, insn.bytes, atomicResult(insn.op, old, operand));
    if (insn.fetch) registers[insn.src] = old;
  }

  /** RFC 9669 §5.5 and Linux: network order; outside the packet the function returns 0. */
  #loadPacket(insn: Extract<Instruction, { kind: "packet" }>): void {
    const { packet, memory } = this.#rt;
    const offset = insn.imm + (insn.src === null ? 0 : this.#low(insn.src));
    if (!packet || offset < 0 || packet.data + offset + insn.bytes > packet.dataEnd) {
      this.registers[0] = 0n;
      this.#exit();
      return;
    }
    const at = packet.data + offset;
    const { view } = memory;
    const value =
      insn.bytes === 4 ? view.getUint32(at) : insn.bytes === 2 ? view.getUint16(at) : view.getUint8(at);
    this.#setLow(0, value);
  }

  #call(insn: Extract<Instruction, { kind: "call" }>, slot: number): void {
    switch (insn.target) {
      case "local":
        this.#enter(this.#pc + insn.off, null, slot);
        return;
      case "helper":
        this.#callHelper(insn.id, slot);
        return;
      case "register": {
        // Not in RFC 9669: the register holds a helper's id, as LLVM's -O0 output does.
        this.#callHelper(Number(BigInt.asIntN(53, this.registers[insn.reg]!)), slot);
        return;
      }
      case "kfunc":
        this.#callKfunc(insn.id, slot);
        return;
      default:
        assertNever(insn);
    }
  }

  #enter(entry: number, loop: Frame["loop"], slot: number): void {
    if (this.#frames.length + 2 > MAX_FRAMES) {
      throw new ProgramFault("frames", `the call stack of ${MAX_FRAMES} frames is too deep`, slot);
    }
    const saved = this.registers.slice(FIRST_SAVED, LAST_SAVED + 1);
    this.#frames.push({ program: this.#program, returnTo: this.#pc, saved, rounds: this.#rounds, loop });
    this.#rounds = MAX_LOOPS;
    this.registers[FRAME_POINTER] = this.registers[FRAME_POINTER]! - BigInt(STACK_BYTES);
    this.#guard.frames = this.#frames.length + 1;
    this.#pc = entry;
  }

  #exit(): void {
    const frame = this.#frames.at(-1);
    if (!frame) {
      this.ended = true;
      return;
    }
    this.registers.set(frame.saved, FIRST_SAVED);
    if (frame.loop) {
      frame.loop.index++;
      const stops = this.registers[0] !== 0n || frame.loop.index === frame.loop.count;
      if (!stops) {
        this.#startIteration(frame.loop);
        return;
      }
      this.registers[0] = BigInt(frame.loop.index);
    }
    this.#frames.pop();
    this.#rounds = frame.rounds;
    this.#guard.frames = this.#frames.length + 1;
    this.registers[FRAME_POINTER] = this.registers[FRAME_POINTER]! + BigInt(STACK_BYTES);
    this.#program = frame.program;
    this.#pc = frame.returnTo;
  }

  #callHelper(id: number, slot: number): void {
    let helper = this.#helpers.get(id);
    if (!helper) {
      const row = helperById(id);
      if (!row) throw new ProgramFault("call", `helper #${id} is not known`, slot);
      helper = { row, call: bindHelper(this.#rt, id), wires: parameterWires(row) };
      this.#helpers.set(id, helper);
    }
    const { row, call, wires } = helper;
    if (row.name === "tail_call") {
      this.#tailCall(slot);
      return;
    }
    if (row.name === "loop") {
      this.#startLoop(slot);
      return;
    }
    this.#guard.checkArguments(row, this.registers, slot);
    if (!call) throw new ProgramFault("call", `helper ${row.name} has no implementation`, slot);
    const result = call(
      ...wires.map((wire, i) => {
        const value = this.registers[i + 1]!;
        return wire === "i64" ? value : Number(BigInt.asIntN(32, value));
      }),
    );
    // A void helper leaves r0 undefined; 0 is as good as any.
    const value = result === undefined ? 0n : BigInt(result);
    this.registers[0] = row.wire === "u32" ? BigInt.asUintN(32, value) : value;
  }

  #callKfunc(id: number, slot: number): void {
    const row = kfuncById(id);
    const call = bindKfunc(this.#rt, id);
    if (!row || !call) throw new ProgramFault("call", `kernel function #${id} is not known`, slot);
    this.#guard.checkKfuncArguments(row, this.registers, slot);
    const value = BigInt(call(...row.args.map((_, i) => this.#low(i + 1))) ?? 0);
    this.registers[0] = row.wire === "u32" ? BigInt.asUintN(32, value) : value;
  }

  /** Falls through when the slot is empty or the 33 calls are used up, as Linux does. */
  #tailCall(slot: number): void {
    const map = this.#guard.mapOf(this.registers[2]!, slot);
    if (!(map instanceof ProgArrayMap)) {
      throw new ProgramFault("helper", `tail_call: map '${map.def.name}' is not a program array`, slot);
    }
    const target = map.executableAt(this.#low(3) >>> 0);
    if (target?.engine !== "interpreter" || this.#rt.tailCalls >= MAX_TAIL_CALLS) return;
    this.#rt.tailCalls++;
    this.#program = target as InterpretedProgram;
    this.#guard.addMaps(this.#program.input.maps);
    this.#rounds = MAX_LOOPS;
    this.#pc = 0;
  }

  #startLoop(slot: number): void {
    const count = this.#low(1) >>> 0;
    if (this.registers[4] !== 0n) {
      this.registers[0] = BigInt(-ERRNO.EINVAL);
      return;
    }
    if (count > MAX_LOOPS) {
      this.registers[0] = BigInt(-ERRNO.E2BIG);
      return;
    }
    if (count === 0) {
      this.registers[0] = 0n;
      return;
    }
    const entry = Number(this.registers[2]);
    if (!this.#program.input.functions.includes(entry)) {
      throw new ProgramFault("call", `loop: r2 is not the address of a function`, slot);
    }
    const loop = { index: 0, count, entry, ctx: this.registers[3]! };
    this.#enter(entry, loop, slot);
    this.#startIteration(loop);
  }

  #startIteration(loop: NonNullable<Frame["loop"]>): void {
    this.registers[1] = BigInt(loop.index);
    this.registers[2] = loop.ctx;
    this.#rounds = MAX_LOOPS;
    this.#pc = loop.entry;
  }
}

/** Each returns what the cell held before. The same code serves 64-bit cells. */
const HOST_ATOMICS: Readonly<
  Record<AtomicOp, (cell: Uint32Array, operand: number, expected: number) => number>
> = {
  add: (cell, operand) => Atomics.add(cell, 0, operand),
  or: (cell, operand) => Atomics.or(cell, 0, operand),
  and: (cell, operand) => Atomics.and(cell, 0, operand),
  xor: (cell, operand) => Atomics.xor(cell, 0, operand),
  xchg: (cell, operand) => Atomics.exchange(cell, 0, operand),
  cmpxchg: (cell, operand, expected) => Atomics.compareExchange(cell, 0, expected, operand),
};
