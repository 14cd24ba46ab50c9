/**
 * Instructions to text. Three dialects: "plain" is what `bmc disasm` prints, near to llvm-objdump with
 * helpers by name; "llvm" is llvm-objdump 14 to the letter; "kernel" is the Linux verifier's log. The
 * assembler reads all three, and reading what was printed gives the same bytes back (docs/assembly.md).
 */
import { kfuncById } from "./helpers/kfuncs.ts";
import { helperName } from "./helpers/names.ts";
import {
  ALU_OPS,
  ATOMIC_OPS,
  assertNever,
  type Instruction,
  JUMP_OPS,
  SIZES,
  type Width,
  wideValue,
} from "./isa.ts";

export type Dialect = "plain" | "llvm" | "kernel";

export type FormatOptions = {
  readonly dialect?: Dialect;
  /** Name of the map at this index of the program's map list; undefined prints the index. */
  readonly mapName?: (index: number) => string | undefined;
  /** Slot of the instruction, needed by `label`. */
  readonly slot?: number;
  /** Name of the function that starts at this slot: printed behind local calls and function loads. */
  readonly label?: (slot: number) => string | undefined;
};

/** What the dialects disagree about. */
type Style = {
  readonly offset: (off: number) => string;
  readonly packet: (imm: number) => string;
  readonly jump: (off: number) => string;
  readonly compared: (imm: number) => string;
  readonly wide: (value: bigint) => string;
  readonly helper: (id: number) => string;
  readonly fetch: (op: string, bytes: 4 | 8, pointer: string, reg: number) => string;
};

type AtomicStyle = Style["fetch"];

const llvmAtomic: AtomicStyle = (op, bytes, pointer, reg) => {
  const r = bytes === 8 ? "r" : "w";
  const size = bytes === 8 ? "_64" : "32_32";
  if (op === "cmpxchg") return `${r}0 = cmpxchg${size}(${pointer}, ${r}0, ${r}${reg})`;
  if (op === "xchg") return `${r}${reg} = xchg${size}(${pointer}, ${r}${reg})`;
  return `${r}${reg} = atomic_fetch_${op}((u${bytes * 8} *)(${pointer}), ${r}${reg})`;
};

const kernelAtomic: AtomicStyle = (op, bytes, pointer, reg) => {
  const name = bytes === 8 ? "atomic64" : "atomic";
  const place = `(u${bytes * 8} *)(${pointer})`;
  if (op === "cmpxchg") return `r0 = ${name}_cmpxchg(${place}, r0, r${reg})`;
  if (op === "xchg") return `r${reg} = ${name}_xchg(${place}, r${reg})`;
  return `r${reg} = ${name}_fetch_${op}(${place}, r${reg})`;
};

const spaced = (off: number) => (off < 0 ? `- ${-off}` : `+ ${off}`);
const hex32 = (imm: number) => `0x${(imm >>> 0).toString(16)}`;
const spacedUnlessZero = (imm: number) => (imm === 0 ? "" : ` ${spaced(imm)}`);
const namedHelper = (id: number) => `${helperName(id)}#${id}`;

const STYLES: Readonly<Record<Dialect, Style>> = {
  plain: {
    offset: spaced,
    packet: spacedUnlessZero,
    jump: signed,
    compared: String,
    wide: (value) => `0x${value.toString(16)} ll`,
    helper: namedHelper,
    fetch: llvmAtomic,
  },
  llvm: {
    offset: spaced,
    packet: spacedUnlessZero,
    jump: signed,
    compared: String,
    wide: (value) => `${BigInt.asIntN(64, value)} ll`,
    helper: String,
    fetch: llvmAtomic,
  },
  kernel: {
    offset: signed,
    packet: (imm) => ` + ${imm}`,
    jump: (off) => `pc${signed(off)}`,
    compared: hex32,
    wide: (value) => `0x${value.toString(16)}`,
    helper: namedHelper,
    fetch: kernelAtomic,
  },
};

const ALU_SIGN = new Map<string, string>(ALU_OPS.map((row) => [row.name, row.sign]));
const JUMP_SIGN = new Map<string, string>(JUMP_OPS.map((row) => [row.name, row.sign]));
const ATOMIC_SIGN = new Map<string, string>(
  ATOMIC_OPS.filter((row) => !row.fetch).map((row) => [row.name, row.sign]),
);
const SIZE = new Map<number, (typeof SIZES)[number]>(SIZES.map((row) => [row.bytes, row]));

