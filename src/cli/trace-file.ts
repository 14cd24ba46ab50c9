/** Trace files read in chunks; .zst is decompressed on the way. */
import { closeSync, openSync, readSync } from "node:fs";
import { Decompress } from "fzstd";
import { SimError } from "../sim/sim-error.ts";
import { parseTrace, type TraceFormat, type TraceRequest } from "../sim/traces.ts";
import { UsageError } from "./exit.ts";

const CHUNK = 1 << 18;
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

/** The requests of a trace file. @throws UsageError when it cannot be read, SimError when it is no trace */
export function readTrace(path: string, format?: TraceFormat): Generator<TraceRequest, void> {
  return parseTrace(chunksOf(path), path, format);
}

function* chunksOf(path: string): Generator<Uint8Array, void> {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (cause) {
    throw new UsageError(`cannot read trace ${path}: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
  try {
    let inflate: ((chunk: Uint8Array, last: boolean) => Uint8Array[]) | null = null;
    for (let first = true; ; first = false) {
      const buffer = new Uint8Array(CHUNK);
      const size = read(file, buffer, path);
      const chunk = buffer.subarray(0, size);
      if (first && ZSTD_MAGIC.every((byte, i) => chunk[i] === byte)) inflate = zstd(path);
      if (size === 0) {
        if (inflate) yield* inflate(chunk, true);
        return;
      }
      if (inflate) yield* inflate(chunk, false);
      else yield chunk;
    }
  } finally {
    closeSync(file);
  }
}

function read(file: number, buffer: Uint8Array, path: string): number {
  try {
    return readSync(file, buffer, 0, buffer.length, null);
  } catch (cause) {
    throw new UsageError(`cannot read trace ${path}: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
}

function zstd(path: string): (chunk: Uint8Array, last: boolean) => Uint8Array[] {
  const out: Uint8Array[] = [];
  const stream = new Decompress((data) => out.push(data));
  return (chunk, last) => {
    try {
      stream.push(chunk, last);
    } catch (cause) {
      throw new SimError(`trace ${path}: damaged zstd data: ${(cause as Error).message}`, { cause });
    }
    return out.splice(0);
  };
}
