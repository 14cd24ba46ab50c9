/**
 * Numbers in command tokens, read as memcached reads them: C's strtol family, so leading blanks and a sign
 * are fine, a blank ends the number, anything else after it is refused, and what fits 64 bits but not the
 * field is cut to the field's low bits. Small plain numbers never touch a bigint.
 */
const MAX_U64 = (1n << 64n) - 1n;
const MAX_I64 = (1n << 63n) - 1n;

/** isspace() of the C locale: space, \t \n \v \f \r. */
function isBlank(byte: number): boolean {
  return byte === 32 || (byte >= 9 && byte <= 13);
}

/** The digits alone, where there are 1 to 9 of them and nothing else; else -1. */
function plain(bytes: Uint8Array, start: number, end: number): number {
  if (end - start < 1 || end - start > 9) return -1;
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = bytes[i]! - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

type Scanned = { readonly negative: boolean; readonly magnitude: bigint };

function scan(bytes: Uint8Array, start: number, end: number): Scanned | null {
  let at = start;
  while (at < end && isBlank(bytes[at]!)) at++;
  const sign = bytes[at];
  const negative = at < end && sign === 0x2d;
  if (at < end && (sign === 0x2d || sign === 0x2b)) at++;
  const first = at;
  let magnitude = 0n;
  for (; at < end; at++) {
    const digit = bytes[at]! - 48;
    if (digit < 0 || digit > 9) break;
    // Past 64 bits only "too large" matters: stop growing, so that a megabyte of digits costs nothing.
    if (magnitude <= MAX_U64) magnitude = magnitude * 10n + BigInt(digit);
  }
  if (at === first) return null;
  // A NUL ends a C string.
  if (at < end && !isBlank(bytes[at]!) && bytes[at] !== 0) return null;
  return { negative, magnitude };
}

/** strtoull: null where memcached refuses the token. A negated number that wraps to a positive one passes. */
export function parseU64(bytes: Uint8Array, start: number, end: number): bigint | null {
  const small = plain(bytes, start, end);
  if (small >= 0) return BigInt(small);
  const scanned = scan(bytes, start, end);
  if (!scanned || scanned.magnitude > MAX_U64) return null;
  if (!scanned.negative) return scanned.magnitude;
  const wrapped = BigInt.asUintN(64, -scanned.magnitude);
  return wrapped > MAX_I64 ? null : wrapped;
}

/** strtoul cut to 32 bits (client flags); null where memcached refuses. */
export function parseFlags(bytes: Uint8Array, start: number, end: number): number | null {
  const small = plain(bytes, start, end);
  if (small >= 0) return small;
  const value = parseU64(bytes, start, end);
  return value === null ? null : Number(BigInt.asUintN(32, value));
}

/** strtol cut to 32 bits (exptime, length); null where memcached refuses. */
export function parseI32(bytes: Uint8Array, start: number, end: number): number | null {
  const small = plain(bytes, start, end);
  if (small >= 0) return small;
  const scanned = scan(bytes, start, end);
  if (!scanned) return null;
  const value = scanned.negative ? -scanned.magnitude : scanned.magnitude;
  if (value > MAX_I64 || value < -MAX_I64 - 1n) return null;
  return Number(BigInt.asIntN(32, value));
}
