import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { afterAll, describe, expect, it, test } from "vitest";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { linuxOracle } from "../../oracle/linux-oracle.ts";
import { fixtureObject, fixturePath } from "../../support/fixtures.ts";

const REFUSED: Readonly<Record<string, string>> = {
  or_null: "arg#0 is expected to be non-NULL\nCaller passes invalid args into func#1 ('not_null')",
  unchecked: "R1 invalid mem access 'mem_or_null'",
  to_void: "arg#0 reference type('UNKNOWN ') size cannot be determined: -22\nCaller passes invalid args",
  to_unknown: "arg#0 reference type('FWD unknown') size cannot be determined: -22\nCaller passes invalid",
  with_odd_tag: "arg#0 has unsupported set of tags\nCaller passes invalid args",
  with_kernel_tag: "arg#0 reference type('STRUCT pair') has no matches\nCaller passes invalid args",
  of_nothing: "Global function returns_nothing() doesn't return scalar. Only those are supported.",
  // A tail call in a subprogram: the caller gets what any program may return.
  tail_unchecked: "unbounded memory access",
  null_itself: "arg#0 is expected to be non-NULL",
};

describe("global functions, by their prototype", () => {
  test.each(fixtureObject("globals").programs.map((program) => ({ name: program.name, program })))(
    "$name is accepted",
    ({ program }) => {
      expect(verify(program)).toMatchObject({ accepted: true, message: "" });
    },
  );

  test.each(fixtureObject("globals-refused").programs.map((program) => ({ name: program.name, program })))(
    "$name is refused in the kernel's words",
    ({ name, program }) => {
      expect(verify(program).message).toContain(REFUSED[name]);
    },
  );
});

const canLoad = typeof linuxOracle() !== "string" && spawnSync("bpftool", ["version"]).status === 0;
const PINS = `/sys/fs/bpf/bmc-globals-${process.pid}`;

describe.skipIf(!canLoad)("the running kernel (skipped: no bpftool, or bpf() is not permitted)", () => {
  afterAll(() => rmSync(PINS, { recursive: true, force: true }));

  it("accepts the same", () => {
    const { status, stderr } = spawnSync("bpftool", ["prog", "loadall", fixturePath("globals"), PINS], {
      encoding: "utf8",
    });
    expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
  });
});
