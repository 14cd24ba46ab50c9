/** One instruction as the kernel's log prints it: the opcode byte, then its text. */
import { encode, toSlots } from "../codec.ts";
import { formatInstruction } from "../disassembler.ts";
import type { Walk } from "./walk.ts";

export function disassembleInsn(w: Walk): string {
  const insn = w.instruction();
  const opcode = encode(toSlots([insn]))[0]!
    .toString(16)
    .padStart(2, "0");
  return `(${opcode}) ${formatInstruction(insn, { dialect: "kernel" })}`;
}
