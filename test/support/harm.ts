/**
 * Loaded into every thread of a service before anything else (`node --import`): does harm when told to. The main
 * thread hears of it over IPC and tells the workers. See serve-process.ts.
 */
import { BroadcastChannel, isMainThread, workerData } from "node:worker_threads";
import type { WorkerData } from "../../src/cli/workers/worker.ts";
import type { Death, Harm } from "./harms.ts";

const SPOILT = "BMC_TEST_SPOILT";
const realNow = Date.now;
let jumpedMs = 0;
Date.now = () => realNow() + jumpedMs;

const channel = new BroadcastChannel("harm");
channel.unref();

if (isMainThread) {
  process.on("message", (harm: Harm) => {
    channel.postMessage(harm);
    if (harm.do === "jump") jumpedMs += harm.ms;
    // Threads that start get a copy of the environment.
    if (harm.do === "spoil") process.env[SPOILT] = harm.spoilt ? "1" : "";
    process.send?.("done");
  });
  process.channel?.unref();
} else {
  if (process.env[SPOILT] === "1") throw new Error("spoilt, as the test wished");
  const { cpu, store } = workerData as WorkerData;
  const die = (): never => {
    process.exit(7);
    // A thread is ended where it next calls or loops.
    for (;;);
  };
  const atNextWrite = (steps: (tell: () => void) => readonly (() => void)[]): void => {
    if (!store) return;
    const post = store.port.postMessage.bind(store.port);
    store.port.postMessage = (batch: readonly { readonly op: string }[]) => {
      const isWrite = batch.some(({ op }) => op === "set");
      for (const step of isWrite ? steps(() => post(batch)) : [() => post(batch)]) step();
    };
  };
  const ways: Readonly<Record<Death, () => void>> = {
    throw: () =>
      void setTimeout(() => {
        throw new Error("thrown, as the test wished");
      }),
    "exit-holding-a-lock": () => {
      // Userspace frees locks so, and nothing else.
      Atomics.store = die;
    },
    "exit-before-the-store-is-told": () => atNextWrite((tell) => [die, tell]),
    "exit-after-the-store-is-told": () => atNextWrite((tell) => [tell, die]),
  };
  channel.onmessage = (event: unknown) => {
    const harm = (event as { readonly data: Harm }).data;
    if (harm.do === "jump") jumpedMs += harm.ms;
    else if (harm.do !== "spoil" && harm.cpu === cpu.cpu) ways[harm.do]();
  };
}
