/**
 * A program under construction: items with labels, the maps they name, functions appended behind the entry.
 * Labels are items too, so that a reducer may drop any instruction and the jumps still find their targets.
 */
import { encode, toSlots } from "../../../../src/bpf/codec.ts";
import type { AluOp, Bytes, Instruction, JumpOp, Width } from "../../../../src/bpf/isa.ts";
import type { FuncArg, MapDef, Program, ProgramType, Subprogram } from "../../../../src/bpf/program.ts";
import { verifierHelpers } from "../../../../src/bpf/verifier/linux-helpers.ts";
import { FUZZ_MAPS, type FuzzMapName } from "./maps.ts";
import type { Random } from "./random.ts";

export type Item =
  | { readonly insn: Instruction; readonly label?: string }
  | { readonly place: string; readonly func?: { readonly args: readonly FuncArg[] | null } };

/** Memory a register points to: bytes that may be read and written. */
export type Region = { readonly reg: number; readonly bytes: number };

/** What the code being written has at hand. Registers 0..4 hold numbers, 5 is for addresses. */
export type Scope = {
  readonly regions: readonly Region[];
  readonly ctx: number | null;
  readonly packet: { readonly data: number; readonly end: number } | null;
  /** Label of the code that gives up and returns. */
  readonly out: string;
  /** Frames already on the call chain. */
  readonly depth: number;
};

export const NUMBERS = [0, 1, 2, 3, 4] as const;
export const ADDRESS = 5;
export const FRAME = 10;
export const SIZES: readonly Bytes[] = [1, 2, 4, 8];
export const IMMEDIATES = [
  0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 55, 56, 57, 63, 64, 255, 1000, 0xffff, -1, -2, -8, 0x7fffffff,
  -0x80000000,
];

const HELPER_IDS = new Map([...verifierHelpers()].map(({ name, id }) => [name, id]));

export class Builder {
  items: Item[] = [];
  readonly random: Random;
  readonly type: ProgramType;
  scope: Scope;
  /** May its runs be compared? Not if it reads what differs from one machine to another. */
  comparable = true;
  readonly #maps: MapDef[] = [];
  readonly #functions: Item[] = [];
  #names = 0;

  constructor(random: Random, type: ProgramType, scope: Scope) {
    this.random = random;
    this.type = type;
    this.scope = scope;
  }
  add(insn: Instruction, label?: string): void {
    this.items.push(label === undefined ? { insn } : { insn, label });
  }
  label(place: string): void {
    this.items.push({ place });
  }
  isWanted(label: string): boolean {
    return this.items.some((item) => "insn" in item && item.label === label);
  }
  fresh(stem = "l"): string {
    return `${stem}${this.#names++}`;
  }
  alu(op: Exclude<AluOp, "neg">, dst: number, src: number | null, imm = 0, width: Width = 64): void {
    this.add({ kind: "alu", op, width, dst, src, imm });
  }
  set(dst: number, imm: number): void {
    this.alu("mov", dst, null, imm);
  }
  move(dst: number, src: number): void {
    this.alu("mov", dst, src);
  }
  branch(op: JumpOp, dst: number, src: number | null, imm: number, label: string, width: Width = 64): void {
    this.add({ kind: "branch", op, width, dst, src, imm, off: 0 }, label);
  }
  jump(label: string): void {
    this.add({ kind: "jump", off: 0, long: false }, label);
  }
  load(bytes: Bytes, dst: number, src: number, off: number, signed = false): void {
    this.add({ kind: "load", bytes, signed: signed && bytes < 8, dst, src, off });
  }
  store(bytes: Bytes, dst: number, off: number, src: number | null, imm = 0): void {
    this.add({ kind: "store", bytes, dst, off, src, imm });
  }
  /** Points a register at bytes of this frame. */
  frame(dst: number, off: number): void {
    this.move(dst, FRAME);
    this.alu("add", dst, null, off);
  }
  map(dst: number, name: FuzzMapName): void {
    const def = FUZZ_MAPS[name];
    if (!this.#maps.includes(def)) this.#maps.push(def);
    this.add({ kind: "wide", pseudo: "map", dst, imm: this.#maps.indexOf(def), imm2: 0 });
  }
  /** Calls a helper: r1..r5 are gone, r0 is whatever it answers. */
  helper(name: string): void {
    const id = HELPER_IDS.get(name);
    if (id === undefined) throw new Error(`no helper ${name}`);
    this.add({ kind: "call", target: "helper", id });
  }
  call(func: string): void {
    this.add({ kind: "call", target: "local", off: 0 }, func);
  }
  callback(dst: number, func: string): void {
    this.add({ kind: "wide", pseudo: "func", dst, imm: 0, imm2: 0 }, func);
  }
  /** Writes a function behind the program. @param args prototype of a global one, null for a static one */
  function(name: string, args: readonly FuncArg[] | null, scope: Scope, write: () => void): void {
    const outer = { items: this.items, scope: this.scope };
    this.items = [{ place: name, func: { args } }];
    this.scope = scope;
    write();
    this.#functions.push(...this.items);
    this.items = outer.items;
    this.scope = outer.scope;
  }
  all(): Item[] {
    return [...this.items, ...this.#functions];
  }
  program(name: string): Program {
    return assembleItems(this.all(), { name, type: this.type, maps: this.#maps });
  }
}

type Facts = Pick<Program, "name" | "type" | "maps">;

/** @throws where a label is missing: then the items are no program */
export function assembleItems(items: readonly Item[], facts: Facts): Program {
  const places = new Map<string, number>();
  const subprograms: Subprogram[] = [];
  let slot = 0;
  for (const item of items) {
    if ("insn" in item) {
      slot += item.insn.kind === "wide" ? 2 : 1;
      continue;
    }
    places.set(item.place, slot);
    if (!item.func) continue;
    const { args } = item.func;
    subprograms.push({ name: item.place, start: slot, isGlobal: args !== null, ...(args && { args }) });
  }
  slot = 0;
  const instructions = items.flatMap((item): Instruction[] => {
    if (!("insn" in item)) return [];
    const { insn, label } = item;
    const distance = label === undefined ? 0 : distanceTo(places, label) - slot - 1;
    slot += insn.kind === "wide" ? 2 : 1;
    if (label === undefined) return [insn];
    if (insn.kind === "wide") return [{ ...insn, imm: distance }];
    return [{ ...insn, off: distance } as Instruction];
  });
  return {
    ...facts,
    section: facts.type,
    bytecode: encode(toSlots(instructions)),
    subprograms,
    lines: [],
    license: "GPL",
  };
}

function distanceTo(places: ReadonlyMap<string, number>, label: string): number {
  const at = places.get(label);
  if (at === undefined) throw new Error(`no label ${label}`);
  return at;
}
