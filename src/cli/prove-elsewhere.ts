/**
 * Asks lab-proof.ts on a thread of its own, with bounds on time and memory: the thread that serves goes on
 * serving whatever the upload is.
 */
import { existsSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { configPath } from "./config-files.ts";
import type { Proof, Question, Refused } from "./lab-proof.ts";

/** As the verifier itself is held to (a program that uses its budget up). */
const MAX_HEAP_MB = 512;

/** The bundle's second entry; sources are run with the bundle of their build. */
const PROVER = () => configPath("..", "dist", "cli", "lab-prover.js");

export async function proveElsewhere(question: Question, timeLimitMs: number): Promise<Proof | Refused> {
  const path = PROVER();
  if (!existsSync(path))
    return { kind: "refused", why: "the verifier's thread is not built: run npm run build" };
  const worker = new Worker(path, {
    workerData: question,
    execArgv: [],
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<Proof | Refused>((resolve) => {
      const refuse = (why: string) => resolve({ kind: "refused", why });
      timer = setTimeout(
        () =>
          refuse(
            `not verified within ${timeLimitMs / 1000} s, which is all a program gets here; nothing was attached`,
          ),
        timeLimitMs,
      );
      worker.once("message", resolve);
      worker.once("error", (error: NodeJS.ErrnoException) =>
        refuse(
          error.code === "ERR_WORKER_OUT_OF_MEMORY"
            ? `verifying it takes more than ${MAX_HEAP_MB} MiB of memory; nothing was attached`
            : `the verifier failed: ${error.message}`,
        ),
      );
      worker.once("exit", () => refuse("the verifier's thread ended without a verdict"));
    });
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}
