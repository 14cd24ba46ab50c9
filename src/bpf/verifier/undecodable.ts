/**
 * Bytecode that does not decode, in the kernel's words and order: it looks at all jumps before it looks at
 * any instruction closely, and tells a load of an unknown mode by its reserved fields.
 */
import type { DecodeError } from "../codec.ts";
import { ATOMIC_OPS, CLASS, INSN_BYTES, JUMP_CALL_CODE, JUMP_EXIT_CODE, JUMP_JA_CODE, MODE } from "../isa.ts";
import type { RuleId } from "./rules.ts";

export type Undecodable = { readonly rule: RuleId; readonly insn: number; readonly message: string };

const CLASS_BITS = 0x07;
const MODE_BITS = 0xe0;
const OP_BITS = 0xf0;

export function explainUndecodable(bytecode: Uint8Array, { insn, message }: DecodeError): Undecodable {
  const view = new DataView(bytecode.buffer, bytecode.byteOffset, bytecode.byteLength);
  const count = Math.floor(bytecode.length / INSN_BYTES);
  if (bytecode.length % INSN_BYTES !== 0 || insn >= count) return { rule: "bad-instruction", insn, message };
  return badJump(view, count) ?? { rule: "bad-instruction", insn, message: worded(view, insn, message) };
}

function badJump(view: DataView, count: number): Undecodable | null {
  for (let at = 0; at < count; at++) {
    const opcode = view.getUint8(at * INSN_BYTES);
    const klass = opcode & CLASS_BITS;
    const op = opcode & OP_BITS;
    if (klass !== CLASS.jmp && klass !== CLASS.jmp32) continue;
    if (op === JUMP_CALL_CODE || op === JUMP_EXIT_CODE) continue;
    const isLong = klass === CLASS.jmp32 && op === JUMP_JA_CODE;
    const off = isLong ? view.getInt32(at * INSN_BYTES + 4, true) : view.getInt16(at * INSN_BYTES + 2, true);
    const target = at + 1 + off;
    if (target < 0 || target >= count) {
      return { rule: "bad-jump", insn: at, message: `jump out of range from insn ${at} to ${target}` };
    }
  }
  return null;
}

function worded(view: DataView, insn: number, message: string): string {
  const opcode = view.getUint8(insn * INSN_BYTES);
  if (!message.startsWith("unknown opcode")) return message;
  const mode = opcode & MODE_BITS;
  if ((opcode & CLASS_BITS) === CLASS.ldx && mode !== MODE.memsx) return "BPF_LDX uses reserved fields";
  if ((opcode & CLASS_BITS) === CLASS.stx && mode === MODE.atomic) {
    const imm = view.getInt32(insn * INSN_BYTES + 4, true);
    return ATOMIC_OPS.some((row) => row.imm === imm)
      ? "invalid atomic operand size"
      : `BPF_ATOMIC uses invalid atomic opcode ${(imm >>> 0).toString(16).padStart(2, "0")}`;
  }
  return message;
}
