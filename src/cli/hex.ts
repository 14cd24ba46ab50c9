/** Base16 as commands take and print it: either case, bytes may be set apart by white space. */
import { UsageError } from "./exit.ts";

/** @param what names the input in the error @throws UsageError */
export function parseHex(text: string, what: string): Uint8Array {
  const digits = text.replace(/\s+/g, "");
  const wrong = /[^0-9a-fA-F]/.exec(digits);
  if (wrong) throw new UsageError(`${what}: '${wrong[0]}' is not a hexadecimal digit`);
  if (digits.length % 2 !== 0) {
    throw new UsageError(`${what}: ${digits.length} hexadecimal digits do not make whole bytes`);
  }
  const bytes = new Uint8Array(digits.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(digits.slice(i * 2, i * 2 + 2), 16);
  return bytes;
}

export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}
