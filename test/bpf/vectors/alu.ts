/** Arithmetic: every operation, both widths, register and immediate operand, at the edges. */
import { program, set, type Vector } from "./vector.ts";

const M = 0xffff_ffff_ffff_ffffn;
const MIN = 0x8000_0000_0000_0000n;
const MAX = 0x7fff_ffff_ffff_ffffn;

/** sign, dst, operand, result of the 64-bit operation, result of the 32-bit one on the low halves */
const BINARY: readonly [sign: string, a: bigint, b: bigint, r64: bigint, r32: bigint][] = [
  ["+=", 1n, 2n, 3n, 3n],
  ["+=", M, 1n, 0n, 0n],
  ["+=", 0xffff_ffffn, 1n, 0x1_0000_0000n, 0n],
  ["+=", MAX, 1n, MIN, 0n],
  ["+=", 5n, -7n, M - 1n, 0xffff_fffen],
  ["-=", 5n, 7n, M - 1n, 0xffff_fffen],
  ["-=", 0n, 1n, M, 0xffff_ffffn],
  ["-=", MIN, 1n, MAX, 0xffff_ffffn],
  ["-=", 0x1_0000_0000n, 1n, 0xffff_ffffn, 0xffff_ffffn],
  ["*=", 7n, 6n, 42n, 42n],
  ["*=", 0x1_0000_0001n, 0x1_0000_0001n, 0x2_0000_0001n, 1n],
  ["*=", -3n, 5n, -15n, 0xffff_fff1n],
  ["*=", 0xffff_ffffn, 0xffff_ffffn, 0xffff_fffe_0000_0001n, 1n],
  ["*=", MIN, 2n, 0n, 0n],
  ["/=", 42n, 5n, 8n, 8n],
  ["/=", M, 2n, MAX, 0x7fff_ffffn],
  ["/=", 42n, 0n, 0n, 0n],
  ["/=", -10n, -1n, 0n, 0n],
  ["/=", 0x1_0000_0006n, 3n, 0x5555_5557n, 2n],
  ["/=", 7n, 0x1_0000_0002n, 0n, 3n],
  ["s/=", -7n, 2n, -3n, 0xffff_fffdn],
  ["s/=", 7n, -2n, -3n, 0xffff_fffdn],
  ["s/=", -8n, -2n, 4n, 4n],
  ["s/=", 5n, 0n, 0n, 0n],
  ["s/=", MIN, -1n, MIN, 0n],
  ["s/=", 0x8000_0000n, -1n, -0x8000_0000n, 0x8000_0000n],
  ["%=", 42n, 5n, 2n, 2n],
  ["%=", M, 10n, 5n, 5n],
  ["%=", 42n, 0n, 42n, 42n],
  ["%=", 0x1_0000_0005n, 0n, 0x1_0000_0005n, 5n],
  ["%=", -1n, 0x7fff_ffffn, 3n, 1n],
  ["s%=", -7n, 3n, -1n, 0xffff_ffffn],
  ["s%=", 7n, -3n, 1n, 1n],
  ["s%=", -42n, 0n, -42n, 0xffff_ffd6n],
  ["s%=", MIN, -1n, 0n, 0n],
  ["s%=", 0x8000_0000n, -1n, 0n, 0n],
  ["|=", 0x5555_0000_5555n, 0x2222_2222n, 0x5555_2222_7777n, 0x2222_7777n],
  ["|=", 0n, -1n, M, 0xffff_ffffn],
  ["|=", 0x8000_0000n, 1n, 0x8000_0001n, 0x8000_0001n],
  ["&=", M, 0x0f0f_0f0fn, 0x0f0f_0f0fn, 0x0f0f_0f0fn],
  ["&=", 0x1_ffff_ffffn, -2n, 0x1_ffff_fffen, 0xffff_fffen],
  ["&=", MIN, MIN, MIN, 0n],
  ["^=", M, -1n, 0n, 0n],
  ["^=", 0xaaaa_aaaan, 0x5555_5555n, 0xffff_ffffn, 0xffff_ffffn],
  ["^=", 0n, MIN, MIN, 0n],
  ["<<=", 1n, 31n, 0x8000_0000n, 0x8000_0000n],
  ["<<=", 1n, 0n, 1n, 1n],
  ["<<=", 0x1_2345_6789n, 8n, 0x123_4567_8900n, 0x4567_8900n],
  [">>=", MIN, 31n, 0x1_0000_0000n, 0n],
  [">>=", 0xffff_ffff_8000_0000n, 4n, 0x0fff_ffff_f800_0000n, 0x0800_0000n],
  [">>=", 0x8000_0000n, 31n, 1n, 1n],
  ["s>>=", MIN, 31n, 0xffff_ffff_0000_0000n, 0n],
  ["s>>=", -16n, 2n, -4n, 0xffff_fffcn],
  ["s>>=", 0x8000_0000n, 4n, 0x0800_0000n, 0xf800_0000n],
  ["s>>=", MAX, 1n, 0x3fff_ffff_ffff_ffffn, 0xffff_ffffn],
  ["=", 1n, 0x1234_5678_9abc_def0n, 0x1234_5678_9abc_def0n, 0x9abc_def0n],
  ["=", 1n, -1n, M, 0xffff_ffffn],
];

