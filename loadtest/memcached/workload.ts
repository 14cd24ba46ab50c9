/** What a memcached load test asks for: seeded Zipf keys, a mix of value sizes and of reads and writes. */
import { Prng } from "../../src/sim/prng.ts";
import { Zipf } from "../../src/sim/zipf.ts";

export type Workload = {
  readonly keys: number;
  readonly zipfSkew: number;
  /** Sizes in bytes with their weights. */
  readonly sizes: readonly (readonly [bytes: number, weight: number])[];
  /** Share of requests that are sets, 0..1. */
  readonly setShare: number;
  /** Keys of one get. */
  readonly keysPerGet: number;
  readonly seed: number;
};

export type Request = { readonly bytes: Buffer; readonly isSet: boolean };

export function keyName(index: number): string {
  return `memkey:${index.toString().padStart(8, "0")}`;
}

/** A key's value has always the same size and bytes, so that an answer can be checked. */
export function textOf(workload: Workload, index: number): string {
  const total = workload.sizes.reduce((sum, [, weight]) => sum + weight, 0);
  let draw = new Prng(workload.seed, index + 1).unit() * total;
  let size = 0;
  for (const [bytes, weight] of workload.sizes) {
    size = bytes;
    draw -= weight;
    if (draw < 0) break;
  }
  return `${index}:`.repeat(Math.ceil(size / `${index}:`.length)).slice(0, size);
}

/** Requests of one connection, drawn one after the other. */
export function requester(workload: Workload, connection: number): () => Request {
  const rng = new Prng(workload.seed + connection * 7_919);
  const zipf = new Zipf(workload.keys, workload.zipfSkew);
  const rank = () => zipf.sample(rng);
  const gets = new Map<number, Request>();
  const sets = new Map<number, Request>();
  const remember = (known: Map<number, Request>, index: number, make: () => Request): Request => {
    const request = known.get(index) ?? make();
    if (known.size < 20_000) known.set(index, request);
    return request;
  };
  return () => {
    if (workload.setShare > 0 && rng.unit() < workload.setShare) {
      const index = rank();
      return remember(sets, index, () => setRequest(workload, index));
    }
    if (workload.keysPerGet === 1) {
      const index = rank();
      return remember(gets, index, () => ({
        bytes: Buffer.from(`get ${keyName(index)}\r\n`),
        isSet: false,
      }));
    }
    const names = Array.from({ length: workload.keysPerGet }, () => keyName(rank()));
    return { bytes: Buffer.from(`get ${names.join(" ")}\r\n`), isSet: false };
  };
}

export function setRequest(workload: Workload, index: number): Request {
  const value = textOf(workload, index);
  return { bytes: Buffer.from(`set ${keyName(index)} 0 0 ${value.length}\r\n${value}\r\n`), isSet: true };
}
