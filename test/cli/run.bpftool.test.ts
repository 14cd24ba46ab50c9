import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parseObject } from "../../src/bpf/elf/object.ts";

/** `bmc run` and `bpftool prog run`, side by side: the same object, the same packet, fresh maps for each. */
const CLI = new URL("../../dist/cli.js", import.meta.url).pathname;
const FIXTURES = new URL("../fixtures/bpf/", import.meta.url).pathname;
const PROGRAMS = new URL("../../src/programs/", import.meta.url).pathname;
/** What libbpf 1.x loads; the others test our loader's errors or older conventions. */
const OBJECTS = [
  ...["calls", "data", "isa", "maps"].map((name) => join(FIXTURES, `${name}.bpf.o`)),
  join(PROGRAMS, "http_kv_twin.bpf.o"),
];
/** Programs whose result rightly differs, and why. */
const INCOMPARABLE: Readonly<Record<string, string>> = {
  "isa.bpf.o entry": "returns the address of its packet",
  "maps.bpf.o first": "tail-calls through an array that Linux empties when bpftool's loader exits",
};
const PACKETS: Readonly<Record<string, Uint8Array>> = {
  "14 bytes": ramp(14),
  "64 bytes": ramp(64),
  "1500 bytes": ramp(1500),
  "a request": new TextEncoder().encode(
    "GET /kv/some-key HTTP/1.1\r\nHost: localhost:8080\r\nAccept: */*\r\n\r\n",
  ),
};
const PINS = `/sys/fs/bpf/bmc-test-${process.pid}`;

const folder = mkdtempSync(join(tmpdir(), "bmc-bpftool-"));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  if (existsSync(PINS)) rmSync(PINS, { recursive: true, force: true });
});

function bpftool(...args: string[]) {
  return spawnSync("bpftool", args, { encoding: "utf8" });
}

function whyNot(): string | null {
  if (bpftool("version").status !== 0) return "no bpftool";
  const { status, stderr } = bpftool("prog", "loadall", OBJECTS[0]!, PINS);
  if (existsSync(PINS)) rmSync(PINS, { recursive: true, force: true });
  return status === 0 ? null : `bpftool cannot load: ${stderr.trim().split("\n").at(-1)}`;
}

const reason = whyNot();

function ramp(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (i * 37 + bytes) & 0xff);
}

type Outcome = { retval: number; data: string };

function linux(object: string, program: string, packet: string): Outcome {
  const load = bpftool("prog", "loadall", object, PINS);
  if (load.status !== 0) throw new Error(load.stderr);
  try {
    const out = join(folder, "linux.out");
    const args = ["prog", "run", "pinned", join(PINS, program), "data_in", packet, "data_out", out];
    const { stdout, stderr } = bpftool(...args);
    const retval = /Return value: (\d+)/.exec(stdout)?.[1];
    if (retval === undefined) throw new Error(stderr || stdout);
    return { retval: Number(retval), data: readFileSync(out).toString("hex") };
  } finally {
    rmSync(PINS, { recursive: true, force: true });
  }
}

function ours(object: string, program: string, packet: string, engine: string): Outcome {
  const args = ["run", object, "--program", program, "--data-in", packet, "--engine", engine, "--json"];
  const { stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], { encoding: "utf8" });
  if (stderr !== "") throw new Error(stderr);
  const { retval, data_out } = JSON.parse(stdout);
  return { retval, data: data_out };
}

const cases = OBJECTS.flatMap((object) => {
  const parsed = parseObject(new Uint8Array(readFileSync(object)));
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.object.programs
    .filter(({ name, type }) => type !== "sk_skb" && !INCOMPARABLE[`${basename(object)} ${name}`])
    .flatMap(({ name }) =>
      Object.keys(PACKETS).map((packet) => ({ object, file: basename(object), name, packet })),
    );
});

describe.skipIf(reason !== null)(
  `bmc run beside bpftool prog run${reason ? ` [skipped: ${reason}]` : ""}`,
  () => {
    test.each(cases)("$file $name, $packet", ({ object, name, packet }) => {
      const path = join(folder, "packet");
      writeFileSync(path, PACKETS[packet]!);
      const expected = linux(object, name, path);
      expect(ours(object, name, path, "jit")).toEqual(expected);
      // The engines are held to each other elsewhere; here one packet each is enough for the slower.
      if (packet === "64 bytes") expect(ours(object, name, path, "interpreter")).toEqual(expected);
    });
  },
);
