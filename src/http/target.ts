/**
 * A request target to a cache key. Keys are bytes: the target is percent-decoded to bytes, not to text, so
 * `%ff` is the one-byte key 0xff. (Raw bytes above 0x7f never get here: Node's parser refuses them.)
 */
import type { Key } from "../tiers/cold/store.ts";

export const MAX_KEY_BYTES = 250;
const PREFIX = "/kv/";

/** What a target asks for: a key, a fault to tell the client, or null: another route. */
export type Target = { readonly key: Key; readonly query: string } | { readonly fault: string } | null;

/** Strips `http://authority` of an absolute-form target (RFC 9112 §3.2.2). */
export function originForm(target: string): string {
  if (target.charCodeAt(0) === 47) return target;
  const match = /^https?:\/\/[^/?#]*/i.exec(target);
  if (!match) return target;
  const rest = target.slice(match[0].length);
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** @param target in origin form */
export function parseTarget(target: string): Target {
  if (!target.startsWith(PREFIX)) return null;
  let end = target.length;
  let escaped = false;
  let query = "";
  for (let i = PREFIX.length; i < target.length; i++) {
    const code = target.charCodeAt(i);
    if (code === 47) return { fault: `key has a / at byte ${i - PREFIX.length}; write / as %2F` };
    if (code === 37) escaped = true;
    if (code === 63 || code === 35) {
      end = i;
      if (code === 63) query = queryOf(target, i + 1);
      break;
    }
  }
  const raw = target.slice(PREFIX.length, end);
  const key = escaped ? percentDecode(raw) : raw;
  if (key === null) return { fault: `key has a broken percent escape; write % as %25` };
  const fault = keyFault(key);
  return fault === null ? { key, query } : { fault };
}

/** What is wrong with a key, or null. */
export function keyFault(key: Key): string | null {
  if (key.length === 0 || key.length > MAX_KEY_BYTES) {
    return `key has ${key.length} bytes; allowed: 1 to ${MAX_KEY_BYTES}`;
  }
  for (let i = 0; i < key.length; i++) {
    const code = key.charCodeAt(i);
    if (code <= 0x20 || code === 0x7f) {
      return `key byte ${i} is 0x${code.toString(16).padStart(2, "0")}; allowed: no spaces, no control bytes`;
    }
  }
  return null;
}

const MAX_TTL_SECONDS = 100 * 365 * 86_400;

/** @returns milliseconds to live, 0 for no bound, or what is wrong. */
export function ttlMs(query: string): number | { readonly fault: string } {
  if (query === "") return 0;
  const given = new URLSearchParams(query).get("ttl");
  if (given === null) return 0;
  const seconds = /^\d{1,10}(\.\d{1,3})?$/.test(given) ? Number(given) : Number.NaN;
  if (!(seconds > 0 && seconds <= MAX_TTL_SECONDS)) {
    return { fault: `ttl is '${given.slice(0, 32)}'; allowed: seconds above 0, at most ${MAX_TTL_SECONDS}` };
  }
  return Math.max(1, Math.round(seconds * 1000));
}

function queryOf(target: string, start: number): string {
  const hash = target.indexOf("#", start);
  return hash < 0 ? target.slice(start) : target.slice(start, hash);
}

function percentDecode(raw: string): string | null {
  let out = "";
  for (let i = 0; i < raw.length; i++) {
    const char = raw[i]!;
    if (char !== "%") {
      out += char;
      continue;
    }
    const hex = raw.slice(i + 1, i + 3);
    if (!/^[0-9a-fA-F]{2}$/.test(hex)) return null;
    out += String.fromCharCode(Number.parseInt(hex, 16));
    i += 2;
  }
  return out;
}
