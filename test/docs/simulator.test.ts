/** The commands of docs/simulator.md do what the page says: run without complaint. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { run as advise } from "../../src/cli/advise.ts";
import { run as audit } from "../../src/cli/audit.ts";
import { run as simulate } from "../../src/cli/simulate.ts";

const COMMANDS: Readonly<Record<string, (argv: string[]) => number | Promise<number>>> = {
  advise,
  audit,
  simulate,
};
const page = readFileSync("docs/simulator.md", "utf8");
const lines = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap((m) => m[1]!.trim().split("\n"));

test("the page has commands", () => {
  expect(lines.length).toBeGreaterThan(8);
});

test.each(lines)("%s", async (line) => {
  const [bmc, command = "", ...argv] = line.split(" ");
  expect(bmc).toBe("bmc");
  const write = process.stdout.write;
  let out = "";
  process.stdout.write = ((text: string) => {
    out += text;
    return true;
  }) as typeof write;
  try {
    expect(await COMMANDS[command]!(argv)).toBe(0);
  } finally {
    process.stdout.write = write;
  }
  expect(out.length).toBeGreaterThan(100);
});

test("docs/costs.md names every source tag and every profile", async () => {
  const { SOURCES } = await import("../../src/costs/profile.ts");
  const { configNames } = await import("../../src/cli/config-files.ts");
  const costs = readFileSync("docs/costs.md", "utf8");
  for (const tag of Object.keys(SOURCES)) expect(costs).toContain(`| ${tag} |`);
  for (const name of configNames("profiles")) expect(costs).toContain(`\`${name}\``);
});