/** One instruction as text, without slot number or label. */
export function formatInstruction(insn: Instruction, options: FormatOptions = {}): string {
  const style = STYLES[options.dialect ?? "plain"];
  const place = (reg: number, off: number) => `r${reg} ${style.offset(off)}`;
  const cell = (bytes: number, reg: number, off: number) =>
    `*(${SIZE.get(bytes)!.type} *)(${place(reg, off)})`;
  switch (insn.kind) {
    case "alu":
      return `${reg(insn.width, insn.dst)} ${ALU_SIGN.get(insn.op)} ${operand(insn, String)}`;
    case "neg":
      return `${reg(insn.width, insn.dst)} = -${reg(insn.width, insn.dst)}`;
    case "movsx":
      return `${reg(insn.width, insn.dst)} = (s${insn.bits})${reg(insn.width, insn.src)}`;
    case "swap":
      return `r${insn.dst} = ${insn.order}${insn.bits} r${insn.dst}`;
    case "jump":
      return `${insn.long ? "gotol" : "goto"} ${style.jump(insn.off)}`;
    case "branch": {
      const left = reg(insn.width, insn.dst);
      const right = operand(insn, style.compared);
      return `if ${left} ${JUMP_SIGN.get(insn.op)} ${right} goto ${style.jump(insn.off)}`;
    }
    case "call":
      if (insn.target === "local") return `call pc${signed(insn.off)}${targetName(insn.off, options)}`;
      if (insn.target === "register") return `callx r${insn.reg}`;
      return `call ${insn.target === "helper" ? style.helper(insn.id) : `${kfuncById(insn.id)?.name ?? "kfunc"}#${insn.id}`}`;
    case "may_goto":
      return `may_goto ${style.jump(insn.off)}`;
    case "exit":
      return "exit";
    case "load": {
      const size = SIZE.get(insn.bytes)!;
      const type = insn.signed ? size.signedType : size.type;
      return `r${insn.dst} = *(${type} *)(${place(insn.src, insn.off)})`;
    }
    case "store":
      return `${cell(insn.bytes, insn.dst, insn.off)} = ${insn.src === null ? insn.imm : `r${insn.src}`}`;
    case "atomic":
      return insn.fetch
        ? style.fetch(insn.op, insn.bytes, place(insn.dst, insn.off), insn.src)
        : `lock ${cell(insn.bytes, insn.dst, insn.off)} ${ATOMIC_SIGN.get(insn.op)} r${insn.src}`;
    case "packet": {
      const type = SIZE.get(insn.bytes)!.type;
      if (insn.src === null) return `r0 = *(${type} *)skb[${insn.imm}]`;
      return `r0 = *(${type} *)skb[r${insn.src}${style.packet(insn.imm)}]`;
    }
    case "wide":
      return `r${insn.dst} = ${wideText(insn, style, options)}`;
    default:
      return assertNever(insn);
  }
}

/** One instruction of a listing; `slot` counts 8-byte slots from the program's start. */
export type ListedInstruction = {
  readonly slot: number;
  readonly insn: Instruction;
  readonly text: string;
};

/** Every instruction of a decoded program with its slot and text. */
export function disassemble(
  slots: readonly (Instruction | null)[],
  options: Omit<FormatOptions, "slot"> = {},
): ListedInstruction[] {
  return slots.flatMap((insn, slot) =>
    insn ? [{ slot, insn, text: formatInstruction(insn, { ...options, slot }) }] : [],
  );
}

/** Slot a jump, local call or function load refers to. */
export function targetSlot(insn: Instruction, slot: number): number | undefined {
  if (insn.kind === "jump" || insn.kind === "branch" || insn.kind === "may_goto") return slot + 1 + insn.off;
  if (insn.kind === "call" && insn.target === "local") return slot + 1 + insn.off;
  // A function load counts from its first slot, as a local call does.
  if (insn.kind === "wide" && insn.pseudo === "func") return slot + 1 + insn.imm;
  return undefined;
}

function reg(width: Width, number: number): string {
  return `${width === 64 ? "r" : "w"}${number}`;
}

function signed(value: number): string {
  return value < 0 ? String(value) : `+${value}`;
}

function operand(
  insn: { width: Width; src: number | null; imm: number },
  constant: (imm: number) => string,
): string {
  return insn.src === null ? constant(insn.imm) : reg(insn.width, insn.src);
}

function targetName(off: number, { slot, label }: FormatOptions): string {
  const name = slot === undefined ? undefined : label?.(slot + 1 + off);
  return name === undefined ? "" : ` <${name}>`;
}

/** A second word that means nothing to the kernel is still printed: text holds all 16 bytes. */
function wideText(insn: Extract<Instruction, { kind: "wide" }>, style: Style, options: FormatOptions) {
  const { imm, imm2, pseudo } = insn;
  const more = imm2 === 0 ? "" : ` next ${imm2 >>> 0}`;
  const map = options.mapName?.(imm) ?? String(imm);
  switch (pseudo) {
    case "imm":
      return style.wide(wideValue(insn));
    case "map":
      return `map[${map}]${more} ll`;
    case "map_value":
      return `map[${map}][0]+${imm2 >>> 0} ll`;
    case "var":
      return `var_addr(${imm})${more} ll`;
    case "func":
      return `func pc${signed(imm)}${more}${targetName(imm, options)} ll`;
    case "map_idx":
      return `map_by_idx(${imm})${more} ll`;
    case "map_idx_value":
      return `map_by_idx(${imm})[0]+${imm2 >>> 0} ll`;
    default:
      return assertNever(pseudo);
  }
}
