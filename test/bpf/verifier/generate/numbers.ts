/** Idioms on numbers: arithmetic in both widths, comparisons, bounds proved in the ways programs do, loops. */
import type { AluOp, JumpOp, Width } from "../../../../src/bpf/isa.ts";
import { ADDRESS, type Builder, IMMEDIATES, NUMBERS } from "./builder.ts";

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
  "sdiv",
  "smod",
];
const SHIFTS: ReadonlySet<AluOp> = new Set(["lsh", "rsh", "arsh"]);
const DIVISIONS: ReadonlySet<AluOp> = new Set(["div", "mod", "sdiv", "smod"]);
const JUMPS: readonly JumpOp[] = ["eq", "ne", "gt", "ge", "lt", "le", "sgt", "sge", "slt", "sle", "set"];

export function randomWidth(b: Builder): Width {
  return b.random.chance(35) ? 32 : 64;
}

export function arithmetic(b: Builder): void {
  const r = b.random;
  const width = randomWidth(b);
  const op = r.pick(ALU);
  const dst = r.pick(NUMBERS);
  if (r.chance(50)) {
    b.alu(op, dst, r.pick(NUMBERS), 0, width);
    return;
  }
  let imm = r.pick(IMMEDIATES);
  if (SHIFTS.has(op)) imm = r.below(r.chance(2) ? width + 1 : width);
  if (DIVISIONS.has(op) && imm === 0 && !r.chance(5)) imm = 3;
  b.alu(op, dst, null, imm, width);
}

export function extend(b: Builder): void {
  const r = b.random;
  const dst = r.pick(NUMBERS);
  if (r.chance(50)) {
    if (r.chance(50))
      b.add({ kind: "movsx", width: 32, bits: r.pick([8, 16] as const), dst, src: r.pick(NUMBERS) });
    else b.add({ kind: "movsx", width: 64, bits: r.pick([8, 16, 32] as const), dst, src: r.pick(NUMBERS) });
    return;
  }
  if (r.chance(50)) {
    const order = r.pick(["le", "be", "bswap"] as const);
    b.add({ kind: "swap", order, bits: r.pick([16, 32, 64] as const), dst });
  } else b.add({ kind: "neg", width: r.chance(50) ? 32 : 64, dst });
}

/** A branch over a few idioms. */
export function skip(b: Builder): void {
  const end = b.fresh();
  compare(b, end);
  for (let i = b.random.below(3); i >= 0; i--) arithmetic(b);
  b.label(end);
}

export function compare(b: Builder, target: string): void {
  const r = b.random;
  const width = randomWidth(b);
  if (r.chance(40)) b.branch(r.pick(JUMPS), r.pick(NUMBERS), r.pick(NUMBERS), 0, target, width);
  else b.branch(r.pick(JUMPS), r.pick(NUMBERS), null, r.pick(IMMEDIATES), target, width);
}

type Bound = (b: Builder, reg: number, most: number) => void;

function lowBits(most: number): number {
  return Math.max(1, Math.floor(Math.log2(Math.max(most, 1) + 1)));
}

const BOUNDS: readonly Bound[] = [
  (b, reg, most) => b.alu("and", reg, null, 2 ** lowBits(most) - 1),
  (b, reg, most) => b.branch("gt", reg, null, most, b.scope.out),
  (b, reg, most) => b.branch("ge", reg, null, most + 1, b.scope.out),
  (b, reg, most) => {
    const width = randomWidth(b);
    b.branch("sgt", reg, null, most, b.scope.out, width);
    if (!b.random.chance(20)) b.branch("slt", reg, null, 0, b.scope.out, width);
    if (width === 32 && b.random.chance(80)) b.alu("mov", reg, reg, 0, 32);
  },
  (b, reg, most) => {
    b.alu("mov", reg, reg, 0, 32);
    b.branch("gt", reg, null, most, b.scope.out, b.random.chance(50) ? 32 : 64);
  },
  (b, reg, most) => {
    // Through a copy, as compilers leave it.
    const copy = b.random.pick(NUMBERS);
    b.move(copy, reg);
    if (b.random.chance(30)) b.alu("add", copy, null, b.random.below(8));
    b.branch("gt", copy, null, most, b.scope.out);
  },
  (b, reg, most) => b.alu("rsh", reg, null, 64 - lowBits(most)),
  (b, reg, most) => b.branch("set", reg, null, ~(2 ** lowBits(most) - 1), b.scope.out),
  (b, reg, most) => b.alu("mod", reg, null, most + 1, randomWidth(b)),
  (b, reg, most) => {
    // By a register of known value.
    const limit = b.random.pick(NUMBERS.filter((n) => n !== reg));
    b.set(limit, most);
    if (b.random.chance(50)) b.branch("gt", reg, limit, 0, b.scope.out);
    else b.branch("lt", limit, reg, 0, b.scope.out);
  },
  (b, reg, most) => {
    // A byte, sign-extended or not, then masked or checked.
    b.add({ kind: "movsx", width: 64, bits: 8, dst: reg, src: reg });
    b.branch("slt", reg, null, b.random.chance(15) ? -1 : 0, b.scope.out);
    b.branch("sgt", reg, null, most, b.scope.out);
  },
];

/** Bounds a number in one of the ways programs do, mostly rightly. */
export function bound(b: Builder, reg: number, limit: number): void {
  const wrong = b.random.chance(15) ? b.random.pick([1, 2, 8]) : 0;
  b.random.pick(BOUNDS)(b, reg, limit + wrong);
}

export function loop(b: Builder): void {
  const r = b.random;
  const counter = r.pick(NUMBERS);
  const others = NUMBERS.filter((n) => n !== counter);
  const head = b.fresh();
  const body = r.pick(others);
  b.set(counter, 0);
  b.label(head);
  b.alu(r.pick(["add", "xor", "mul"] as const), body, r.chance(50) ? counter : null, r.below(9) + 1);
  const region = b.scope.regions[0];
  if (region && r.chance(40)) {
    b.move(ADDRESS, region.reg);
    b.alu("add", ADDRESS, counter);
    b.load(1, r.pick(others), ADDRESS, 0);
  }
  if (r.chance(15)) compare(b, b.scope.out);
  b.alu("add", counter, null, r.chance(95) ? 1 : 0);
  const limit = region ? region.bytes : 64;
  b.branch(
    r.pick(["lt", "ne", "slt"] as const),
    counter,
    null,
    r.pick([4, 16, limit, limit + 1]),
    head,
    r.chance(30) ? 32 : 64,
  );
}
