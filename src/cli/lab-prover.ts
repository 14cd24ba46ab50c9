/** The thread of lab-proof.ts: an entry of its own in the bundle, started by prove-elsewhere.ts for one question. */
import { parentPort, workerData } from "node:worker_threads";
import { prove, type Question } from "./lab-proof.ts";

parentPort?.postMessage(prove(workerData as Question));
