/**
 * What one GET does, as counts, for the lessons' arithmetic. Instruction counts are those of the shipped
 * program on a short key, outside its copy loops.
 */
import { type RequestFacts, requestFacts } from "../../costs/facts.ts";

/** Instructions of a look-up that ends in a reply, and of one that ends in a pass. */
const HIT_INSTRUCTIONS = 420;
const MISS_INSTRUCTIONS = 260;

/** Answered at the hook: the program ran, found, copied and sent. */
export function hotGet(valueBytes: number): RequestFacts {
  return requestFacts({
    path: "hot",
    packets: 1,
    hookRuns: 1,
    instructions: HIT_INSTRUCTIONS,
    arrayLookups: 1,
    locks: 1,
    ebpfBytes: valueBytes,
    hookReplies: 1,
  });
}

/** Answered by userspace. With a program attached the request pays for the look it took, too. */
export function coldGet(valueBytes: number, withProgram: boolean): RequestFacts {
  return requestFacts({
    path: "cold",
    packets: 1,
    ...(withProgram ? { hookRuns: 1, instructions: MISS_INSTRUCTIONS, arrayLookups: 1 } : {}),
    stackIn: 1,
    stackOut: 1,
    crossings: 2,
    nativeBytes: valueBytes,
    storeOps: 1,
  });
}
