import { describe, expect, it, test } from "vitest";
import { buildCfg, type Cfg } from "../../../src/bpf/jit/cfg.ts";
import { planCounts } from "../../../src/bpf/jit/counting.ts";
import { structure } from "../../../src/bpf/jit/structure.ts";
import { inputOfSlots, inputOfText } from "./compile-input.ts";
import { FUZZ_MAPS, randomProgram } from "./random-program.ts";

function cfgOf(text: string): Cfg {
  const { slots } = inputOfText(text, { checked: false });
  return buildCfg(slots, 0, slots.length);
}

const DIAMOND = "if r1 == 0 goto a\nr0 = 1\ngoto end\na: r0 = 2\nend: exit";
const LOOP = "top: r1 -= 1\nif r1 != 0 goto top\nexit";
const TWO_ENTRIES = "if r1 == 0 goto b\na: r0 += 1\nb: r1 -= 1\nif r1 != 0 goto a\nexit";

describe("the control-flow graph", () => {
  test.each([
    { name: "a diamond", text: DIAMOND, blocks: 4, headers: 0, merges: 1, isReducible: true },
    { name: "a loop", text: LOOP, blocks: 2, headers: 1, merges: 0, isReducible: true },
    {
      name: "a loop with two entries",
      text: TWO_ENTRIES,
      blocks: 4,
      headers: 1,
      merges: 1,
      isReducible: false,
    },
    {
      name: "code nobody reaches",
      text: "exit\nr0 = 1\nexit",
      blocks: 1,
      headers: 0,
      merges: 0,
      isReducible: true,
    },
    {
      name: "a branch to the next",
      text: "if r1 == 0 goto +0\nexit",
      blocks: 2,
      headers: 0,
      merges: 0,
      isReducible: true,
    },
  ])("of $name", ({ text, blocks, headers, merges, isReducible }) => {
    const cfg = cfgOf(text);
    expect(cfg.blocks).toHaveLength(blocks);
    expect(cfg.isLoopHeader.filter(Boolean)).toHaveLength(headers);
    expect(cfg.isMerge.filter(Boolean)).toHaveLength(merges);
    expect(cfg.isReducible).toBe(isReducible);
  });
});

/** All graphs of a few hundred random functions. */
function* randomGraphs(): Generator<Cfg> {
  for (let seed = 1; seed <= 150; seed++) {
    const { slots, functions } = inputOfSlots(randomProgram(seed), FUZZ_MAPS, { checked: false });
    for (const [i, start] of functions.entries()) {
      yield buildCfg(slots, start, functions[i + 1] ?? slots.length);
    }
  }
}

describe("structured control flow", () => {
  it("has no dispatch loop unless a loop has two entries", () => {
    const kinds = (text: string) => structure(cfgOf(text)).map(({ kind }) => kind);
    for (const text of [DIAMOND, LOOP]) expect(kinds(text)).not.toContain("dispatch");
    expect(kinds(TWO_ENTRIES)).toContain("dispatch");
  });

  it("places every block once, and every branch at an open construct that leads to its target", () => {
    let branches = 0;
    for (const cfg of randomGraphs()) {
      if (!cfg.isReducible) continue;
      const placed: number[] = [];
      // What each open construct leads to: a loop to the next body, a block to the body behind its end.
      const open: { kind: string; target: number | null; awaiting: number[] }[] = [];
      const ended: number[][] = [];
      for (const step of structure(cfg)) {
        switch (step.kind) {
          case "block":
          case "loop":
          case "if":
            open.push({ kind: step.kind, target: null, awaiting: [] });
            break;
          case "end":
            ended.push(open.pop()!.awaiting);
            break;
          case "body":
            for (const construct of open) {
              if (construct.kind === "loop" && construct.target === null) construct.target = step.block;
            }
            // Branches to a block that has just ended land here.
            for (const awaiting of ended.splice(0)) for (const to of awaiting) expect(to).toBe(step.block);
            placed.push(step.block);
            break;
          case "br":
          case "br_if": {
            const construct = open.at(-1 - step.depth)!;
            if (construct.kind === "loop") expect(construct.target).toBe(step.to);
            else construct.awaiting.push(step.to);
            branches++;
            break;
          }
        }
      }
      expect(placed.toSorted((a, b) => a - b)).toEqual(cfg.blocks.map(({ id }) => id));
    }
    expect(branches).toBeGreaterThan(100);
  });
});

describe("counting", () => {
  it("sums up to the instructions executed on any way through a graph", () => {
    for (const cfg of randomGraphs()) {
      const plan = planCounts(cfg);
      let at = 0;
      let executed = 0;
      let counted = 0;
      for (let turn = 0; turn < 50; turn++) {
        executed += cfg.blocks[at]!.instructions;
        counted += plan.atEntry[at]!;
        expect(counted + plan.whenLeaving[at]!).toBe(executed);
        const { successors } = cfg.blocks[at]!;
        const next = successors[turn % Math.max(1, successors.length)];
        if (next === undefined) break;
        counted += plan.onEdge(at, next);
        at = next;
      }
    }
  });

  it("adds nothing on the way into a block that only one way leads to", () => {
    const cfg = cfgOf(DIAMOND);
    const plan = planCounts(cfg);
    for (const { id, successors } of cfg.blocks) {
      for (const to of successors) if (!cfg.isMerge[to]) expect(plan.onEdge(id, to)).toBe(0);
    }
  });
});
