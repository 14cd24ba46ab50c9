/**
 * bpf_trace_printk: printf with at most three arguments and the conversions Linux lets it have. A bad
 * format is -EINVAL and prints nothing.
 */
import { ERRNO } from "../maps/map.ts";
import type { Runtime } from "../runtime.ts";
import type { HelperTable } from "./implementation.ts";

const CONVERSION = /%(%|([-+ 0]*)(\d*)(l{0,2})([diuxXcsp])([xks]?[uks]?))/g;
const MAX_ARGUMENTS = 3;
const MAX_STRING_BYTES = 512;

export const TRACE_HELPERS = {
  trace_printk: (rt, format, size, a, b, c) => {
    const text = cString(rt, format >>> 0, size >>> 0);
    if (text === null || /[^\t-\r\x20-\x7e]/.test(text)) return -ERRNO.EINVAL;
    const line = formatted(rt, text, [a, b, c]);
    if (line === null) return -ERRNO.EINVAL;
    rt.trace(line.replace(/\n$/, ""));
    return line.length;
  },
} satisfies Partial<HelperTable>;

/** @returns null for a conversion Linux refuses, or more of them than arguments */
function formatted(rt: Runtime, text: string, args: readonly bigint[]): string | null {
  let used = 0;
  let rest = text;
  const line = text.replace(
    CONVERSION,
    (whole, kind: string, flags: string, width: string, long: string, conversion: string, suffix: string) => {
      rest = rest.replace(whole, "");
      if (kind === "%") return "%";
      const value = args[used++];
      // What follows a number's letter is plain text, only a pointer takes a suffix.
      const isPointer = conversion === "p";
      const shown = pad(convert(rt, conversion, long !== "", value ?? 0n), flags, width);
      return isPointer ? shown : shown + suffix;
    },
  );
  return used > MAX_ARGUMENTS || rest.includes("%") ? null : line;
}

function convert(rt: Runtime, conversion: string, isLong: boolean, value: bigint): string {
  const bits = isLong ? 64 : 32;
  switch (conversion) {
    case "d":
    case "i":
      return BigInt.asIntN(bits, value).toString();
    case "u":
      return BigInt.asUintN(bits, value).toString();
    case "x":
      return BigInt.asUintN(bits, value).toString(16);
    case "X":
      return BigInt.asUintN(bits, value).toString(16).toUpperCase();
    case "c":
      return String.fromCharCode(Number(value & 0xffn));
    case "p":
      return BigInt.asUintN(64, value).toString(16).padStart(16, "0");
    default:
      return cString(rt, Number(BigInt.asUintN(32, value)), MAX_STRING_BYTES) ?? "(efault)";
  }
}

function pad(text: string, flags: string, width: string): string {
  const columns = Number(width || 0);
  if (flags.includes("-")) return text.padEnd(columns);
  if (!flags.includes("0")) return text.padStart(columns);
  return text.startsWith("-") ? `-${text.slice(1).padStart(columns - 1, "0")}` : text.padStart(columns, "0");
}

/** The NUL-terminated string at `at`, each byte a character; null when no NUL is within `limit`. */
function cString(rt: Runtime, at: number, limit: number): string | null {
  const { bytes } = rt.memory;
  const end = bytes.subarray(at, at + limit).indexOf(0);
  return end < 0 ? null : String.fromCharCode(...bytes.subarray(at, at + end));
}
