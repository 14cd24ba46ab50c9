/**
 * Programs for the differential and soundness tests: structured, not random bytes. Each has a map value and
 * a packet at hand and a body of idioms (bounded indexes, packet checks, spills, loops, arithmetic), each
 * with a chance of being off by one or of lacking its check. Same seed, same program.
 */
import { encode, toSlots } from "../../../src/bpf/codec.ts";
import type { AluOp, Bytes, Instruction, JumpOp, Width } from "../../../src/bpf/isa.ts";
import type { MapDef, Program } from "../../../src/bpf/program.ts";

export const VALUE_BYTES = 64;
export const FUZZ_MAP: MapDef = {
  name: "fuzz",
  type: "array",
  keyBytes: 4,
  valueBytes: VALUE_BYTES,
  maxEntries: 1,
  flags: 0,
};

/** Registers: r6 ctx, r7 packet, r8 its end, r9 map value; r0..r4 numbers, r5 for addresses. */
const NUMBERS = [0, 1, 2, 3, 4] as const;
const ADDRESS = 5;
const PACKET = 7;
const PACKET_END = 8;
const VALUE = 9;

const ALU: readonly Exclude<AluOp, "neg">[] = [
  "add",
  "sub",
  "mul",
  "or",
  "and",
  "lsh",
  "rsh",
  "xor",
  "arsh",
  "mov",
  "div",
  "mod",
];
const JUMPS: readonly JumpOp[] = ["eq", "ne", "gt", "ge", "lt", "le", "sgt", "sge", "slt", "sle", "set"];

