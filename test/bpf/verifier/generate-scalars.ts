/**
 * Straight programs on four numbers: arithmetic, comparisons, spills of every width. What the verifier knows
 * after each instruction is compared with the kernel's log. Same seed, same program (assembly text).
 */
import { Random } from "./generate/random.ts";

const REGS = [0, 6, 7, 8] as const;
const NUMBERS = [
  0, 1, 2, 3, 7, 8, 10, 15, 16, 31, 32, 63, 64, 100, 127, 128, 255, 256, 1000, 4095, 65535, 65536, 0x7fffffff,
  -1, -2, -8, -16, -100, -128, -129, -65536, -2147483648, -2147483647,
] as const;
const MASKS = [1, 3, 6, 7, 15, 31, 56, 63, 127, 240, 255, 4095, 0x7ff8, -8, -256, 0x7fffffff] as const;
const RELATIONS = ["==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&"] as const;
const WIDTHS = [8, 16, 32, 64] as const;
const SWAPS = ["be16", "be32", "be64", "le16", "le32", "le64", "bswap16", "bswap32", "bswap64"] as const;

export function generateScalars(seed: number): string {
  const random = new Random(seed);
  const lines = [".type socket_filter"];
  for (const reg of REGS) {
    lines.push("call bpf_get_prandom_u32");
    if (reg !== 0) lines.push(random.chance(67) ? `r${reg} = r0` : `w${reg} = w0`);
  }
  lines.push("call bpf_ktime_get_ns");
  for (let left = 3 + random.below(12); left > 0; left--) lines.push(...step(random));
  return [...lines, "r0 = 0", "exit", "out: r0 = 1", "exit"].join("\n");
}

function step(random: Random): string[] {
  const dst = random.pick(REGS);
  const src = random.pick(REGS);
  const w = random.chance(50) ? "r" : "w";
  const number = random.pick(NUMBERS);
  const operand = random.chance(67) ? `${number}` : `${w}${src}`;
  switch (random.below(12)) {
    case 0:
    case 1:
      return [`${w}${dst} ${random.pick(["+=", "-=", "*=", "&=", "|=", "^="])} ${operand}`];
    case 2: {
      const count = random.chance(80) ? random.below(w === "r" ? 64 : 32) : `${w}${src}`;
      return [`${w}${dst} ${random.pick(["<<=", ">>=", "s>>="])} ${count}`];
    }
    case 3:
      return [`${w}${dst} &= ${random.pick(MASKS)}`];
    case 4:
      return [`${w}${dst} ${random.pick(["/=", "%=", "s/=", "s%="])} ${number === 0 ? 3 : operand}`];
    case 5:
      return random.chance(50) ? [`${w}${dst} = -${w}${dst}`] : [`r${dst} = ${random.pick(SWAPS)} r${dst}`];
    case 6:
      return w === "r"
        ? [`r${dst} = (${random.pick(["s8", "s16", "s32"])})r${src}`]
        : [`w${dst} = (${random.pick(["s8", "s16"])})w${src}`];
    case 7:
      return [`${w}${dst} = ${operand}`];
    case 8:
      return [
        `*(u${random.pick(WIDTHS)} *)(r10 - ${random.pick([8, 16])}) = r${src}`,
        `r${dst} = *(u${random.pick(WIDTHS)} *)(r10 - ${random.pick([8, 16])})`,
      ];
    default:
      // A number compared with itself leaves an impossible side, of which the kernel says odd things.
      return [
        `if ${w}${dst} ${random.pick(RELATIONS)} ${operand === `${w}${dst}` ? number : operand} goto out`,
      ];
  }
}
