/**
 * What is asked for: keys, operations and sizes. A workload fills one reused record per request and needs
 * memory independent of the number of keys and requests.
 */
import { exp, ln } from "./math.ts";
import { Prng } from "./prng.ts";
import { Zipf } from "./zipf.ts";

export type Operation = "get" | "set" | "delete" | "rmw" | "scan";

export type KeySpec =
  | { readonly kind: "zipf"; readonly keys: number; readonly skew: number }
  | { readonly kind: "uniform"; readonly keys: number }
  /** A share of the requests goes to a window of hot keys, which moves by one key every `driftEvery`. */
  | {
      readonly kind: "hotset";
      readonly keys: number;
      readonly hotKeys: number;
      readonly hotShare: number;
      readonly driftEvery: number;
    }
  /** YCSB D: the newest keys are the popular ones; inserts move the top. */
  | { readonly kind: "latest"; readonly keys: number; readonly skew: number };

export type SizeSpec =
  | { readonly kind: "constant"; readonly bytes: number }
  | {
      readonly kind: "bimodal";
      readonly small: number;
      readonly large: number;
      readonly largeShare: number;
    }
  | { readonly kind: "etc" };

/** YCSB core workloads as shares; E's scans and F's read-modify-writes are not answerable at a hook. */
export const YCSB = {
  a: { get: 0.5, set: 0.5 },
  b: { get: 0.95, set: 0.05 },
  c: { get: 1 },
  d: { get: 0.95, insert: 0.05 },
  e: { scan: 0.95, insert: 0.05 },
  f: { get: 0.5, rmw: 0.5 },
} as const satisfies Readonly<Record<string, Mix>>;

export type Mix = Partial<Readonly<Record<Operation | "insert", number>>>;

export type WorkloadSpec = { readonly key: KeySpec; readonly size: SizeSpec; readonly mix: Mix };

export type Request = { operation: Operation; key: number; valueBytes: number };

/** A source of requests; `next` refills the same record, or says there are no more. */
export type Workload = { readonly request: Request; readonly next: () => boolean };

export function workload({ key, size, mix }: WorkloadSpec, seed: number): Workload {
  const rng = new Prng(seed, 2);
  const draw = keySource(key, rng);
  const sizeOf = valueSizes(size);
  const request: Request = { operation: "get", key: 0, valueBytes: 0 };
  const shares = Object.entries(mix) as [Operation | "insert", number][];
  const next = (): boolean => {
    let u = shares.length === 1 ? 0 : rng.unit();
    let chosen = shares[0]![0];
    for (const [operation, share] of shares) {
      chosen = operation;
      if (u < share) break;
      u -= share;
    }
    request.operation = chosen === "insert" ? "set" : chosen;
    request.key = draw(chosen === "insert");
    request.valueBytes = sizeOf(request.key);
    return true;
  };
  return { request, next };
}

function keySource(spec: KeySpec, rng: Prng): (insert: boolean) => number {
  const { keys } = spec;
  if (spec.kind === "uniform") return () => rng.below(keys);
  if (spec.kind === "zipf") {
    const zipf = new Zipf(keys, spec.skew);
    return () => zipf.sample(rng);
  }
  if (spec.kind === "latest") {
    const zipf = new Zipf(keys, spec.skew);
    let top = keys - 1;
    return (insert) => (insert ? ++top : Math.max(0, top - zipf.sample(rng)));
  }
  let start = 0;
  let count = 0;
  return () => {
    if (++count % spec.driftEvery === 0) start = (start + 1) % keys;
    return rng.unit() < spec.hotShare ? (start + rng.below(spec.hotKeys)) % keys : rng.below(keys);
  };
}

/**
 * Facebook ETC value lengths (SIGMETRICS'12): 0..14 B by table, 15 B and more by a generalised Pareto
 * distribution with location 0, scale 214.476, shape 0.348238.
 */
const ETC_SMALL = [
  0.00536, 0.00047, 0.1782, 0.09239, 0.00018, 0.0274, 0.00065, 0.00606, 0.00023, 0.00837, 0.00837, 0.08989,
  0.00092, 0.00326, 0.0198,
];
const ETC_SCALE = 214.476;
const ETC_SHAPE = 0.348238;
const ETC_MAX = 1 << 20;

/** @returns the value's size for a key: the same key always has the same size. */
export function valueSizes(spec: SizeSpec): (key: number) => number {
  if (spec.kind === "constant") return () => spec.bytes;
  if (spec.kind === "bimodal") {
    return (key) => (unitOf(key) < spec.largeShare ? spec.large : spec.small);
  }
  const below15 = 1 - paretoTail(15);
  return (key) => {
    let u = unitOf(key);
    for (let bytes = 0; bytes < ETC_SMALL.length; bytes++) {
      if (u < ETC_SMALL[bytes]!) return bytes;
      u -= ETC_SMALL[bytes]!;
    }
    const rest = 1 - ETC_SMALL.reduce((a, b) => a + b, 0);
    const v = below15 + Math.min(0.9999999, u / rest) * (1 - below15);
    const x = (ETC_SCALE / ETC_SHAPE) * (exp(-ETC_SHAPE * ln(1 - v)) - 1);
    return Math.min(ETC_MAX, Math.max(15, Math.round(x)));
  };
}

function paretoTail(x: number): number {
  return exp((-1 / ETC_SHAPE) * ln(1 + (ETC_SHAPE * x) / ETC_SCALE));
}

/** A fixed uniform number for a key (murmur3's finalizer). */
function unitOf(key: number): number {
  let h = key | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) / 4294967296;
}
