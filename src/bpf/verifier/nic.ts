/**
 * Target `nic`: what a NIC that runs offloaded programs accepts beyond Linux's own rules. Modelled on the
 * published limits of the Netronome driver: array and hash maps, no updates from the data plane, no tail
 * calls, 4,096 instructions, XDP and tc only.
 */
import type { Program } from "../program.ts";
import type { VerifierHelper } from "./linux-helpers.ts";
import { reject } from "./rules.ts";
import type { Walk } from "./walk.ts";

export const NIC_INSTRUCTIONS = 4096;
const NIC_MAPS = new Set(["array", "hash"]);
const NIC_HELPERS = new Set([
  "map_lookup_elem",
  "get_prandom_u32",
  "xdp_adjust_head",
  "xdp_adjust_tail",
  "csum_diff",
]);

export function checkNicProgram(program: Program, instructions: number): void {
  if (program.type !== "xdp" && program.type !== "tc") {
    reject("nic-type", `the NIC does not run programs of type ${program.type}`);
  }
  if (instructions > NIC_INSTRUCTIONS) {
    reject("nic-size", `program has ${instructions} instructions, the NIC holds ${NIC_INSTRUCTIONS}`);
  }
  const map = program.maps.find((m) => !NIC_MAPS.has(m.type));
  if (map)
    reject("nic-map", `map '${map.name}' is of type ${map.type}: the NIC has array and hash maps only`);
}

export function checkNicHelper(w: Walk, helper: VerifierHelper): void {
  if (w.target === "nic" && !NIC_HELPERS.has(helper.name)) {
    w.reject("nic-helper", `the NIC has no helper bpf_${helper.name}#${helper.id}`);
  }
}
