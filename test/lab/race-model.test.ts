import { describe, expect, it } from "vitest";
import { ACTIONS, enabled, initialRace, type Race, step } from "../../src/lab/lessons/race-model.ts";

/** Every way the reader's and the writer's three steps can interleave. */
function endings(race: Race): Race[] {
  const open = ACTIONS.filter((action) => enabled(race, action));
  return open.length === 0 ? [race] : open.flatMap((action) => endings(step(race, action)));
}

describe("the race of the coherence lesson", () => {
  it("has 20 schedules", () => {
    expect(endings(initialRace(true))).toHaveLength(20);
  });

  it("never ends stale with the generation check", () => {
    for (const race of endings(initialRace(true))) expect(race.verdict).toBe("safe");
  });

  it("ends stale on some schedules without it, and safe on others", () => {
    const verdicts = endings(initialRace(false)).map((race) => race.verdict);
    expect(verdicts).toContain("stale");
    expect(verdicts).toContain("safe");
  });
});
