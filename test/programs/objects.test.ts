/**
 * The committed objects: they are what their sources build to, carry no path of a machine, pass our verifier
 * and the running kernel's, and lay their maps out as TypeScript reads them.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parseObject } from "../../src/bpf/elf/object.ts";
import type { ProgramObject } from "../../src/bpf/program.ts";
import { LRU_SLOTS_PER_ENTRY, POLICY_TABLE } from "../../src/tiers/hot/policy.ts";
import { RUN_REASONS, STATS } from "../../src/tiers/hot/run-info.ts";
import { ENTRIES, linux, variantsOf, whyNoLinux } from "./machines.ts";

const FOLDER = fileURLToPath(new URL("../../src/programs/", import.meta.url));
const NAMES = readdirSync(FOLDER)
  .filter((file) => file.endsWith(".bpf.c"))
  .map((file) => file.slice(0, -".bpf.c".length));
/** Debian's clang 14 built the committed objects; another release may choose other instructions. */
const whyNoClang = (() => {
  try {
    const version = execFileSync("clang", ["--version"], { encoding: "utf8", stdio: "pipe" });
    execFileSync("llvm-strip", ["--version"], { stdio: "pipe" });
    if (!existsSync("/usr/include/bpf/bpf_helpers.h")) return "no libbpf headers";
    return version.includes("version 14.") ? null : `not clang 14: ${version.split("\n")[0]}`;
  } catch {
    return "no clang";
  }
})();

function parse(path: string): ProgramObject {
  const parsed = parseObject(readFileSync(path));
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.object;
}

const code = (object: ProgramObject) =>
  Object.fromEntries(
    object.programs.map((p) => [p.name, Buffer.from(p.bytecode).toString("hex").match(/.{16}/g)]),
  );

const OBJECTS = NAMES.flatMap((name) => variantsOf(name).map((variant) => ({ name, ...variant })));

test("there is an object of every program for every policy, and no other", () => {
  expect(NAMES).toEqual(expect.arrayContaining(["http_kv", "http_kv_twin", "memcached"]));
  const built = readdirSync(FOLDER).filter((file) => file.endsWith(".bpf.o"));
  expect(built).toEqual(OBJECTS.map(({ object }) => `${object}.bpf.o`).sort());
});

describe.each(OBJECTS)("$object", ({ name, policy, object }) => {
  const path = join(FOLDER, `${object}.bpf.o`);

  test("names no file outside its folder", () => {
    const bytes = readFileSync(path).toString("latin1");
    expect(
      bytes.match(/\/(?:work|home|root|tmp|usr|opt)\/[^\0]*/g)?.filter((p) => !p.startsWith("/usr/include")),
    ).toBeUndefined();
    for (const program of parse(path).programs)
      for (const line of program.lines) expect(line.file).not.toMatch(/^\/(?!usr\/include)/);
  });

  test("keeps its entries in its policy's maps, as userspace lays them out, and in no other's", () => {
    const { entryMap, slotMap } = POLICY_TABLE[policy];
    const maps = parse(path).maps.filter((map) => /^hot_(?!config|copy)/.test(map.name));
    const declared = [entryMap, slotMap && { ...slotMap, maxEntries: LRU_SLOTS_PER_ENTRY * ENTRIES }];
    expect(maps).toHaveLength(declared.filter((map) => map !== null).length);
    for (const map of declared) if (map) expect(maps).toContainEqual(expect.objectContaining(map));
  });

  test.skipIf(whyNoClang !== null)(
    `is what its source builds to${whyNoClang ? ` (skipped: ${whyNoClang})` : ""}`,
    () => {
      const out = mkdtempSync(join(tmpdir(), "bmc-build-"));
      try {
        execFileSync("sh", [join(FOLDER, "build.sh"), `${name}.bpf.c`], {
          env: { ...process.env, OUT: out },
          stdio: "pipe",
        });
        expect(code(parse(join(out, `${object}.bpf.o`)))).toEqual(code(parse(path)));
      } finally {
        rmSync(out, { recursive: true, force: true });
      }
    },
  );

  test.skipIf(whyNoLinux !== null)(
    `the kernel's verifier accepts it${whyNoLinux ? ` (skipped: ${whyNoLinux})` : ""}`,
    async () => {
      const machine = linux(object);
      try {
        const rows = await machine.info();
        expect(rows.length).toBeGreaterThan(0);
        for (const [program, instructions, walked] of rows) {
          console.log(`${object}: ${program} ${instructions} instructions, the kernel walked ${walked}`);
          expect(walked, program).toBeGreaterThan(0);
          expect(walked, program).toBeLessThan(500_000); // of 1,000,000: room for kernels that walk more
        }
      } finally {
        machine.close();
      }
    },
  );
});

describe("hot_map.h and its mirror", () => {
  const header = readFileSync(join(FOLDER, "hot_map.h"), "utf8");
  const constants = (prefix: string) =>
    [...header.matchAll(new RegExp(`\\b${prefix}_(\\w+) = (\\d+)`, "g"))].map((m) => [m[1], Number(m[2])]);

  test("run reasons", () => {
    const inHeader = constants("RUN").filter(([name]) => name !== "UNFRAMED");
    expect(inHeader).toEqual(RUN_REASONS.map(({ name, code }) => [name, code]));
  });

  test("counters", () => {
    const inHeader = constants("STAT").filter(([name]) => name !== "VALUE_LOG2" && name !== "COUNT");
    expect(inHeader).toEqual(STATS.map(({ name, index }) => [name, index]));
  });
});
