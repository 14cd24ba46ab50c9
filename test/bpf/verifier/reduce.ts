/**
 * Makes a generated program small while something stays true of it: takes instructions away, in halves first,
 * then one by one. For whoever looks at a disagreement; asks `holds` about many candidates at a time.
 */
import type { Program } from "../../../src/bpf/program.ts";
import { assembleItems, type Item } from "./generate/builder.ts";

type Facts = Pick<Program, "name" | "type" | "maps">;

export function reduce(
  items: readonly Item[],
  facts: Facts,
  holds: (candidates: readonly Program[]) => readonly boolean[],
): Program {
  let kept = items;
  for (let chunk = Math.ceil(items.length / 4); chunk >= 1; ) {
    const candidates = without(kept, chunk).flatMap((rest) => {
      const program = build(rest, facts);
      return program ? [{ rest, program }] : [];
    });
    const still = holds(candidates.map(({ program }) => program));
    const shorter = candidates.find((_, i) => still[i]);
    if (shorter) kept = shorter.rest;
    else chunk = chunk === 1 ? 0 : Math.ceil(chunk / 2);
  }
  return assembleItems(kept, facts);
}

function without(items: readonly Item[], count: number): Item[][] {
  const candidates: Item[][] = [];
  for (let at = 0; at < items.length; at += count) {
    candidates.push(items.filter((item, i) => i < at || i >= at + count || !("insn" in item)));
  }
  return candidates.filter((rest) => rest.length < items.length);
}

/** Functions nobody calls any more go too: the kernel would call them unreachable. */
function build(items: readonly Item[], facts: Facts): Program | null {
  try {
    return assembleItems(items, facts);
  } catch {
    return null;
  }
}
