/** Quantities on the command line: numbers with a unit, refused in one line that names the flag. */
import { UsageError } from "./exit.ts";

const FACTORS: Readonly<Record<string, number>> = { "": 1, k: 1e3, m: 1e6, g: 1e9 };

/** 60000, 60k, 1.5M, 1e6. */
export function quantity(flag: string, text: string, min: number, max: number): number {
  const value = parse(text);
  if (!(value >= min && value <= max)) throw refused(flag, text, `a number from ${min} to ${max}`);
  return value;
}

export function wholeNumber(flag: string, text: string, min: number, max: number): number {
  const value = parse(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw refused(flag, text, `a whole number from ${min} to ${max}`);
  }
  return value;
}

function parse(text: string): number {
  const match = /^(-?\d+(?:\.\d+)?(?:e\d+)?)([kKmMgG]?)$/.exec(text.trim());
  return match ? Number(match[1]) * (FACTORS[match[2]!.toLowerCase()] ?? 1) : Number.NaN;
}

const TIME_US: Readonly<Record<string, number>> = { ns: 1e-3, us: 1, µs: 1, ms: 1e3, s: 1e6 };

/** `p99=500us` */
export function latencyLimit(flag: string, text: string): { quantile: number; limitUs: number } {
  const match = /^p(\d{1,2}(?:\.\d+)?)=(\d+(?:\.\d+)?)(ns|us|µs|ms|s)$/.exec(text.trim());
  const quantile = Number(match?.[1]) / 100;
  if (!match || !(quantile > 0 && quantile < 1)) {
    throw refused(flag, text, "a quantile and a time, such as p99=500us");
  }
  return { quantile, limitUs: Number(match[2]) * TIME_US[match[3]!]! };
}

function refused(flag: string, given: string, allowed: string): UsageError {
  return new UsageError(`${flag} is ${JSON.stringify(given)}; allowed: ${allowed}`);
}
