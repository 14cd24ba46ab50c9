/**
 * One set of families from several workers'. Each worker counts for itself, so samples are added up; what all
 * workers see in the same shared memory, or were given at the start, is taken once; ratios are computed anew
 * from the sums. Nothing is averaged.
 */
import type { Across, Family, Sample } from "./family.ts";

/** What one worker posts: its samples by family. */
export type WorkerSamples = Readonly<Record<string, readonly Sample[]>>;

export function samplesOf(families: readonly Family[]): WorkerSamples {
  return Object.fromEntries(families.map(({ name, read }) => [name, read()]));
}

/** A family as it can be posted: what it is, without how it is read. */
export type FamilyFacts = Pick<Family, "name" | "help" | "type" | "across">;

export function factsOf(families: readonly Family[]): FamilyFacts[] {
  return families.map(({ name, help, type, across }) => ({ name, help, type, ...(across && { across }) }));
}

const JOIN: Readonly<Record<Across, (a: number, b: number) => number>> = {
  sum: (a, b) => a + b,
  once: (a) => a,
  max: Math.max,
  min: Math.min,
};

/** @param families the description of what the parts hold: the same program's, so the same names */
export function mergeSamples(families: readonly Family[], parts: readonly WorkerSamples[]): WorkerSamples {
  const merged: Record<string, readonly Sample[]> = {};
  for (const { name, across = "sum" } of families) {
    const byKey = new Map<string, Sample>();
    for (const part of parts) {
      for (const sample of part[name] ?? []) {
        const key = keyOf(sample);
        const known = byKey.get(key);
        const join = JOIN[sample.across ?? across];
        byKey.set(key, known ? { ...known, value: join(known.value, sample.value) } : sample);
      }
    }
    merged[name] = [...byKey.values()];
  }
  for (const { name, derive } of families) {
    if (derive) merged[name] = derive((family) => merged[family] ?? []);
  }
  return merged;
}

/** Of a worker that has gone, what must stay in the sums: its counts, not its gauges. */
export function countsOf(families: readonly Family[], part: WorkerSamples): WorkerSamples {
  return Object.fromEntries(
    families
      .filter(({ type, derive }) => type !== "gauge" && !derive)
      .map(({ name, across = "sum" }) => [
        name,
        (part[name] ?? []).filter((sample) => (sample.across ?? across) === "sum"),
      ]),
  );
}

function keyOf({ metricName = "", labels }: Sample): string {
  const pairs = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([metricName, pairs]);
}
