import { spawnSync } from "node:child_process";
import { beforeAll, describe, expect, it, test } from "vitest";

const CLI = new URL("../../dist/cli.js", import.meta.url).pathname;

function exec(stdin: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, "exec", ...args], {
    input: stdin,
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

const RETURN_42 = "b70000002a0000009500000000000000";
const RETURN_R1_R2 = "bf10000000000000 4f20000000000000 9500000000000000";
const LOAD_BYTE_7 = "7110070000000000 9500000000000000";
const MEMORY = "11 22 33 44 55 66 77 88 ";

describe.each(["interpreter", "jit"])("bmc exec --engine %s", (engine) => {
  const run = (stdin: string, ...args: string[]) => exec(stdin, ...args, "--engine", engine);

  beforeAll(() => {
    // The suite's own `pretest` builds; a stale or missing build must not look like a failure of exec.
    expect(run(RETURN_42).stderr).toBe("");
  });

  test.each<[name: string, stdin: string, args: string[], r0: string]>([
    ["prints r0 in lower-case hex", "b7000000abcdef009500000000000000", [], "efcdab"],
    ["prints all 64 bits", "b7000000ffffffff9500000000000000", [], "ffffffffffffffff"],
    ["takes spaces and a line end", "b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00 \n", [], "2a"],
    ["takes upper case", "B70000002A0000009500000000000000", [], "2a"],
    ["gives memory in r1", LOAD_BYTE_7, [MEMORY], "88"],
    ["gives 0 and 0 without memory", RETURN_R1_R2, [], "0"],
    ["gives 0 and 0 with empty memory", RETURN_R1_R2, [""], "0"],
  ])("%s", (_name, stdin, args, r0) => {
    expect(run(stdin, ...args)).toEqual({ status: 0, stdout: `${r0}\n`, stderr: "" });
  });

  test.each<[name: string, stdin: string, args: string[], message: RegExp]>([
    ["a stray load", LOAD_BYTE_7, ["1122"], /insn 0/],
    ["an empty program", "", [], /empty/],
    ["half an instruction", "b700", [], /multiple of 8/],
    ["an unknown opcode", "ff00000000000000", [], /unknown opcode ff/],
    ["a digit that is none", "b7zz", [], /'z' is not/],
    ["an odd number of digits", "b70", [], /whole bytes/],
    ["bad memory", RETURN_42, ["1"], /MEMORY/],
    ["a jump to nowhere", "05000500000000009500000000000000", [], /jump out of range/],
    ["an unknown helper", "850000000f270000 9500000000000000", [], /unknown#9999/],
  ])("fails cleanly on %s", (_name, stdin, args, message) => {
    const { status, stdout, stderr } = run(stdin, ...args);
    expect(status).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});

it("bmc exec refuses an engine it does not have", () => {
  expect(exec(RETURN_42, "--engine", "gpu")).toMatchObject({ status: 2, stdout: "" });
});