/** Shift counts beyond the width are masked: rows of their own, as the widths differ. */
const MASKED: readonly [sign: string, a: bigint, count: bigint, width: 32 | 64, result: bigint][] = [
  ["<<=", 1n, 63n, 64, MIN],
  ["<<=", 1n, 64n, 64, 1n],
  ["<<=", 1n, 65n, 64, 2n],
  ["<<=", 3n, -1n, 64, MIN],
  [">>=", MIN, 63n, 64, 1n],
  [">>=", MIN, 127n, 64, 1n],
  ["s>>=", MIN, 63n, 64, M],
  ["s>>=", MIN, 64n, 64, MIN],
  ["<<=", 1n, 32n, 32, 1n],
  ["<<=", 1n, 33n, 32, 2n],
  ["<<=", 1n, 63n, 32, 0x8000_0000n],
  [">>=", 0x8000_0000n, 63n, 32, 1n],
  ["s>>=", 0x8000_0000n, 63n, 32, 0xffff_ffffn],
  ["s>>=", 0x8000_0000n, 32n, 32, 0x8000_0000n],
];

/** One line that takes an operand register, or the same with an immediate. */
const UNARY: readonly [name: string, group: Vector["group"], line: string, value: bigint, r0: bigint][] = [
  ["neg64", "base64", "r0 = -r0", 5n, -5n],
  ["neg64 of 0", "base64", "r0 = -r0", 0n, 0n],
  ["neg64 of MIN", "base64", "r0 = -r0", MIN, MIN],
  ["neg32 ignores the upper half", "base32", "w0 = -w0", 0x1_0000_0005n, 0xffff_fffbn],
  ["neg32 of MIN", "base32", "w0 = -w0", 0x8000_0000n, 0x8000_0000n],
  ["movsx8 to 64, negative", "base64", "r0 = (s8)r0", 0x1280n, -0x80n],
  ["movsx8 to 64, positive", "base64", "r0 = (s8)r0", 0xff7fn, 0x7fn],
  ["movsx16 to 64", "base64", "r0 = (s16)r0", 0x1_8001n, -0x7fffn],
  ["movsx32 to 64", "base64", "r0 = (s32)r0", 0x1_8000_0000n, -0x8000_0000n],
  ["movsx32 to 64, positive", "base64", "r0 = (s32)r0", 0xffff_ffff_7fff_ffffn, 0x7fff_ffffn],
  ["movsx8 to 32 zeroes the upper half", "base32", "w0 = (s8)w0", M - 1n, 0xffff_fffen],
  ["movsx16 to 32", "base32", "w0 = (s16)w0", 0x8000n, 0xffff_8000n],
  ["le16 truncates", "base32", "r0 = le16 r0", 0x1122_3344_5566_7788n, 0x7788n],
  ["le32 truncates", "base32", "r0 = le32 r0", 0x1122_3344_5566_7788n, 0x5566_7788n],
  ["le64 changes nothing", "base64", "r0 = le64 r0", 0x1122_3344_5566_7788n, 0x1122_3344_5566_7788n],
  ["be16 swaps and truncates", "base32", "r0 = be16 r0", 0x1122_3344_5566_7788n, 0x8877n],
  ["be32 swaps and truncates", "base32", "r0 = be32 r0", 0x1122_3344_5566_7788n, 0x8877_6655n],
  ["be64 swaps", "base64", "r0 = be64 r0", 0x1122_3344_5566_7788n, 0x8877_6655_4433_2211n],
  ["bswap16 swaps and truncates", "base64", "r0 = bswap16 r0", 0x1122_3344_5566_77f8n, 0xf877n],
  ["bswap32 swaps and truncates", "base64", "r0 = bswap32 r0", 0x1122_3344_5566_77f8n, 0xf877_6655n],
  ["bswap64 swaps", "base64", "r0 = bswap64 r0", 0x1122_3344_5566_7788n, 0x8877_6655_4433_2211n],
  ["wide load of all bits", "base64", "r0 = r0", M, M],
  ["mov32 of a register zeroes the upper half", "base32", "w0 = w0", M, 0xffff_ffffn],
  ["mov32 of -1 zeroes the upper half", "base32", "w0 = -1", 7n, 0xffff_ffffn],
  ["mov64 of -1 extends the sign", "base64", "r0 = -1", 7n, M],
  ["mov64 of INT32_MIN", "base64", "r0 = -2147483648", 7n, 0xffff_ffff_8000_0000n],
  ["and64 with an immediate extends its sign", "base64", "r0 &= -2147483648", M, 0xffff_ffff_8000_0000n],
  ["or64 with an immediate extends its sign", "base64", "r0 |= -2147483648", 1n, 0xffff_ffff_8000_0001n],
  ["div64 by a negative immediate is unsigned", "divmul64", "r0 /= -1", M, 1n],
  ["mod64 by a negative immediate is unsigned", "divmul64", "r0 %= -2", M, 1n],
  ["div32 by a negative immediate is unsigned", "divmul32", "w0 /= -2", 0xffff_ffffn, 1n],
];

