/**
 * What is wrong with a program as a whole, before any path: its size, its type's privileges, its maps, which
 * Linux creates (or not) before it looks at the program.
 */
import { isAbsentKfunc, kfuncById } from "../helpers/kfuncs.ts";
import type { Instruction } from "../isa.ts";
import { mapProblem } from "../maps/define.ts";
import type { Program } from "../program.ts";
import { isGplCompatible } from "./license.ts";
import { reject } from "./rules.ts";
import { MAX_VARIABLE_OFFSET } from "./stack-access.ts";
import { INSN_LIMIT, type VerifyOptions } from "./walk.ts";

/** Unprivileged programs may have this many instructions (Linux BPF_MAXINSNS). */
const UNPRIVILEGED_INSNS = 4096;

export function checkPrograms(
  program: Program,
  slots: readonly (Instruction | null)[],
  options: VerifyOptions,
): void {
  if (slots.length > INSN_LIMIT) {
    reject("too-complex", `program has ${slots.length} instructions, the limit is ${INSN_LIMIT}`);
  }
  if (options.unprivileged) {
    if (program.type !== "socket_filter") {
      reject("unprivileged", `programs of type ${program.type} are for CAP_NET_ADMIN and CAP_BPF`);
    }
    if (slots.length > UNPRIVILEGED_INSNS) {
      reject(
        "unprivileged",
        `program has ${slots.length} instructions, unprivileged ones may have ${UNPRIVILEGED_INSNS}`,
      );
    }
  }
  slots.forEach((insn, at) => {
    if (options.unprivileged && insn && namesFunction(insn)) {
      reject(
        "unprivileged",
        "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN",
        at,
      );
    }
    if (insn?.kind === "call" && insn.target === "kfunc") checkKfunc(program, insn.id, at, options);
    if (insn?.kind !== "wide") return;
    const isMap = insn.pseudo === "map" || insn.pseudo === "map_idx";
    const isValue = insn.pseudo === "map_value" || insn.pseudo === "map_idx_value";
    if (!isMap && !isValue) return;
    const map = program.maps[insn.imm];
    if (!map) reject("bad-map", `fd ${insn.imm} is not pointing to valid bpf_map`, at);
    const problem = mapProblem(map);
    if (problem) reject("bad-map", problem.message, at);
    if (isMap && insn.imm2 !== 0) reject("bad-instruction", "unrecognized bpf_ld_imm64 insn", at);
    if (map.spinLockOffset !== undefined && program.type === "socket_filter") {
      reject("spin-lock", "socket filter progs cannot use bpf_spin_lock yet", at);
    }
    if (!isValue) return;
    const off = insn.imm2 >>> 0;
    if (off >= MAX_VARIABLE_OFFSET) reject("bad-map", `direct value offset of ${off} is not allowed`, at);
    if (map.type !== "array" || map.maxEntries !== 1 || off >= map.valueBytes) {
      reject("bad-map", `invalid access to map value pointer, value_size=${map.valueBytes} off=${off}`, at);
    }
  });
}

function checkKfunc(program: Program, id: number, at: number, options: VerifyOptions): void {
  if (options.unprivileged) {
    reject(
      "unprivileged",
      "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN",
      at,
    );
  }
  if (!isGplCompatible(program.license)) {
    reject("license", "cannot call kernel function from non-GPL compatible program", at);
  }
  if (!kfuncById(id) && !isAbsentKfunc(id)) {
    reject(
      "unknown-kfunc",
      `kernel function btf_id ${id} is not known: the number is one kernel's, and only an object says the name`,
      at,
    );
  }
}

/** Calls or loads a function, reached or not. */
function namesFunction(insn: Instruction): boolean {
  if (insn.kind === "call") return insn.target === "local" || insn.target === "kfunc";
  return insn.kind === "wide" && insn.pseudo === "func";
}
