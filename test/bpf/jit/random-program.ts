/**
 * Random programs that are right by construction, so that they may run unchecked: every register is written
 * before it is read, memory is touched only in windows known to exist, and fuel in r9 bounds every way
 * through the graph. The graph itself is arbitrary: loops, shared tails, several entries into one loop.
 */
import { toSlots } from "../../../src/bpf/codec.ts";
import {
  ALU_OPS,
  ATOMIC_OPS,
  type Bytes,
  type Instruction,
  JUMP_OPS,
  MOVSX_BITS,
  type Reg,
  slotsOf,
  type Width,
} from "../../../src/bpf/isa.ts";
import type { MapDef } from "../../../src/bpf/program.ts";

/** mulberry32: small, seedable, good enough to pick instructions. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const FUZZ_MAPS: readonly MapDef[] = [
  { name: "plain", type: "array", keyBytes: 4, valueBytes: 24, maxEntries: 3, flags: 0 },
  { name: "percpu", type: "percpu_array", keyBytes: 4, valueBytes: 16, maxEntries: 2, flags: 0 },
  { name: "hash", type: "hash", keyBytes: 4, valueBytes: 8, maxEntries: 4, flags: 0 },
];

/** Bytes of the window below r10 that programs compute in; above it lie keys and values of helper calls. */
const WINDOW_BYTES = 128;
const WINDOW = -256;
const KEY = -8;
const VALUE = -16;
const FUEL: Reg = 9;
const SCRATCH: Reg = 8;
/** Registers that hold any value; r8 and r9 are the generator's own. */
const VALUES: readonly Reg[] = [0, 1, 2, 3, 4, 5, 6, 7];
const CLOBBERED: readonly Reg[] = [1, 2, 3, 4, 5];
const IMMEDIATES = [0, 1, -1, 2, 7, 8, 31, 32, 63, 64, 255, 65_535, 0x7fffffff, -0x80000000, -2, 1000];
const HELPER = { lookup: 1, update: 2, delete: 3, prandom: 7, loop: 181 } as const;

type Target = { readonly label: string };
type Callable = Target & { readonly role: "entry" | "subprogram" | "callback" };
type Item = { insn: Instruction; to?: Target } | Target;

