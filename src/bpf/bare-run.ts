/**
 * Bytecode with nothing around it: no maps, no packet, no verifier; r1 = a block of memory, r2 = its length.
 * What `bmc exec` runs, and what the vector suite compares engines by. Any failure is a value.
 */
import { decode } from "./codec.ts";
import type { CompileInput, Executable } from "./engine.ts";
import { faultOf } from "./fault.ts";
import { checkProgram } from "./load-checks.ts";
import { Runtime } from "./runtime.ts";

export type BareOutcome =
  /** r0 as an unsigned 64-bit number, and the memory as the program left it. */
  | { readonly ok: true; readonly r0: bigint; readonly memory: Uint8Array }
  | {
      readonly ok: false;
      readonly message: string;
    };

/** @param memory null or empty: r1 and r2 are 0 */
export function runBare(
  bytecode: Uint8Array,
  memory: Uint8Array | null,
  make: (input: CompileInput) => Executable,
): BareOutcome {
  const decoded = decode(bytecode);
  if (!decoded.ok) return { ok: false, message: `insn ${decoded.error.insn}: ${decoded.error.message}` };
  const check = checkProgram(decoded.slots, 0);
  if (!check.ok) return { ok: false, message: `insn ${check.insn}: ${check.message}` };
  const rt = new Runtime();
  const length = memory?.length ?? 0;
  let at = 0;
  if (memory && length > 0) {
    at = rt.memory.alloc(length, 64, "the program's memory");
    rt.memory.bytes.set(memory, at);
    // Legacy packet loads, and the memory guard, see the block as the packet.
    rt.packet = {
      type: "socket_filter",
      ctxAddress: at,
      ctxBytes: 0,
      hardStart: at,
      hardEnd: at + length,
      data: at,
      dataEnd: at + length,
      dataMeta: at,
      syncContext: () => {},
    };
  }
  try {
    const executable = make({
      slots: decoded.slots,
      functions: check.functions,
      maps: [],
      rt,
      checked: true,
    });
    rt.begin("socket_filter");
    const r0 = executable.run64(BigInt(at), BigInt(length));
    return { ok: true, r0, memory: rt.memory.bytes.slice(at, at + length) };
  } catch (error) {
    return { ok: false, message: faultOf(error).message };
  }
}
