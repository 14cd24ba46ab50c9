import { describe, expect, it } from "vitest";
import type { VerifyOptions } from "../../src/bpf/verifier/verify.ts";
import { answer } from "../../src/lab/verifier/answer.ts";
import { RULE_EXAMPLES } from "../../src/lab/verifier/rule-examples.ts";

function verdictOf(text: string, options: VerifyOptions) {
  const reply = answer({ kind: "verify", source: { kind: "text", text }, options });
  if (reply.kind !== "verified") throw new Error(JSON.stringify(reply));
  return reply.verdict;
}

describe("the gallery's programs", () => {
  it.each(Object.entries(RULE_EXAMPLES))("%s: broken by its rule, repaired in the twin", (rule, example) => {
    const broken = verdictOf(example.broken, example.options ?? {});
    expect([broken.accepted, broken.rule, broken.message]).toEqual([false, rule, broken.message]);
    const fixed = verdictOf(example.fixed, example.options ?? {});
    expect([fixed.accepted, fixed.message]).toEqual([true, ""]);
  });
});
