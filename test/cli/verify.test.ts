import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { assemble } from "../../src/bpf/assembler.ts";

const CLI = new URL("../../dist/cli.js", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "bmc-verify-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function bmc(...args: string[]) {
  return spawnSync(process.execPath, [CLI, "verify", ...args], { encoding: "utf8" });
}

const GOOD = file("good.s", ".type xdp\nr0 = 2\nexit\n");
const LOOKUP = `.type xdp
.map m hash key=4 value=8 entries=4
*(u64 *)(r10 - 8) = 0
r2 = r10
r2 += -8
r1 = m ll
call bpf_map_lookup_elem
`;
const BAD = file("bad.s", `${LOOKUP}r0 = *(u64 *)(r0 + 0)\nexit\n`);

describe("bmc verify", () => {
  test("accepts with 0 and the kernel's summary line", () => {
    const { status, stdout } = bmc(GOOD);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^main: accepted\nprocessed 2 insns \(limit 1000000\) max_states_per_insn 0 /);
  });

  test("refuses with 1, at most five lines for a person above the log", () => {
    const { status, stdout } = bmc(BAD);
    const [human = "", log = ""] = stdout.split("\n\n");
    expect(status).toBe(1);
    expect(human.split("\n").length).toBeLessThanOrEqual(5);
    expect(human).toContain("rule null-pointer");
    expect(log).toContain("R0 invalid mem access 'map_value_or_null'");
    expect(log.trimEnd().split("\n").at(-1)).toMatch(/^processed 6 insns \(limit 1000000\)/);
  });

  test("--json carries verdict, rule, instruction and counts", () => {
    const { status, stdout } = bmc(BAD, "--json");
    expect(status).toBe(1);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({
      verdict: "rejected",
      accepted: false,
      rule: "null-pointer",
      insn: 6,
      stats: { insns_processed: 6, insn_limit: 1_000_000 },
    });
    expect(report.states_per_insn).toHaveLength(report.visits_per_insn.length);
  });

  test("names what an object has beside programs of a known type", () => {
    const object = new URL("../fixtures/bpf/sections.bpf.o", import.meta.url).pathname;
    const reason = "its section 'my_section' names no program type known here; say it with --type";
    expect(bmc(object).stdout).toContain(`\ncustom: not judged: ${reason}\n`);
    expect(JSON.parse(bmc(object, "--json").stdout).skipped).toContainEqual({ program: "custom", reason });
  });

  test.each([
    ["0", 2],
    ["1", 8],
  ])("--log-level %s", (level, leastLines) => {
    const { stdout } = bmc(BAD, "--log-level", level);
    const log = stdout.split("\n\n")[1] ?? "";
    expect(log.trimEnd().split("\n").length).toBeGreaterThanOrEqual(leastLines);
  });

  test("--raw binds maps to the wide loads that insn_indexes name", () => {
    const result = assemble(`${LOOKUP}if r0 == 0 goto out\nr0 = *(u64 *)(r0 + 0)\nout: exit\n`);
    if (!result.ok) throw new Error("the fixture does not assemble");
    const raw = file("raw.bin", result.program.bytecode);
    const map = { type: "hash", key_size: 4, value_size: 8, max_entries: 4, insn_indexes: [3] };
    const maps = file("maps.json", JSON.stringify([map]));
    expect(bmc("--raw", raw, "--maps", maps, "--type", "xdp").status).toBe(0);
    const small = file("small.json", JSON.stringify([{ ...map, value_size: 4 }]));
    const refused = bmc("--raw", raw, "--maps", small, "--type", "xdp");
    expect(refused.status).toBe(1);
    expect(refused.stdout).toContain("invalid access to map value, value_size=4 off=0 size=8");
    const unbound = file("unbound.json", JSON.stringify([{ ...map, insn_indexes: [] }]));
    expect(bmc("--raw", raw, "--maps", unbound, "--type", "xdp").stdout).toContain("bad-map");
  });

  test("--raw says of a map of maps which map those inside are like", () => {
    const result = assemble(`.type xdp
.map in hash key=4 value=8 entries=4
.map m array_of_maps entries=4 inner=in
*(u64 *)(r10 - 8) = 0
r2 = r10
r2 += -8
r1 = m ll
call bpf_map_lookup_elem
if r0 == 0 goto out
r1 = r0
r2 = r10
r2 += -8
call bpf_map_lookup_elem
if r0 == 0 goto out
r0 = *(u64 *)(r0 + 0)
out: exit
`);
    if (!result.ok) throw new Error("the fixture does not assemble");
    const raw = file("outer.bin", result.program.bytecode);
    const pattern = { type: "hash", key_size: 4, value_size: 8, max_entries: 4 };
    const outer = { type: "array_of_maps", key_size: 4, value_size: 4, max_entries: 4, insn_indexes: [3] };
    const run = (...maps: object[]) =>
      bmc("--raw", raw, "--maps", file("outer.json", JSON.stringify(maps)), "--type", "xdp");
    expect(run(pattern, { ...outer, inner_map: 0 }).status).toBe(0);
    const refused = run({ ...pattern, value_size: 4 }, { ...outer, inner_map: 0 });
    expect(refused.status).toBe(1);
    expect(refused.stdout).toContain("invalid access to map value, value_size=4 off=0 size=8");
    const lone = run(pattern, outer);
    expect(lone.status).toBe(2);
    expect(lone.stderr).toContain("map 1: inner_map must be the place of a map before this one");
  });

  test("a map Linux would not create is no map to use", () => {
    const ring = file(
      "ring.s",
      ".type xdp\n.map m ringbuf key=0 value=0 entries=5000\nr1 = m ll\nr0 = 2\nexit\n",
    );
    const { status, stdout } = bmc(ring);
    expect(status).toBe(1);
    expect(stdout).toContain("max_entries is 5000; a ring has a power of two of bytes");
    expect(stdout).toContain("rule bad-map");
  });

  test("--target nic refuses what a NIC has not", () => {
    const tail = file(
      "lru.s",
      ".type xdp\n.map m lru_hash key=4 value=8 entries=4\nr1 = m ll\nr0 = 2\nexit\n",
    );
    expect(bmc(tail).status).toBe(0);
    const { status, stdout } = bmc(tail, "--target", "nic");
    expect(status).toBe(1);
    expect(stdout).toContain("nic-map");
  });

  test.each([
    ["no file", [join(folder, "none.o")], /cannot read/],
    ["an empty file", ["--raw", file("empty", ""), "--type", "xdp"], /is empty/],
    ["--raw without --type", ["--raw", GOOD], /needs --type/],
    ["maps that are no JSON", ["--raw", GOOD, "--type", "xdp", "--maps", GOOD], /not JSON/],
    ["an unknown flag", ["--nonsense", GOOD], /nonsense/],
  ])("unusable input ends with 2 and one line: %s", (_name, args, message) => {
    const { status, stdout, stderr } = bmc(...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});
