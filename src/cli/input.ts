/** Bytes a command is given: a file, or stdin where the name is `-`. */
import { readFileSync, readSync } from "node:fs";
import { UsageError } from "./exit.ts";

/** @throws UsageError naming the file and the system's reason */
export function readInput(path: string): Uint8Array {
  if (path === "-") return readStdin();
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new UsageError(`cannot read ${path}: ${(cause as NodeJS.ErrnoException).code ?? cause}`, { cause });
  }
}

/** How messages name an input. */
export function inputName(path: string): string {
  return path === "-" ? "stdin" : path;
}

/** Synchronous: faster than a stream, which matters to commands that live a millisecond. */
export function readStdin(): Uint8Array {
  const chunks: Buffer[] = [];
  const buffer = Buffer.alloc(65_536);
  const pause = new Int32Array(new SharedArrayBuffer(4));
  while (true) {
    try {
      const count = readSync(0, buffer, 0, buffer.length, null);
      if (count === 0) return Buffer.concat(chunks);
      chunks.push(Buffer.from(buffer.subarray(0, count)));
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === "EOF") return Buffer.concat(chunks);
      // A pipe that a parent made non-blocking has nothing for us yet.
      if (code !== "EAGAIN") throw new UsageError(`stdin: ${(cause as Error).message}`, { cause });
      Atomics.wait(pause, 0, 0, 1);
    }
  }
}