class Generator {
  readonly items: Item[] = [];
  readonly random: () => number;
  #labels = 0;
  constructor(random: () => number) {
    this.random = random;
  }
  below(n: number): number {
    return Math.floor(this.random() * n);
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  chance(p: number): boolean {
    return this.random() < p;
  }
  label(): Target {
    return { label: `l${this.#labels++}` };
  }
  emit(insn: Instruction, to?: Target): void {
    this.items.push(to ? { insn, to } : { insn });
  }
  place(target: Target): void {
    this.items.push(target);
  }
  immediate(): number {
    return this.chance(0.7) ? this.pick(IMMEDIATES) : this.below(2 ** 32) | 0;
  }
  value(): Reg {
    return this.pick(VALUES);
  }
  mov(dst: Reg, imm: number): void {
    this.emit({ kind: "alu", op: "mov", width: 64, dst, src: null, imm });
  }
  copy(dst: Reg, src: Reg): void {
    this.emit({ kind: "alu", op: "mov", width: 64, dst, src, imm: 0 });
  }
  addTo(dst: Reg, imm: number): void {
    this.emit({ kind: "alu", op: "add", width: 64, dst, src: null, imm });
  }
  wide(dst: Reg, pseudo: "imm" | "map", imm: number, imm2 = 0): void {
    this.emit({ kind: "wide", pseudo, dst, imm, imm2 });
  }
  call(id: number): void {
    this.emit({ kind: "call", target: "helper", id });
  }
  /** `r = r10 + off` */
  stackPointer(dst: Reg, off: number): void {
    this.copy(dst, 10);
    this.addTo(dst, off);
  }
}

/** A program of a few functions; r1 is not read. Ends with r0 = a digest of registers and stack. */
export function randomProgram(seed: number): (Instruction | null)[] {
  const g = new Generator(randomOf(seed));
  const functions: Callable[] = [{ ...g.label(), role: "entry" }];
  for (let n = g.below(4); n > 0; n--) {
    functions.push({ ...g.label(), role: g.pick(["subprogram", "callback"] as const) });
  }
  functions.forEach((callable, i) => {
    g.place(callable);
    emitFunction(g, functions.slice(i + 1), callable.role);
  });
  return link(g.items);
}

/** Registers a function is called with. */
const ARGUMENTS: Readonly<Record<Callable["role"], readonly Reg[]>> = {
  entry: [],
  subprogram: [1, 2, 3, 4, 5],
  callback: [1, 2],
};

function emitFunction(g: Generator, callees: readonly Callable[], role: Callable["role"]): void {
  for (const reg of VALUES) {
    if (ARGUMENTS[role].includes(reg)) continue;
    if (g.chance(0.5)) g.mov(reg, g.immediate());
    else g.wide(reg, "imm", g.immediate(), g.immediate());
  }
  g.mov(FUEL, role === "entry" ? 5 + g.below(40) : 2 + g.below(6));
  for (let off = 0; off < WINDOW_BYTES; off += 8) {
    g.emit({ kind: "store", bytes: 8, dst: 10, off: WINDOW + off, src: null, imm: g.immediate() });
  }
  const out = g.label();
  const blocks = Array.from({ length: 1 + g.below(10) }, () => g.label());
  // Some graphs only go forward or back to their start, some go anywhere.
  const isWild = g.chance(0.5);
  blocks.forEach((block, i) => {
    g.place(block);
    g.addTo(FUEL, -1);
    g.emit({ kind: "branch", op: "sle", width: 64, dst: FUEL, src: null, imm: 0, off: 0 }, out);
    for (let n = g.below(8); n > 0; n--) emitSomething(g, callees);
    const reachable = isWild ? blocks : [...blocks.slice(i + 1), blocks[g.below(i + 1)]!, out];
    if (g.chance(0.75)) emitBranch(g, g.pick(reachable));
    if (g.chance(0.3)) g.emit({ kind: "jump", off: 0, long: g.chance(0.3) }, g.pick(reachable));
  });
  g.place(out);
  emitDigest(g, role);
}

/** Folds the registers and the window into r0, and leaves. */
function emitDigest(g: Generator, role: Callable["role"]): void {
  const fold = (src: Reg): void => {
    g.emit({ kind: "alu", op: "mul", width: 64, dst: 0, src: null, imm: 0x01000193 });
    g.emit({ kind: "alu", op: "xor", width: 64, dst: 0, src, imm: 0 });
  };
  for (const reg of VALUES.slice(1)) fold(reg);
  for (let off = 0; off < WINDOW_BYTES; off += 8) {
    g.emit({ kind: "load", bytes: 8, signed: false, dst: SCRATCH, src: 10, off: WINDOW + off });
    fold(SCRATCH);
  }
  // Any result but 0 ends the loop that called back.
  if (role === "callback") g.emit({ kind: "alu", op: "and", width: 64, dst: 0, src: null, imm: 3 });
  g.emit({ kind: "exit" });
}

function emitBranch(g: Generator, to: Target): void {
  const src = g.chance(0.5) ? g.value() : null;
  const imm = src === null ? g.immediate() : 0;
  g.emit(
    { kind: "branch", op: g.pick(JUMP_OPS).name, width: width(g), dst: g.value(), src, imm, off: 0 },
    to,
  );
}

function width(g: Generator): Width {
  return g.chance(0.5) ? 64 : 32;
}

/** Each as likely as the others, arithmetic more so. */
const SOMETHING: readonly ((g: Generator, callees: readonly Callable[]) => void)[] = [
  emitAlu,
  emitAlu,
  emitAlu,
  emitUnary,
  emitMemory,
  emitMemory,
  emitIndexed,
  emitAtomic,
  emitMapUse,
  emitCall,
];

function emitSomething(g: Generator, callees: readonly Callable[]): void {
  g.pick(SOMETHING)(g, callees);
}

function emitAlu(g: Generator): void {
  const { name } = g.pick(ALU_OPS);
  const dst = g.value();
  if (name === "neg") {
    g.emit({ kind: "neg", width: width(g), dst });
    return;
  }
  const src = g.chance(0.6) ? g.value() : null;
  g.emit({ kind: "alu", op: name, width: width(g), dst, src, imm: src === null ? g.immediate() : 0 });
}

function emitUnary(g: Generator): void {
  const dst = g.value();
  if (g.chance(0.5)) {
    const order = g.pick(["le", "be", "bswap"] as const);
    g.emit({ kind: "swap", order, bits: g.pick([16, 32, 64] as const), dst });
    return;
  }
  const w = width(g);
  g.emit({ kind: "movsx", width: w, bits: g.pick<8 | 16 | 32>(MOVSX_BITS[w]), dst, src: g.value() });
}

function emitAccess(g: Generator, base: Reg, off: number, bytes: Bytes): void {
  if (g.chance(0.5)) {
    const signed = bytes < 8 && g.chance(0.4);
    g.emit({ kind: "load", bytes, signed, dst: g.value(), src: base, off });
    return;
  }
  const src = g.chance(0.7) ? g.value() : null;
  g.emit({ kind: "store", bytes, dst: base, off, src, imm: src === null ? g.immediate() : 0 });
}

function emitMemory(g: Generator): void {
  const bytes = g.pick([1, 2, 4, 8] as const);
  emitAccess(g, 10, WINDOW + g.below(WINDOW_BYTES - bytes + 1), bytes);
}

/** Through a computed pointer, with an offset of either sign. */
function emitIndexed(g: Generator): void {
  const bytes = g.pick([1, 2, 4, 8] as const);
  g.copy(SCRATCH, g.value());
  g.emit({ kind: "alu", op: "and", width: 64, dst: SCRATCH, src: null, imm: WINDOW_BYTES - 16 });
  const bias = g.pick([0, 100, -100]);
  g.addTo(SCRATCH, WINDOW - bias);
  g.emit({ kind: "alu", op: "add", width: 64, dst: SCRATCH, src: 10, imm: 0 });
  emitAccess(g, SCRATCH, bias + g.below(8), bytes);
}

function emitAtomic(g: Generator): void {
  const { name, fetch } = g.pick(ATOMIC_OPS);
  const bytes = g.pick([4, 8] as const);
  const off = WINDOW + g.below(WINDOW_BYTES / 8) * 8;
  g.emit({ kind: "atomic", op: name, fetch, bytes, dst: 10, src: g.value(), off });
}

function emitMapUse(g: Generator): void {
  const map = g.below(FUZZ_MAPS.length);
  g.emit({ kind: "alu", op: "and", width: 64, dst: g.value(), src: null, imm: 3 });
  g.emit({ kind: "store", bytes: 4, dst: 10, off: KEY, src: g.value(), imm: 0 });
  if (g.chance(0.7)) g.emit({ kind: "store", bytes: 4, dst: 10, off: KEY, src: null, imm: g.below(4) });
  const helper = g.pick([HELPER.lookup, HELPER.lookup, HELPER.update, HELPER.delete, HELPER.prandom]);
  g.stackPointer(2, KEY);
  if (helper === HELPER.update) {
    for (let off = 0; off < 24; off += 8) {
      g.emit({ kind: "store", bytes: 8, dst: 10, off: VALUE - 16 + off - 8, src: 7, imm: 0 });
    }
    g.stackPointer(3, VALUE - 24);
    g.mov(4, g.pick([0, 1, 2, 3]));
  }
  g.wide(1, "map", map);
  g.call(helper);
  if (helper === HELPER.lookup) {
    const none = g.label();
    g.emit({ kind: "branch", op: "eq", width: 64, dst: 0, src: null, imm: 0, off: 0 }, none);
    // Addresses differ between engines' runtimes: use the value, not the pointer.
    const add = { kind: "atomic", op: "add", fetch: true, bytes: 8, dst: 0, src: 7, off: 0 } as const;
    if (g.chance(0.5)) g.emit({ kind: "load", bytes: 8, signed: false, dst: 6, src: 0, off: 0 });
    else g.emit(add);
    g.mov(0, 1);
    g.place(none);
  }
  reinitialise(g);
}

function emitCall(g: Generator, callees: readonly Callable[]): void {
  const callee = callees[g.below(callees.length)];
  if (!callee) return;
  if (callee.role === "callback") {
    g.mov(1, g.below(4));
    g.emit({ kind: "wide", pseudo: "func", dst: 2, imm: 0, imm2: 0 }, callee);
    g.mov(3, 77);
    g.mov(4, 0);
    g.call(HELPER.loop);
  } else {
    for (const reg of CLOBBERED) if (g.chance(0.5)) g.copy(reg, g.value());
    g.emit({ kind: "call", target: "local", off: 0 }, callee);
  }
  reinitialise(g);
}

function reinitialise(g: Generator): void {
  for (const reg of CLOBBERED) g.mov(reg, g.immediate());
}

/** Slots, with each reference turned into an offset. */
function link(items: readonly Item[]): (Instruction | null)[] {
  const slotOf = new Map<string, number>();
  let slot = 0;
  for (const item of items) {
    if ("insn" in item) slot += slotsOf(item.insn);
    else slotOf.set(item.label, slot);
  }
  const linked: Instruction[] = [];
  slot = 0;
  for (const item of items) {
    if (!("insn" in item)) continue;
    const { insn, to } = item;
    const off = to ? slotOf.get(to.label)! - slot - 1 : 0;
    if (!to) linked.push(insn);
    else if (insn.kind === "wide") linked.push({ ...insn, imm: off });
    else if (insn.kind === "branch" || insn.kind === "jump") linked.push({ ...insn, off });
    else if (insn.kind === "call" && insn.target === "local") linked.push({ ...insn, off });
    slot += slotsOf(insn);
  }
  return toSlots(linked);
}
