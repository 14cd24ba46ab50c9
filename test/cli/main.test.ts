import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

function bmc(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [at("dist/cli.js"), ...args], {
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

test("--version says the package's version", () => {
  const { version } = JSON.parse(readFileSync(at("package.json"), "utf8")) as { version: string };
  expect(bmc("--version")).toEqual({ status: 0, stdout: `${version}\n`, stderr: "" });
});

test("every command the usage names answers --help", () => {
  const { status, stdout } = bmc("--help");
  expect(status).toBe(0);
  const names = [...stdout.matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name ?? "");
  expect(names.length).toBeGreaterThan(8);
  for (const name of names) {
    const help = bmc(name, "--help");
    expect([help.status, help.stderr], name).toEqual([0, ""]);
    expect(help.stdout, name).toMatch(new RegExp(`^usage: bmc ${name}`));
  }
});

test("a reader that stops early ends the output, not in a stack trace", () => {
  const { stderr, status } = spawnSync(
    "sh",
    [
      "-c",
      `"$0" "$1" disasm "$2" | head -1`,
      process.execPath,
      at("dist/cli.js"),
      at("src/programs/http_kv.bpf.o"),
    ],
    { encoding: "utf8" },
  );
  expect([stderr, status]).toEqual(["", 0]);
});

test("an unknown command, and none, exit 2 and say what there is", () => {
  expect(bmc("frob").stderr).toMatch(/^bmc: unknown command 'frob'; known: serve, /);
  expect([bmc("frob").status, bmc().status]).toEqual([2, 2]);
});