export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }
  next(): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }
  below(n: number): number {
    return this.next() % n;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

type Item = Instruction & { label?: string };

class Builder {
  readonly items: Item[] = [];
  readonly labels = new Map<string, number>();
  readonly random: Random;
  #slot = 0;
  #names = 0;

  constructor(random: Random) {
    this.random = random;
  }
  add(insn: Item): void {
    this.items.push(insn);
    this.#slot += insn.kind === "wide" ? 2 : 1;
  }
  label(name: string): void {
    this.labels.set(name, this.#slot);
  }
  fresh(): string {
    return `l${this.#names++}`;
  }
  alu(op: Exclude<AluOp, "neg">, dst: number, src: number | null, imm = 0, width: Width = 64): void {
    this.add({ kind: "alu", op, width, dst, src, imm });
  }
  branch(op: JumpOp, dst: number, src: number | null, imm: number, label: string, width: Width = 64): void {
    this.add({ kind: "branch", op, width, dst, src, imm, off: 0, label });
  }
  load(bytes: Bytes, dst: number, src: number, off: number, signed = false): void {
    this.add({ kind: "load", bytes, signed: signed && bytes < 8, dst, src, off });
  }
  store(bytes: Bytes, dst: number, off: number, src: number | null, imm = 0): void {
    this.add({ kind: "store", bytes, dst, off, src, imm });
  }
  finish(): Uint8Array {
    let slot = 0;
    const plain = this.items.map(({ label, ...insn }): Instruction => {
      const at = slot;
      slot += insn.kind === "wide" ? 2 : 1;
      if (label === undefined || (insn.kind !== "branch" && insn.kind !== "jump")) return insn as Instruction;
      return { ...insn, off: this.labels.get(label)! - at - 1 } as Instruction;
    });
    return encode(toSlots(plain));
  }
}

const IMMEDIATES = [
  0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 55, 56, 57, 63, 64, 255, 1000, 0xffff, -1, -2, -8, 0x7fffffff,
  -0x80000000,
];
const SIZES: readonly Bytes[] = [1, 2, 4, 8];

type Idiom = (b: Builder) => void;

const IDIOMS: readonly { readonly weight: number; readonly make: Idiom }[] = [
  { weight: 30, make: arithmetic },
  { weight: 14, make: skip },
  { weight: 16, make: indexValue },
  { weight: 12, make: indexPacket },
  { weight: 10, make: spill },
  { weight: 5, make: stackIndex },
  { weight: 6, make: loop },
  { weight: 4, make: extend },
  { weight: 3, make: atomic },
];
const TOTAL = IDIOMS.reduce((sum, { weight }) => sum + weight, 0);

function idiom(b: Builder): void {
  let left = b.random.below(TOTAL);
  for (const { weight, make } of IDIOMS) {
    if (left < weight) {
      make(b);
      return;
    }
    left -= weight;
  }
}

function arithmetic(b: Builder): void {
  const r = b.random;
  const width: Width = r.chance(35) ? 32 : 64;
  const op = r.pick(ALU);
  const dst = r.pick(NUMBERS);
  if (r.chance(50)) {
    b.alu(op, dst, r.pick(NUMBERS), 0, width);
    return;
  }
  let imm = r.pick(IMMEDIATES);
  if (op === "lsh" || op === "rsh" || op === "arsh") imm = r.below(width);
  if ((op === "div" || op === "mod") && imm === 0) imm = 3;
  b.alu(op, dst, null, imm, width);
}

function extend(b: Builder): void {
  const r = b.random;
  const dst = r.pick(NUMBERS);
  if (r.chance(50)) {
    const width: Width = r.chance(50) ? 32 : 64;
    b.add({ kind: "movsx", width, bits: r.pick([8, 16] as const), dst, src: r.pick(NUMBERS) });
    return;
  }
  const isSwap = r.chance(50);
  if (isSwap) {
    b.add({
      kind: "swap",
      order: r.pick(["le", "be", "bswap"] as const),
      bits: r.pick([16, 32, 64] as const),
      dst,
    });
  } else b.add({ kind: "neg", width: r.chance(50) ? 32 : 64, dst });
}

/** A branch over a few idioms. */
function skip(b: Builder): void {
  const r = b.random;
  const end = b.fresh();
  compare(b, end);
  for (let i = r.below(3); i >= 0; i--) arithmetic(b);
  b.label(end);
}

function compare(b: Builder, target: string): void {
  const r = b.random;
  const width: Width = r.chance(35) ? 32 : 64;
  if (r.chance(40)) b.branch(r.pick(JUMPS), r.pick(NUMBERS), r.pick(NUMBERS), 0, target, width);
  else b.branch(r.pick(JUMPS), r.pick(NUMBERS), null, r.pick(IMMEDIATES), target, width);
}

/** Bounds a number in one of the ways programs do, mostly rightly. @returns its greatest value, if bounded */
function bound(b: Builder, reg: number, limit: number): void {
  const r = b.random;
  const wrong = r.chance(20) ? r.pick([1, 2, 8]) : 0;
  const most = limit + wrong;
  switch (r.below(7)) {
    case 0:
      b.alu("and", reg, null, 2 ** Math.floor(Math.log2(Math.max(most, 1) + 1)) - 1);
      return;
    case 1:
      b.branch("gt", reg, null, most, "out");
      return;
    case 2:
      b.branch("ge", reg, null, most + 1, "out");
      return;
    case 3:
      b.branch("sgt", reg, null, most, "out");
      if (!r.chance(20)) b.branch("slt", reg, null, 0, "out");
      return;
    case 4:
      b.alu("mov", reg, reg, 0, 32);
      b.branch("gt", reg, null, most, "out", r.chance(50) ? 32 : 64);
      return;
    case 5: {
      // Through a copy, as compilers leave it.
      const copy = r.pick(NUMBERS);
      b.alu("mov", copy, reg);
      if (r.chance(30)) b.alu("add", copy, null, r.below(8));
      b.branch("gt", copy, null, most, "out");
      return;
    }
    default:
      b.alu("rsh", reg, null, 64 - Math.max(1, Math.floor(Math.log2(Math.max(most, 1) + 1))));
  }
}

function indexValue(b: Builder): void {
  const r = b.random;
  const bytes = r.pick(SIZES);
  const off = r.chance(60) ? 0 : r.below(16);
  const reg = r.pick(NUMBERS);
  if (!r.chance(8)) bound(b, reg, VALUE_BYTES - bytes - off);
  if (r.chance(15)) b.alu("mul", reg, null, r.below(4));
  b.alu("mov", ADDRESS, VALUE);
  b.alu(r.chance(92) ? "add" : "sub", ADDRESS, reg);
  touch(b, bytes, off);
}

function indexPacket(b: Builder): void {
  const r = b.random;
  const bytes = r.pick(SIZES);
  const off = r.below(6);
  b.alu("mov", ADDRESS, PACKET);
  if (r.chance(60)) {
    const reg = r.pick(NUMBERS);
    if (!r.chance(10)) bound(b, reg, r.pick([10, 40, 1000]));
    b.alu("add", ADDRESS, reg);
  }
  const end = r.pick(NUMBERS);
  b.alu("mov", end, ADDRESS);
  b.alu("add", end, null, off + bytes - (r.chance(12) ? 1 : 0));
  if (r.chance(50)) b.branch(r.pick(["gt", "gt", "ge"] as const), end, PACKET_END, 0, "out");
  else b.branch(r.pick(["lt", "lt", "le"] as const), PACKET_END, end, 0, "out");
  b.alu("mov", end, null, r.below(100));
  touch(b, bytes, off);
}

function touch(b: Builder, bytes: Bytes, off: number): void {
  const r = b.random;
  if (r.chance(65)) b.load(bytes, r.pick(NUMBERS), ADDRESS, off, r.chance(15));
  else b.store(bytes, ADDRESS, off, r.chance(70) ? r.pick(NUMBERS) : null, r.below(1000));
}

function spill(b: Builder): void {
  const r = b.random;
  const slot = -8 * (1 + r.below(4));
  const bytes = r.chance(65) ? 8 : r.pick(SIZES);
  b.store(bytes, 10, slot, r.chance(80) ? r.pick(NUMBERS) : null, r.pick(IMMEDIATES));
  if (r.chance(40)) compare(b, "out");
  const back = r.chance(65) ? bytes : r.pick(SIZES);
  b.load(back, r.pick(NUMBERS), 10, slot + (back < 8 && r.chance(25) ? back : 0));
}

function stackIndex(b: Builder): void {
  const r = b.random;
  const reg = r.pick(NUMBERS);
  bound(b, reg, 31);
  b.alu("mov", ADDRESS, 10);
  b.alu("add", ADDRESS, null, -32);
  b.alu("add", ADDRESS, reg);
  touch(b, 1, 0);
}

function loop(b: Builder): void {
  const r = b.random;
  const counter = r.pick(NUMBERS);
  const others = NUMBERS.filter((n) => n !== counter);
  const head = b.fresh();
  const body = r.pick(others);
  b.alu("mov", counter, null, 0);
  b.label(head);
  b.alu(r.pick(["add", "xor", "mul"] as const), body, r.chance(50) ? counter : null, r.below(9) + 1);
  if (r.chance(40)) {
    b.alu("mov", ADDRESS, VALUE);
    b.alu("add", ADDRESS, counter);
    b.load(1, r.pick(others), ADDRESS, 0);
  }
  b.alu("add", counter, null, r.chance(95) ? 1 : 0);
  b.branch(
    r.pick(["lt", "ne", "slt"] as const),
    counter,
    null,
    r.pick([4, 16, 64, 65]),
    head,
    r.chance(30) ? 32 : 64,
  );
}

function atomic(b: Builder): void {
  const r = b.random;
  const fetch = r.chance(50);
  const bytes = r.pick([4, 8] as const);
  const off = r.pick([0, 8, 16, 56, 60, 4]);
  const op = r.pick(["add", "or", "and", "xor"] as const);
  b.add({ kind: "atomic", op, fetch, bytes, dst: VALUE, src: r.pick(NUMBERS), off });
}

export function generate(seed: number): Program {
  const r = new Random(seed);
  const b = new Builder(r);
  b.alu("mov", 6, 1);
  b.store(4, 10, -4, null, 0);
  b.alu("mov", 2, 10);
  b.alu("add", 2, null, -4);
  b.add({ kind: "wide", pseudo: "map", dst: 1, imm: 0, imm2: 0 });
  b.add({ kind: "call", target: "helper", id: 1 });
  if (!r.chance(2)) b.branch("eq", 0, null, 0, "leave");
  b.alu("mov", VALUE, 0);
  b.load(4, PACKET, 6, 0);
  b.load(4, PACKET_END, 6, 4);
  for (const reg of NUMBERS) {
    if (r.chance(85)) b.load(r.pick(SIZES), reg, VALUE, 8 * reg);
    else b.alu("mov", reg, null, r.pick(IMMEDIATES));
  }
  for (let i = 2 + r.below(8); i > 0; i--) idiom(b);
  b.label("out");
  b.alu("mov", 0, null, 0);
  b.label("leave");
  b.alu("mov", 0, null, 2);
  b.add({ kind: "exit" });
  return {
    name: `fuzz_${seed}`,
    section: "xdp",
    type: "xdp",
    bytecode: b.finish(),
    maps: [FUZZ_MAP],
    subprograms: [],
    lines: [],
    license: "GPL",
  };
}