const isDivMul = (sign: string) => /[*/%]/.test(sign);
const fitsImmediate = (value: bigint) => BigInt.asIntN(32, value) === value;
const u64 = (value: bigint) => BigInt.asUintN(64, value);
const hex = (value: bigint) => (value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`);
const inWord = (line: string) => line.replaceAll("r", "w");
/** Bits that a 32-bit operation must not see. */
const DIRT = 0xdead_0000_0000n;

function binaryVectors(): Vector[] {
  return BINARY.flatMap(([sign, a, b, r64, r32]) => {
    const group = isDivMul(sign) ? "divmul" : "base";
    const title = `${hex(a)} ${sign} ${hex(b)}`;
    const low = (value: bigint) => BigInt.asUintN(32, value) | DIRT;
    const vectors: Vector[] = [
      {
        name: `${title}, 64-bit register`,
        group: `${group}64`,
        text: program(set("r0", a), set("r3", b), `r0 ${sign} r3`),
        r0: u64(r64),
      },
      {
        name: `${title}, 32-bit register`,
        group: `${group}32`,
        text: program(set("r0", low(a)), set("r3", low(b)), `w0 ${sign} w3`),
        r0: r32,
      },
    ];
    if (!fitsImmediate(b)) return vectors;
    return [
      ...vectors,
      {
        name: `${title}, 64-bit immediate`,
        group: `${group}64`,
        text: program(set("r0", a), `r0 ${sign} ${b}`),
        r0: u64(r64),
        ...linuxImmediate(sign, b),
      },
      {
        name: `${title}, 32-bit immediate`,
        group: `${group}32`,
        text: program(set("r0", low(a)), `w0 ${sign} ${b}`),
        r0: r32,
        ...linuxImmediate(sign, b),
      },
    ];
  });
}

function linuxImmediate(sign: string, operand: bigint): { notLinux?: string } {
  return isDivMul(sign) && sign !== "*=" && operand === 0n
    ? { notLinux: "its verifier refuses a division by the constant 0" }
    : {};
}

function maskedVectors(): Vector[] {
  return MASKED.flatMap(([sign, a, count, width, result]) => {
    const reg = width === 64 ? "r" : "w";
    const [dst, src] = [`${reg}0`, `${reg}3`];
    const isWide = count < 0n || count >= BigInt(width);
    return [
      {
        name: `${hex(a)} ${sign} ${count}, ${width}-bit register, masked`,
        group: `base${width}` as const,
        text: program(set("r0", a), set("r3", count), `${dst} ${sign} ${src}`),
        r0: result,
      },
      {
        name: `${hex(a)} ${sign} ${count}, ${width}-bit immediate, masked`,
        group: `base${width}` as const,
        text: program(set("r0", a), `${dst} ${sign} ${count}`),
        r0: result,
        ...(isWide ? { notLinux: "its verifier refuses a constant shift beyond the width" } : {}),
      },
    ];
  });
}

function unaryVectors(): Vector[] {
  return UNARY.map(([name, group, line, value, r0]) => ({
    name,
    group,
    text: program(set("r0", value), line),
    r0: u64(r0),
  }));
}

/** The same register on both sides, which emitters like to get wrong. */
const SAME_REGISTER: readonly [line: string, value: bigint, r0: bigint, word: bigint][] = [
  ["r0 += r0", 0x8000_0001n, 0x1_0000_0002n, 2n],
  ["r0 -= r0", 77n, 0n, 0n],
  ["r0 *= r0", 0x1_0001n, 0x1_0002_0001n, 0x2_0001n],
  ["r0 /= r0", 9n, 1n, 1n],
  ["r0 /= r0", 0n, 0n, 0n],
  ["r0 %= r0", 0n, 0n, 0n],
  ["r0 s/= r0", -9n, 1n, 1n],
  ["r0 ^= r0", M, 0n, 0n],
  ["r0 <<= r0", 4n, 64n, 64n],
];

function sameRegisterVectors(): Vector[] {
  return SAME_REGISTER.flatMap(([line, value, r0, word]) => {
    const group = isDivMul(line) ? "divmul" : "base";
    return [
      {
        name: `${line} of ${value}`,
        group: `${group}64` as const,
        text: program(set("r0", value), line),
        r0,
      },
      {
        name: `${inWord(line)} of ${value}`,
        group: `${group}32` as const,
        text: program(set("r0", value), inWord(line)),
        r0: word,
      },
    ];
  });
}

export const ALU_VECTORS: readonly Vector[] = [
  ...binaryVectors(),
  ...maskedVectors(),
  ...unaryVectors(),
  ...sameRegisterVectors(),
];
