import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { LOAD_ERROR_CODES } from "../../src/bpf/load-error.ts";

const page = readFileSync(new URL("../../docs/machine.md", import.meta.url), "utf8");

it("docs/machine.md lists exactly the codes a load can be refused with", () => {
  const listed = [...page.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code);
  expect(listed).toEqual([...LOAD_ERROR_CODES]);
});
