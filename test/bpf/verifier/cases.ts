/**
 * Small programs around every rule, one a row, by subject: what Linux 6.18 says of each (as root) is recorded in
 * `accepts`; verdicts.test.ts holds ours to it and, where bpf() is permitted, the running kernel too.
 * `says` is a piece of the kernel's message that ours must carry as well.
 */
import type { Case } from "./case.ts";
import { FLOW_CASES } from "./flow-cases.ts";
import { FOREIGN_MAP_CASES } from "./foreign-map-cases.ts";
import { FUNCTION_CASES } from "./function-cases.ts";
import { HELPER_CASES } from "./helper-cases.ts";
import { MAP_OF_MAPS_CASES } from "./map-of-maps-cases.ts";
import { MAP_VALUE_CASES } from "./map-value-cases.ts";
import { PACKET_CASES } from "./packet-cases.ts";
import { SCALAR_CASES } from "./scalar-cases.ts";
import { SOCKET_CASES } from "./socket-cases.ts";
import { STACK_CASES } from "./stack-cases.ts";

export const CASES: readonly Case[] = [
  ...FLOW_CASES,
  ...STACK_CASES,
  ...PACKET_CASES,
  ...MAP_VALUE_CASES,
  ...HELPER_CASES,
  ...FUNCTION_CASES,
  ...FOREIGN_MAP_CASES,
  ...MAP_OF_MAPS_CASES,
  ...SCALAR_CASES,
  ...SOCKET_CASES,
];
