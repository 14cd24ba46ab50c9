/**
 * Worker threads for tests: a TypeScript module bundled once and started in a thread. It gets `workerData`, posts one
 * message as its result, and ends.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { buildSync } from "esbuild";

export type ThreadModule = { start(data: unknown): Worker; remove(): void };

export function threadModule(path: string): ThreadModule {
  const directory = mkdtempSync(join(tmpdir(), "bmc-thread-"));
  const outfile = join(directory, "thread.mjs");
  buildSync({
    entryPoints: [path],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "esm",
    logLevel: "error",
  });
  return {
    start: (workerData) => new Worker(outfile, { workerData }),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** What a thread posted when it ended. */
export function result<T>(worker: Worker): Promise<T> {
  return new Promise((resolve, reject) => {
    let message: T | undefined;
    worker.on("message", (posted: T) => {
      message = posted;
    });
    worker.on("error", reject);
    worker.on("exit", (code) => {
      if (message === undefined) reject(new Error(`the thread ended with ${code} and said nothing`));
      else resolve(message);
    });
  });
}
