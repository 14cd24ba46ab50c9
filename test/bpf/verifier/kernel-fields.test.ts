/** Timers, kptrs and such in a map's value: what BTF gives to the kernel, no program reads or writes. */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { afterAll, describe, expect, it, test } from "vitest";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { linuxOracle } from "../../oracle/linux-oracle.ts";
import { fixtureObject, fixturePath } from "../../support/fixtures.ts";

describe("parts of a value that the kernel keeps", () => {
  test("are found in the BTF", () => {
    const fields = fixtureObject("kept").maps.map((map) => [map.name, map.kernelFields]);
    expect(fields).toEqual([
      ["deadlines", [{ name: "bpf_timer", offset: 8, bytes: 16 }]],
      ["owners", [{ name: "kptr", offset: 8, bytes: 8 }]],
    ]);
  });

  test.each(fixtureObject("kept").programs.map((program) => ({ name: program.name, program })))(
    "$name is accepted",
    ({ program }) => {
      expect(verify(program).message).toBe("");
    },
  );

  test.each([
    ["into_a_timer", "bpf_timer cannot be accessed directly by load/store"],
    ["into_a_pointer", "kptr access is not known to this verifier, which has no kernel objects"],
  ])("%s is refused", (name, says) => {
    const program = fixtureObject("kept-refused").programs.find((each) => each.name === name);
    expect(program && verify(program)).toMatchObject({ accepted: false, rule: "map-access", message: says });
  });
});

const canLoad = typeof linuxOracle() !== "string" && spawnSync("bpftool", ["version"]).status === 0;
const PINS = `/sys/fs/bpf/bmc-kept-${process.pid}`;

describe.skipIf(!canLoad)("the running kernel (skipped: no bpftool, or bpf() is not permitted)", () => {
  afterAll(() => rmSync(PINS, { recursive: true, force: true }));
  const load = (name: string) =>
    spawnSync("bpftool", ["prog", "loadall", fixturePath(name), PINS], { encoding: "utf8" });

  it("accepts what goes beside them", () => {
    const { status, stderr } = load("kept");
    expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
  });

  it("refuses what goes into them", () => {
    const { status, stderr } = load("kept-refused");
    expect(status).not.toBe(0);
    expect(stderr).toContain("bpf_timer cannot be accessed directly by load/store");
  });
});
