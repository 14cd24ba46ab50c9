/**
 * Bytes to instructions and back (RFC 9669 §3). Decoding is total: any byte string gives the decoded
 * slots or one error that names the instruction. Reserved fields must be zero, so that encode(decode(b))
 * is b. The wording of errors is the kernel's where the kernel has one.
 */
import {
  ALU_END_CODE,
  ALU_MOV_CODE,
  ALU_NEG_CODE,
  ALU_OPS,
  ATOMIC_OPS,
  assertNever,
  CALL_SRC,
  CLASS,
  type ConformanceGroup,
  INSN_BYTES,
  type Instruction,
  JUMP_CALL_CODE,
  JUMP_COND_CODE,
  JUMP_EXIT_CODE,
  JUMP_JA_CODE,
  JUMP_OPS,
  MODE,
  MOVSX_BITS,
  REGISTER_COUNT,
  SIZES,
  SOURCE_X,
  SWAP_BITS,
  slotsOf,
  WIDE_SRC,
  type Width,
} from "./isa.ts";

export type DecodeError = { insn: number; message: string };
/** One entry a slot: the second slot of a wide instruction is null. */
export type Slots = readonly (Instruction | null)[];
export type DecodeResult = { ok: true; slots: Slots } | { ok: false; error: DecodeError };

type Raw = { opcode: number; dst: number; src: number; off: number; imm: number };
/** An instruction, or what is wrong with it. */
type Decoded = Instruction | string;
type RowDecoder = (raw: Raw, next: Raw | null) => Decoded;

