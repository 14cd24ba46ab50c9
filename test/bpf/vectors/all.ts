import { ALU_VECTORS } from "./alu.ts";
import { ATOMIC_VECTORS } from "./atomics.ts";
import { CALL_VECTORS } from "./calls.ts";
import { JUMP_VECTORS } from "./jumps.ts";
import { MEMORY_VECTORS } from "./memory.ts";
import type { Vector } from "./vector.ts";

export const VECTORS: readonly Vector[] = [
  ...ALU_VECTORS,
  ...JUMP_VECTORS,
  ...MEMORY_VECTORS,
  ...ATOMIC_VECTORS,
  ...CALL_VECTORS,
];
