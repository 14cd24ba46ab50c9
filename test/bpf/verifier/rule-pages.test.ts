import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { explain } from "../../../src/bpf/verifier/explain.ts";
import { RULES } from "../../../src/bpf/verifier/rules.ts";
import { type VerifyOptions, verify } from "../../../src/bpf/verifier/verify.ts";
import { program } from "./program-text.ts";

const FOLDER = new URL("../../../docs/verifier/", import.meta.url).pathname;
const pages = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".md") && name !== "README.md")
  .map((name) => name.slice(0, -".md".length));

function read(id: string) {
  const text = readFileSync(`${FOLDER}${id}.md`, "utf8");
  const blocks = [...text.matchAll(/```bpf\n(.*?)```/gs)].map((match) =>
    (match[1] ?? "").replaceAll(/^\.repeat (\d+) (.*)$/gm, (_all, count, line) =>
      `${line}\n`.repeat(Number(count)),
    ),
  );
  const options: VerifyOptions = {
    ...(text.includes("`--unprivileged`") && { unprivileged: true }),
    ...(text.includes("`--target nic`") && { target: "nic" as const }),
  };
  return { text, blocks, options };
}

describe("docs/verifier", () => {
  test("has a page for each rule and no other", () => {
    expect(pages.toSorted()).toEqual(Object.keys(RULES).toSorted());
  });

  test("the overview lists each rule", () => {
    const overview = readFileSync(`${FOLDER}README.md`, "utf8");
    expect(Object.keys(RULES).filter((id) => !overview.includes(`[${id}](${id}.md)`))).toEqual([]);
  });

  test.each(pages)("%s: the first program breaks this rule, the second is its repair", (id) => {
    const { text, blocks, options } = read(id);
    expect(text).toContain(`# ${id}: ${RULES[id as keyof typeof RULES].title}`);
    const [refused, repaired, ...more] = blocks;
    expect(more).toEqual([]);
    const verdict = verify(program(refused ?? ""), options);
    expect(verdict).toMatchObject({ accepted: false, rule: id });
    expect(explain(verdict).length).toBeLessThanOrEqual(5);
    expect(verify(program(repaired ?? ""), options).message).toBe("");
  });
});
