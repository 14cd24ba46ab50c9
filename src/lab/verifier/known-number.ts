/** A number as the verifier's log gives it, taken apart for drawing: range and known bits. */

export type KnownNumber = {
  readonly umin: bigint;
  readonly umax: bigint;
  /** Known bits and, in `mask`, the unknown ones. */
  readonly value: bigint;
  readonly mask: bigint;
};

const U64_MAX = (1n << 64n) - 1n;

/** @returns null where the value is a pointer or nothing at all */
export function parseNumber(text: string): KnownNumber | null {
  const plain = text.replace(/^P/, "");
  if (/^-?(?:0x[0-9a-f]+|\d+)$/.test(plain)) {
    const value = BigInt.asUintN(64, plain.startsWith("-") ? -BigInt(plain.slice(1)) : BigInt(plain));
    return { umin: value, umax: value, value, mask: 0n };
  }
  const inner = /^scalar\((.*)\)$/.exec(plain)?.[1];
  if (inner === undefined) return null;
  const bits = /var_off=\((0x[0-9a-f]+); (0x[0-9a-f]+)\)/.exec(inner);
  const bound = (name: string) =>
    new RegExp(`(?:^|[,=])${name}(?:=[us](?:min|max)(?:32)?)*=(-?\\w+)`).exec(inner)?.[1];
  const unsigned = (digits: string | undefined, otherwise: bigint) =>
    digits === undefined || digits.startsWith("-") ? otherwise : BigInt(digits);
  return {
    umin: unsigned(bound("umin"), 0n),
    umax: unsigned(bound("umax"), U64_MAX),
    value: bits ? BigInt(bits[1] ?? 0) : 0n,
    mask: bits ? BigInt(bits[2] ?? 0) : U64_MAX,
  };
}

export function bitLength(x: bigint): number {
  return x === 0n ? 0 : x.toString(2).length;
}

/** The lowest bits as `0`, `1` or `?`, in nibbles; leading nibbles that are known to be 0 left out. */
export function knownBits({ value, mask }: KnownNumber): string {
  const width = Math.max(4, Math.ceil(bitLength(value | mask) / 4) * 4);
  if (mask === U64_MAX) return "? × 64";
  let text = "";
  for (let bit = width - 1; bit >= 0; bit--) {
    const at = 1n << BigInt(bit);
    text += (mask & at) !== 0n ? "?" : (value & at) !== 0n ? "1" : "0";
    if (bit % 4 === 0 && bit > 0) text += " ";
  }
  return text;
}
