/**
 * The checks every program passes before it runs, verified or not: jumps and calls land on instructions,
 * no function falls off its end, helpers exist, and, in what nobody will verify, direct stack offsets stay
 * within 512 bytes. The engines rely on them. What needs the state of registers is the verifier's.
 */
import type { Slots } from "./codec.ts";
import { isAbsentKfunc, kfuncById } from "./helpers/kfuncs.ts";
import { helperById } from "./helpers/signatures.ts";
import { FRAME_POINTER, type Instruction, STACK_BYTES, slotsOf } from "./isa.ts";

export type LoadCheck =
  | { readonly ok: true; readonly functions: readonly number[] }
  | { readonly ok: false; readonly insn: number; readonly message: string };

type Bad = { insn: number; message: string };

/**
 * @param mapCount how many maps the program's wide loads may name
 * @param willVerify the verifier checks the stack: better, as it lets be what no path reaches
 */
export function checkProgram(slots: Slots, mapCount: number, willVerify = false): LoadCheck {
  const functions = new Set<number>([0]);
  for (let at = 0; at < slots.length; at++) {
    const insn = slots[at];
    if (!insn) continue;
    const entry = calledSlot(insn, at);
    if (entry !== null) functions.add(entry);
  }
  const entries = [...functions].sort((a, b) => a - b);
  for (let at = 0; at < slots.length; at++) {
    const insn = slots[at];
    if (!insn) continue;
    const bad =
      checkInstruction(slots, insn, at, mapCount) ??
      checkFlow(slots, entries, insn, at) ??
      (willVerify ? null : checkDirectStack(insn, at));
    if (bad) return { ok: false, ...bad };
  }
  return { ok: true, functions: entries };
}

/** The slot a local call or a callback address names, if this is one. */
function calledSlot(insn: Instruction, at: number): number | null {
  if (insn.kind === "call" && insn.target === "local") return at + 1 + insn.off;
  // As with a local call, the offset of a function address counts from the next slot (libbpf: insn_off - 1).
  if (insn.kind === "wide" && insn.pseudo === "func") return at + 1 + insn.imm;
  return null;
}

function checkInstruction(slots: Slots, insn: Instruction, at: number, mapCount: number): Bad | null {
  const entry = calledSlot(insn, at);
  if (entry !== null && !slots[entry]) {
    return { insn: at, message: `call out of range: slot ${entry} is not an instruction` };
  }
  if (writtenRegister(insn) === FRAME_POINTER) return { insn: at, message: "frame pointer is read only" };
  switch (insn.kind) {
    case "call":
      if (insn.target === "helper" && !helperById(insn.id)) {
        return { insn: at, message: `invalid func unknown#${insn.id}: this machine has no such helper` };
      }
      // An absent weak function may stand behind a test of its address: the engines stop at it.
      if (insn.target === "kfunc" && !kfuncById(insn.id) && !isAbsentKfunc(insn.id)) {
        return { insn: at, message: unknownKfunc(insn.id) };
      }
      return null;
    case "wide":
      if ((insn.pseudo === "map" || insn.pseudo === "map_value") && !(insn.imm >= 0 && insn.imm < mapCount)) {
        return { insn: at, message: `map ${insn.imm} does not exist: the program has ${mapCount}` };
      }
      if (insn.pseudo === "map_idx" || insn.pseudo === "map_idx_value" || insn.pseudo === "var") {
        return {
          insn: at,
          message: `wide load of kind ${insn.pseudo} is not supported; link it to a map first`,
        };
      }
      return null;
    default:
      return null;
  }
}

function checkDirectStack(insn: Instruction, at: number): Bad | null {
  switch (insn.kind) {
    case "load":
      return insn.src === FRAME_POINTER ? checkStack(at, insn.off, insn.bytes) : null;
    case "store":
    case "atomic":
      return insn.dst === FRAME_POINTER ? checkStack(at, insn.off, insn.bytes) : null;
    default:
      return null;
  }
}

/** A kernel's own BTF id: another kernel, and this machine, numbers otherwise. */
function unknownKfunc(id: number): string {
  return `kernel function btf_id ${id} is not known: the number is one kernel's; load the object that names it`;
}

function writtenRegister(insn: Instruction): number | null {
  switch (insn.kind) {
    case "alu":
    case "neg":
    case "movsx":
    case "swap":
    case "load":
    case "wide":
      return insn.dst;
    case "atomic":
      return insn.fetch && insn.op !== "cmpxchg" ? insn.src : null;
    default:
      return null;
  }
}

function checkStack(at: number, off: number, bytes: number): Bad | null {
  if (off >= -STACK_BYTES && off + bytes <= 0) return null;
  return {
    insn: at,
    message: `invalid stack access off=${off} size=${bytes}: a frame has ${STACK_BYTES} bytes below r10`,
  };
}

function checkFlow(slots: Slots, entries: readonly number[], insn: Instruction, at: number): Bad | null {
  const next = at + slotsOf(insn);
  const start = entries.findLast((entry) => entry <= at) ?? 0;
  const end = entries.find((entry) => entry > at) ?? slots.length;
  if (insn.kind === "exit") return null;
  if (insn.kind === "jump" || insn.kind === "branch" || insn.kind === "may_goto") {
    const target = at + 1 + insn.off;
    if (target < start || target >= end) {
      return { insn: at, message: `jump out of range from insn ${at} to ${target}` };
    }
    if (!slots[target]) {
      return { insn: at, message: `jump into the middle of ldimm64 insn ${target - 1} from insn ${at}` };
    }
    if (insn.kind === "jump") return null;
  }
  if (next < end) return null;
  const what =
    end === slots.length
      ? "last insn is not an exit or jmp"
      : `insn ${at} falls through into the function at ${end}`;
  return { insn: at, message: what };
}
