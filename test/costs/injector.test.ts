import { describe, expect, test } from "vitest";
import { Injector } from "../../src/costs/injector.ts";

/** A clock that moves by `stepNs` at each look. */
function fakeClock(stepNs: number) {
  let now = 1_000_000;
  let looks = 0;
  return {
    nowNs: () => {
      looks++;
      now += stepNs;
      return now;
    },
    looks: () => looks,
    skip: (ns: number) => {
      now += ns;
    },
  };
}

describe("Injector", () => {
  test("scale 0 never looks at the clock and owes nothing", () => {
    const clock = fakeClock(20);
    const injector = new Injector({ scale: 0, nowNs: clock.nowNs });
    for (let i = 0; i < 1000; i++) {
      injector.charge("hot", 38);
      injector.pay();
    }
    expect(clock.looks()).toBe(0);
    expect(injector.report().hot).toEqual({ askedNs: 0, achievedNs: 0, owedNs: 0, ratio: 1 });
  });

  test("a debt under the quantum waits; `everything` pays it", () => {
    const injector = new Injector({ scale: 1, nowNs: fakeClock(10).nowNs, quantumNs: 1000 });
    injector.charge("hot", 999);
    expect(injector.pay()).toBe(0);
    expect(injector.pay(true)).toBeGreaterThanOrEqual(999);
  });

  test("38 ns on average is 38 ns though one clock look takes 70", () => {
    const injector = new Injector({ scale: 1, nowNs: fakeClock(70).nowNs, quantumNs: 500 });
    injector.calibrate();
    let spun = 0;
    const requests = 100_000;
    for (let i = 0; i < requests; i++) {
      injector.charge("hot", 38);
      spun += injector.pay();
    }
    expect(spun / requests).toBeCloseTo(38, 1);
    expect(injector.report().hot.ratio).toBeCloseTo(1, 3);
  });

  test("scale multiplies, and each tier's share is accounted apart", () => {
    const injector = new Injector({ scale: 100, nowNs: fakeClock(33).nowNs });
    for (let i = 0; i < 10_000; i++) {
      injector.charge("hot", 38);
      if (i % 10 === 0) injector.charge("cold", 5738);
      injector.pay();
    }
    const { hot, cold } = injector.report();
    expect(hot.askedNs).toBeCloseTo(100 * 38 * 10_000, -1);
    expect(cold.askedNs).toBeCloseTo(100 * 5738 * 1_000, -1);
    expect(hot.ratio).toBeCloseTo(1, 2);
    expect(cold.ratio).toBeCloseTo(1, 2);
    expect(hot.achievedNs + hot.owedNs).toBeCloseTo(hot.askedNs, 3);
  });

  test("time stolen in a spin is neither achieved nor credited beyond the cap", () => {
    let now = 0;
    let looks = 0;
    const nowNs = () => {
      // The third look comes back 10 ms late, as after a preemption.
      looks++;
      now += looks === 3 ? 10_000_000 : 50;
      return now;
    };
    const injector = new Injector({ scale: 1, nowNs, quantumNs: 1000, maxCreditNs: 100_000 });
    injector.charge("cold", 6000);
    injector.pay();
    const { cold, stolenNs } = injector.report();
    expect(stolenNs).toBeCloseTo(10_000_050 - 106_000, -2);
    expect(cold.achievedNs).toBe(106_000);
    expect(cold.owedNs).toBe(-100_000);
  });

  test("a real clock: the mean stays within 5 % of what was asked", () => {
    const injector = new Injector({ scale: 1, nowNs: () => performance.now() * 1e6 });
    injector.calibrate();
    for (let i = 0; i < 200_000; i++) {
      injector.charge("hot", 38);
      injector.pay();
    }
    const { hot, stolenNs } = injector.report();
    // The report's own arithmetic: what was paid and what is owed make up what was asked.
    expect(hot.achievedNs + hot.owedNs).toBeCloseTo(hot.askedNs, 0);
    expect(stolenNs).toBeGreaterThanOrEqual(0);
    expect(hot.ratio).toBeGreaterThan(0.95);
  });

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY])("scale %d is refused", (scale) => {
    expect(() => new Injector({ scale, nowNs: () => 0 })).toThrow("allowed: a finite number >= 0");
  });
});
