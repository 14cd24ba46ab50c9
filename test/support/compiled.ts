/**
 * A C helper of the tests, compiled once for each content of its source and kept for the next run: test workers
 * are ended without notice, so what each of them compiled into a folder of its own would stay behind.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("../../node_modules/.cache/bmc-tests/", import.meta.url));
const COMPILERS = ["gcc", "clang", "cc"];

/** @returns the program's path, or null where no compiler makes it */
export function compiled(source: string, flags: readonly string[] = []): string | null {
  const hash = createHash("sha256").update(readFileSync(source)).update(flags.join(" ")).digest("hex");
  const program = join(FOLDER, `${basename(source, ".c")}-${hash.slice(0, 16)}`);
  if (existsSync(program)) return program;
  mkdirSync(FOLDER, { recursive: true });
  // Another worker may be at it, too: whoever is done last replaces the same by the same.
  const mine = `${program}.${process.pid}-${process.hrtime.bigint()}`;
  for (const compiler of COMPILERS) {
    spawnSync(compiler, ["-O1", "-o", mine, source, ...flags]);
    if (!existsSync(mine)) continue;
    renameSync(mine, program);
    return program;
  }
  return null;
}
