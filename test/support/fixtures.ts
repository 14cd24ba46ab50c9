/** Objects that clang made of test/fixtures/bpf/*.bpf.c. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseObject } from "../../src/bpf/elf/object.ts";
import type { ProgramObject } from "../../src/bpf/program.ts";

/** @param name without `.bpf.o` */
export function fixturePath(name: string): string {
  return fileURLToPath(new URL(`../fixtures/bpf/${name}.bpf.o`, import.meta.url));
}

export function fixtureObject(name: string): ProgramObject {
  const parsed = parseObject(readFileSync(fixturePath(name)));
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.object;
}
