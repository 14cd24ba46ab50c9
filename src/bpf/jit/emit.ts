/**
 * One function of a program: walks the steps of its structured control flow and writes each instruction
 * by the table below, a row a kind.
 */
import {
  assertNever,
  type Instruction,
  type InstructionKind,
  MAX_LOOPS,
  STACK_BYTES,
  wideValue,
} from "../isa.ts";
import {
  emitAlu,
  emitCondition,
  emitNegate,
  emitNegatedCondition,
  emitSignExtend,
  emitSwap,
} from "./arithmetic.ts";
import { emitCall } from "./calls.ts";
import { buildCfg } from "./cfg.ts";
import { planCounts } from "./counting.ts";
import { type FunctionCode, LOCAL } from "./function-code.ts";
import { knownRegisters, type Registers, step } from "./known.ts";
import { emitAtomic, emitLoad, emitPacketLoad, emitStore } from "./memory-access.ts";
import { structure } from "./structure.ts";

type Emit<K extends InstructionKind> = (
  c: FunctionCode,
  insn: Extract<Instruction, { kind: K }>,
  slot: number,
  known: Registers,
) => void;

/** Where control goes next is the structure's matter: branches have no code of their own here. */
const EMIT: { readonly [K in InstructionKind]: Emit<K> } = {
  alu: emitAlu,
  neg: emitNegate,
  movsx: emitSignExtend,
  swap: emitSwap,
  load: emitLoad,
  store: emitStore,
  atomic: emitAtomic,
  packet: emitPacketLoad,
  wide: emitWide,
  call: emitCall,
  exit: (c) => c.returnResult(),
  jump: () => {},
  branch: () => {},
  may_goto: () => {},
};

/** @param start entry slot, @param end the slot behind the function */
export function emitFunction(c: FunctionCode, start: number, end: number): FunctionCode {
  const { slots } = c.input;
  const cfg = buildCfg(slots, start, end);
  const known = knownRegisters(slots, cfg);
  const counts = planCounts(cfg);
  c.op("local.get", LOCAL.frame).op("i64.extend_i32_u");
  c.op("i64.const", BigInt(STACK_BYTES)).op("i64.add").op("local.set", LOCAL.r10);
  if (slots.slice(start, end).some((insn) => insn?.kind === "may_goto")) {
    c.hasRounds = true;
    c.op("i32.const", MAX_LOOPS).op("local.set", LOCAL.rounds);
  }
  for (const item of structure(cfg)) {
    switch (item.kind) {
      case "block":
      case "loop":
      case "end":
        c.op(item.kind);
        break;
      case "br":
        c.addCount(counts.onEdge(item.block, item.to)).op("br", item.depth);
        break;
      case "again":
        c.op("br", item.depth);
        break;
      case "body": {
        const block = cfg.blocks[item.block]!;
        if (c.isChecked) c.chargeBudget(block.instructions, block.start);
        else c.addCount(counts.atEntry[block.id]!);
        c.countWhenLeaving = counts.whenLeaving[block.id]!;
        const state = [...known[block.id]!];
        for (let at = block.start; at < block.end; at++) {
          const insn = slots[at];
          if (!insn) continue;
          (EMIT[insn.kind] as Emit<InstructionKind>)(c, insn, at, state);
          step(state, insn, at);
        }
        break;
      }
      case "if":
      case "br_if": {
        const branch = branchOf(c, cfg.blocks[item.block]!.end);
        if (branch.kind === "may_goto") emitRound(c, item.negated);
        else if (item.negated) emitNegatedCondition(c, branch);
        else emitCondition(c, branch);
        if (item.kind === "if") c.op("if");
        else emitBranchIf(c, item.depth, counts.onEdge(item.block, item.to));
        break;
      }
      case "choose":
        c.op("i32.const", item.block).op("local.set", LOCAL.next);
        break;
      case "dispatch": {
        const labels = Array.from({ length: item.count - 1 }, (_, i) => i);
        c.op("local.get", LOCAL.next).op("br_table", labels, item.count - 1);
        break;
      }
      default:
        assertNever(item);
    }
  }
  // Every path has returned or branched; wasm cannot see that.
  c.op("unreachable").op("end");
  return c;
}

/** Pops the condition. */
function emitBranchIf(c: FunctionCode, depth: number, count: number): void {
  if (count === 0 || !c.countsLocally) c.op("br_if", depth);
  else {
    c.op("if")
      .addCount(count)
      .op("br", depth + 1)
      .op("end");
  }
}

function branchOf(c: FunctionCode, blockEnd: number): Extract<Instruction, { kind: "branch" | "may_goto" }> {
  const insn = c.input.slots[blockEnd - 1];
  if (insn?.kind !== "branch" && insn?.kind !== "may_goto") {
    throw new Error(`slot ${blockEnd - 1} is not a branch`);
  }
  return insn;
}

/** Pushes an i32: are the function's rounds used up (negated: is one left)? Uses one up where there is one. */
function emitRound(c: FunctionCode, negated: boolean): void {
  const { rounds } = LOCAL;
  c.op("local.get", rounds).op("i32.eqz");
  if (negated) c.op("i32.eqz");
  c.op("local.get", rounds).op("local.get", rounds).op("i32.const", 0).op("i32.ne").op("i32.sub");
  c.op("local.set", rounds);
}

function emitWide(c: FunctionCode, insn: Extract<Instruction, { kind: "wide" }>, slot: number): void {
  c.op("i64.const", wideConstant(c, insn, slot)).set(insn.dst);
}

function wideConstant(c: FunctionCode, insn: Extract<Instruction, { kind: "wide" }>, slot: number): bigint {
  const map = c.input.maps[insn.imm];
  switch (insn.pseudo) {
    case "map":
      return BigInt(map!.id);
    case "map_value":
      return BigInt((map!.values?.base ?? 0) + (insn.imm2 >>> 0));
    case "func":
      return BigInt(slot + 1 + insn.imm);
    default:
      return wideValue(insn);
  }
}