/** @param bytes whole slots of 8 bytes each, little-endian */
export function decode(bytes: Uint8Array): DecodeResult {
  if (bytes.length === 0) return failure(0, "program is empty: at least one instruction is needed");
  if (bytes.length % INSN_BYTES !== 0) {
    return failure(
      Math.floor(bytes.length / INSN_BYTES),
      `program is ${bytes.length} bytes long, not a multiple of ${INSN_BYTES}`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.length / INSN_BYTES;
  const slots: (Instruction | null)[] = [];
  for (let index = 0; index < count; index++) {
    const raw = readRaw(view, index);
    const row = DECODERS[raw.opcode];
    if (!row) return failure(index, `unknown opcode ${hex2(raw.opcode)}`);
    // Reserved fields first, registers next: the kernel's order.
    const decoded = row.decode(raw, index + 1 < count ? readRaw(view, index + 1) : null);
    if (typeof decoded === "string") return failure(index, decoded);
    if (raw.dst >= REGISTER_COUNT) return failure(index, `R${raw.dst} is invalid`);
    slots.push(decoded);
    if (slotsOf(decoded) === 2) {
      slots.push(null);
      index++;
    }
  }
  return { ok: true, slots };
}

/** The conformance group of an opcode byte; `callx` and `linux` are none of RFC 9669's. Null: no such opcode. */
export function conformanceGroup(opcode: number): ConformanceGroup | "callx" | "linux" | null {
  return DECODERS[opcode]?.group ?? null;
}

export function encode(slots: Slots): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(slots.length * INSN_BYTES);
  const view = new DataView(bytes.buffer);
  slots.forEach((insn, index) => {
    if (!insn) return;
    writeRaw(view, index, toRaw(insn));
    if (insn.kind === "wide") {
      writeRaw(view, index + 1, { opcode: 0, dst: 0, src: 0, off: 0, imm: insn.imm2 });
    }
  });
  return bytes;
}

/** Instructions in order, with the second slot of each wide one put in as null. */
export function toSlots(instructions: readonly Instruction[]): (Instruction | null)[] {
  return instructions.flatMap((insn) => (slotsOf(insn) === 2 ? [insn, null] : [insn]));
}

function failure(insn: number, message: string): DecodeResult {
  return { ok: false, error: { insn, message } };
}

function hex2(value: number): string {
  return value.toString(16).padStart(2, "0");
}

function readRaw(view: DataView, index: number): Raw {
  const at = index * INSN_BYTES;
  const regs = view.getUint8(at + 1);
  return {
    opcode: view.getUint8(at),
    dst: regs & 0x0f,
    src: regs >> 4,
    off: view.getInt16(at + 2, true),
    imm: view.getInt32(at + 4, true),
  };
}

function writeRaw(view: DataView, index: number, raw: Raw): void {
  const at = index * INSN_BYTES;
  view.setUint8(at, raw.opcode);
  view.setUint8(at + 1, (raw.src << 4) | raw.dst);
  view.setInt16(at + 2, raw.off, true);
  view.setInt32(at + 4, raw.imm, true);
}

/** A source register that is read must exist; a field that means nothing must be zero. */
function operand(raw: Raw, isRegister: boolean, name: string): { src: number | null; imm: number } | string {
  if (!isRegister) return raw.src === 0 ? { src: null, imm: raw.imm } : `${name} uses reserved fields`;
  if (raw.imm !== 0) return `${name} uses reserved fields`;
  return raw.src < REGISTER_COUNT ? { src: raw.src, imm: 0 } : `R${raw.src} is invalid`;
}

type Row = { group: ConformanceGroup | "callx" | "linux"; decode: RowDecoder };

function aluRow(code: number, width: Width, isRegister: boolean): RowDecoder {
  const rows = ALU_OPS.filter((row) => row.code === code);
  return (raw) => {
    if (code === ALU_NEG_CODE) {
      return raw.src || raw.off || raw.imm
        ? "BPF_NEG uses reserved fields"
        : { kind: "neg", width, dst: raw.dst };
    }
    const name = code === ALU_MOV_CODE ? "BPF_MOV" : "BPF_ALU";
    const value = operand(raw, isRegister, name);
    if (typeof value === "string") return value;
    if (code === ALU_MOV_CODE && raw.off !== 0 && value.src !== null) {
      const bits = MOVSX_BITS[width].find((b) => b === raw.off);
      return bits
        ? { kind: "movsx", width, bits, dst: raw.dst, src: value.src }
        : `${name} uses reserved fields`;
    }
    const row = rows.find((r) => r.off === raw.off);
    if (!row || row.name === "neg") return `${name} uses reserved fields`;
    return { kind: "alu", op: row.name, width, dst: raw.dst, ...value };
  };
}

function swapRow(order: "le" | "be" | "bswap"): RowDecoder {
  return (raw) => {
    const bits = SWAP_BITS.find((b) => b === raw.imm);
    if (!bits || raw.src || raw.off) return "BPF_END uses reserved fields";
    return { kind: "swap", order, bits, dst: raw.dst };
  };
}

function branchRow(op: (typeof JUMP_OPS)[number]["name"], width: Width, isRegister: boolean): RowDecoder {
  return (raw) => {
    const value = operand(raw, isRegister, "BPF_JMP/JMP32");
    if (typeof value === "string") return value;
    return { kind: "branch", op, width, dst: raw.dst, ...value, off: raw.off };
  };
}

function jumpRow(long: boolean): RowDecoder {
  return (raw) => {
    if (raw.dst || raw.src || (long ? raw.off : raw.imm)) return "BPF_JA uses reserved fields";
    return { kind: "jump", off: long ? raw.imm : raw.off, long };
  };
}

const callRow: RowDecoder = (raw) => {
  // `off` names the module BTF of a kfunc; ours has one kernel only.
  if (raw.dst || raw.off) return "BPF_CALL uses reserved fields";
  if (raw.src === CALL_SRC.local) return { kind: "call", target: "local", off: raw.imm };
  if (raw.src === CALL_SRC.helper) return { kind: "call", target: "helper", id: raw.imm };
  if (raw.src === CALL_SRC.kfunc) return { kind: "call", target: "kfunc", id: raw.imm };
  return "BPF_CALL uses reserved fields";
};

/** Compilers put the register into `dst`; older LLVM put it into `imm`. */
const callRegisterRow: RowDecoder = (raw) => {
  const reg = raw.imm || raw.dst;
  if (raw.src || raw.off || (raw.imm && raw.dst)) return "BPF_CALL uses reserved fields";
  return reg >= 0 && reg < REGISTER_COUNT ? { kind: "call", target: "register", reg } : `R${reg} is invalid`;
};

const mayGotoRow: RowDecoder = (raw) => {
  if (raw.dst || raw.src || raw.imm) return `invalid may_goto imm ${raw.imm}`;
  return { kind: "may_goto", off: raw.off };
};

const exitRow: RowDecoder = (raw) =>
  raw.dst || raw.src || raw.off || raw.imm ? "BPF_EXIT uses reserved fields" : { kind: "exit" };

const wideRow: RowDecoder = (raw, next) => {
  if (!next) return "incomplete BPF_LD_IMM64: the second slot is missing";
  if (next.opcode || next.dst || next.src || next.off) return "invalid bpf_ld_imm64 insn";
  const pseudo = WIDE_SRC.find((row) => row.src === raw.src);
  if (!pseudo) return "unrecognized bpf_ld_imm64 insn";
  if (raw.off) return "BPF_LD_IMM64 uses reserved fields";
  return { kind: "wide", pseudo: pseudo.name, dst: raw.dst, imm: raw.imm, imm2: next.imm };
};

function loadRow(bytes: 1 | 2 | 4 | 8, signed: boolean): RowDecoder {
  return (raw) => {
    if (raw.imm) return "BPF_LDX uses reserved fields";
    if (raw.src >= REGISTER_COUNT) return `R${raw.src} is invalid`;
    return { kind: "load", bytes, signed, dst: raw.dst, src: raw.src, off: raw.off };
  };
}

function storeRow(bytes: 1 | 2 | 4 | 8, isRegister: boolean): RowDecoder {
  return (raw) => {
    const value = operand(raw, isRegister, isRegister ? "BPF_STX" : "BPF_ST");
    if (typeof value === "string") return value;
    return { kind: "store", bytes, dst: raw.dst, off: raw.off, ...value };
  };
}

function atomicRow(bytes: 4 | 8): RowDecoder {
  return (raw) => {
    const row = ATOMIC_OPS.find((r) => r.imm === raw.imm);
    if (!row) return `BPF_ATOMIC uses invalid atomic opcode ${hex2(raw.imm >>> 0)}`;
    if (raw.src >= REGISTER_COUNT) return `R${raw.src} is invalid`;
    const { name: op, fetch } = row;
    return { kind: "atomic", op, fetch, bytes, dst: raw.dst, src: raw.src, off: raw.off };
  };
}

function packetRow(bytes: 1 | 2 | 4, indirect: boolean): RowDecoder {
  return (raw) => {
    if (raw.dst || raw.off || (!indirect && raw.src)) return "BPF_LD_[ABS|IND] uses reserved fields";
    if (raw.src >= REGISTER_COUNT) return `R${raw.src} is invalid`;
    return { kind: "packet", bytes, src: indirect ? raw.src : null, imm: raw.imm };
  };
}

/** One row an opcode byte; a hole is an opcode RFC 9669 does not have. */
const DECODERS: readonly (Row | undefined)[] = buildDecoders();

function buildDecoders(): (Row | undefined)[] {
  const rows: (Row | undefined)[] = new Array(256);
  for (const [klass, width] of [
    [CLASS.alu, 32],
    [CLASS.alu64, 64],
  ] as const) {
    for (const { code, group } of ALU_OPS) {
      for (const source of code === ALU_NEG_CODE ? [0] : [0, SOURCE_X]) {
        rows[klass | code | source] = {
          group: `${group}${width}`,
          decode: aluRow(code, width, source === SOURCE_X),
        };
      }
    }
  }
  // RFC 9669 §4.2: the source bit picks the order; class ALU64 swaps without asking for one.
  rows[CLASS.alu | ALU_END_CODE] = { group: "base32", decode: swapRow("le") };
  rows[CLASS.alu | ALU_END_CODE | SOURCE_X] = { group: "base32", decode: swapRow("be") };
  rows[CLASS.alu64 | ALU_END_CODE] = { group: "base64", decode: swapRow("bswap") };
  for (const [klass, width] of [
    [CLASS.jmp, 64],
    [CLASS.jmp32, 32],
  ] as const) {
    for (const { code, name } of JUMP_OPS) {
      for (const source of [0, SOURCE_X]) {
        rows[klass | code | source] = {
          group: `base${width}`,
          decode: branchRow(name, width, source === SOURCE_X),
        };
      }
    }
  }
  rows[CLASS.jmp | JUMP_JA_CODE] = { group: "base32", decode: jumpRow(false) };
  rows[CLASS.jmp32 | JUMP_JA_CODE] = { group: "base32", decode: jumpRow(true) };
  rows[CLASS.jmp | JUMP_CALL_CODE] = { group: "base32", decode: callRow };
  rows[CLASS.jmp | JUMP_CALL_CODE | SOURCE_X] = { group: "callx", decode: callRegisterRow };
  rows[CLASS.jmp | JUMP_EXIT_CODE] = { group: "base32", decode: exitRow };
  rows[CLASS.jmp | JUMP_COND_CODE] = { group: "linux", decode: mayGotoRow };
  rows[CLASS.ld | MODE.imm | sizeCode(8)] = { group: "base64", decode: wideRow };
  for (const { bytes, code } of SIZES) {
    const group = bytes === 8 ? "base64" : "base32";
    rows[CLASS.ldx | MODE.mem | code] = { group, decode: loadRow(bytes, false) };
    rows[CLASS.st | MODE.mem | code] = { group, decode: storeRow(bytes, false) };
    rows[CLASS.stx | MODE.mem | code] = { group, decode: storeRow(bytes, true) };
    if (bytes !== 8) {
      rows[CLASS.ldx | MODE.memsx | code] = { group: "base64", decode: loadRow(bytes, true) };
      rows[CLASS.ld | MODE.abs | code] = { group: "packet", decode: packetRow(bytes, false) };
      rows[CLASS.ld | MODE.ind | code] = { group: "packet", decode: packetRow(bytes, true) };
    }
  }
  rows[CLASS.stx | MODE.atomic | sizeCode(4)] = { group: "atomic32", decode: atomicRow(4) };
  rows[CLASS.stx | MODE.atomic | sizeCode(8)] = { group: "atomic64", decode: atomicRow(8) };
  return rows;
}

function sizeCode(bytes: number): number {
  return SIZES.find((row) => row.bytes === bytes)!.code;
}

function toRaw(insn: Instruction): Raw {
  const source = "src" in insn && insn.src !== null ? SOURCE_X : 0;
  switch (insn.kind) {
    case "alu": {
      const row = ALU_OPS.find((r) => r.name === insn.op)!;
      return {
        opcode: (insn.width === 64 ? CLASS.alu64 : CLASS.alu) | row.code | source,
        dst: insn.dst,
        src: insn.src ?? 0,
        off: row.off,
        imm: insn.src === null ? insn.imm : 0,
      };
    }
    case "neg":
      return raw((insn.width === 64 ? CLASS.alu64 : CLASS.alu) | ALU_NEG_CODE, insn.dst, 0, 0, 0);
    case "movsx":
      return raw(
        (insn.width === 64 ? CLASS.alu64 : CLASS.alu) | ALU_MOV_CODE | SOURCE_X,
        insn.dst,
        insn.src,
        insn.bits,
        0,
      );
    case "swap": {
      const klass = insn.order === "bswap" ? CLASS.alu64 : CLASS.alu;
      return raw(klass | ALU_END_CODE | (insn.order === "be" ? SOURCE_X : 0), insn.dst, 0, 0, insn.bits);
    }
    case "jump":
      return insn.long
        ? raw(CLASS.jmp32 | JUMP_JA_CODE, 0, 0, 0, insn.off)
        : raw(CLASS.jmp | JUMP_JA_CODE, 0, 0, insn.off, 0);
    case "branch": {
      const row = JUMP_OPS.find((r) => r.name === insn.op)!;
      return raw(
        (insn.width === 64 ? CLASS.jmp : CLASS.jmp32) | row.code | source,
        insn.dst,
        insn.src ?? 0,
        insn.off,
        insn.src === null ? insn.imm : 0,
      );
    }
    case "call":
      if (insn.target === "register") {
        return raw(CLASS.jmp | JUMP_CALL_CODE | SOURCE_X, insn.reg, 0, 0, 0);
      }
      return raw(
        CLASS.jmp | JUMP_CALL_CODE,
        0,
        CALL_SRC[insn.target],
        0,
        insn.target === "local" ? insn.off : insn.id,
      );
    case "may_goto":
      return raw(CLASS.jmp | JUMP_COND_CODE, 0, 0, insn.off, 0);
    case "exit":
      return raw(CLASS.jmp | JUMP_EXIT_CODE, 0, 0, 0, 0);
    case "load":
      return raw(
        CLASS.ldx | (insn.signed ? MODE.memsx : MODE.mem) | sizeCode(insn.bytes),
        insn.dst,
        insn.src,
        insn.off,
        0,
      );
    case "store":
      return raw(
        (insn.src === null ? CLASS.st : CLASS.stx) | MODE.mem | sizeCode(insn.bytes),
        insn.dst,
        insn.src ?? 0,
        insn.off,
        insn.src === null ? insn.imm : 0,
      );
    case "atomic": {
      const row = ATOMIC_OPS.find((r) => r.name === insn.op && r.fetch === insn.fetch)!;
      return raw(CLASS.stx | MODE.atomic | sizeCode(insn.bytes), insn.dst, insn.src, insn.off, row.imm);
    }
    case "packet":
      return raw(
        CLASS.ld | (insn.src === null ? MODE.abs : MODE.ind) | sizeCode(insn.bytes),
        0,
        insn.src ?? 0,
        0,
        insn.imm,
      );
    case "wide": {
      const row = WIDE_SRC.find((r) => r.name === insn.pseudo)!;
      return raw(CLASS.ld | MODE.imm | sizeCode(8), insn.dst, row.src, 0, insn.imm);
    }
    default:
      return assertNever(insn);
  }
}

function raw(opcode: number, dst: number, src: number, off: number, imm: number): Raw {
  return { opcode, dst, src, off, imm };
}
