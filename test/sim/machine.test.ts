import { describe, expect, test } from "vitest";
import type { ArrivalSpec } from "../../src/sim/arrivals.ts";
import { type FlowSpec, Machine, type MachineSpec } from "../../src/sim/machine.ts";
import { Prng } from "../../src/sim/prng.ts";

const oneCore: MachineSpec = {
  cores: 1,
  queues: [{ core: 0, ring: 100_000, socket: 0 }],
  sockets: [{ capacity: 100_000 }],
  threads: [{ core: 0, socket: 0 }],
  contextSwitchNs: 0,
};
const hotFlow = (arrival: ArrivalSpec, serviceNs: number, jitterNs: number): FlowSpec => ({
  name: "f",
  arrival,
  queue: 0,
  paths: [{ name: "hot", hot: true, softirqNs: serviceNs, userNs: 0, softirqJitterNs: jitterNs }],
});
const first = { decide: () => 0 };

describe("queueing theory as oracle", () => {
  test.each([0.3, 0.7, 0.9])("M/M/1 at load %d: mean time in system is S / (1 - load)", (load) => {
    const machine = new Machine(
      oneCore,
      [hotFlow({ kind: "poisson", rate: load * 1e6 }, 1000, 1000)],
      first,
      7,
    );
    machine.run(100_000);
    machine.resetStats();
    machine.run(1_500_000);
    const hot = machine.stats[0]!.byPath[0]!;
    expect(hot.mean / 1e6 / (1 / (1 - load))).toBeCloseTo(1, load > 0.8 ? 0 : 1);
    // The sojourn time is exponential: its median is ln 2 of the mean.
    expect(hot.quantile(0.5) / hot.mean).toBeCloseTo(Math.LN2, 1);
  });

  test.each([0.3, 0.7, 0.9])("M/D/1 at load %d: Pollaczek-Khinchine", (load) => {
    const machine = new Machine(oneCore, [hotFlow({ kind: "poisson", rate: load * 1e6 }, 1000, 0)], first, 7);
    machine.run(100_000);
    machine.resetStats();
    machine.run(1_500_000);
    const expected = 1 + load / (2 * (1 - load));
    expect(machine.stats[0]!.byPath[0]!.mean / 1e6 / expected).toBeCloseTo(1, 1);
    expect(machine.softirqBusy[0]! / 1e12 / machine.elapsedSeconds).toBeCloseTo(load, 2);
  });

  test("D/D/1 under load 1 never waits", () => {
    const machine = new Machine(oneCore, [hotFlow({ kind: "fixed", rate: 900_000 }, 1000, 0)], first, 7);
    machine.run(10_000);
    expect(machine.stats[0]!.byPath[0]!.max).toBe(1_000_000);
  });

  test("a preempted cold request waits for all hot work: preemptive-resume priority, two classes", () => {
    // Cold: M/D/1 lower class with softirq class above: T2 = S2/(1-r1) + R/((1-r1)(1-r1-r2)).
    const hot = hotFlow({ kind: "poisson", rate: 400_000 }, 1000, 0);
    const cold: FlowSpec = {
      name: "cold",
      arrival: { kind: "poisson", rate: 50_000 },
      queue: 0,
      paths: [{ name: "cold", hot: false, softirqNs: 0, userNs: 5000 }],
    };
    const machine = new Machine(oneCore, [hot, cold], first, 11);
    machine.run(100_000);
    machine.resetStats();
    machine.run(2_000_000);
    const [r1, r2] = [0.4, 0.25];
    const residual = (400_000 * 1e-12 + 50_000 * 25e-12) / 2; // seconds
    const expected = 5e-6 / (1 - r1) + residual / ((1 - r1) * (1 - r1 - r2));
    expect(machine.stats[1]!.byPath[0]!.mean / 1e12 / expected).toBeCloseTo(1, 1);
    expect(machine.preemptions).toBeGreaterThan(10_000);
  });

  test("a closed loop obeys Little: clients = rate * (latency + think)", () => {
    const flow = { ...hotFlow({ kind: "closed", clients: 20, thinkUs: 50 }, 1000, 1000), baseNs: 10_000 };
    const machine = new Machine(oneCore, [flow], first, 3);
    machine.run(10_000);
    machine.resetStats();
    machine.run(400_000);
    const hot = machine.stats[0]!.byPath[0]!;
    const rate = hot.count / machine.elapsedSeconds;
    expect(rate * (hot.mean / 1e12 + 50e-6)).toBeCloseTo(20, 0);
  });
});

describe("bounded queues, budgets and order", () => {
  const coldFlow = (rate: number, extra: Partial<FlowSpec["paths"][0]> = {}): FlowSpec => ({
    name: "cold",
    arrival: { kind: "poisson", rate },
    queue: 0,
    paths: [{ name: "cold", hot: false, softirqNs: 1000, userNs: 1000, ...extra }],
  });

  test("offered = answered + dropped + what is still inside", () => {
    const spec = { ...oneCore, queues: [{ core: 0, ring: 64, socket: 0 }], sockets: [{ capacity: 32 }] };
    const machine = new Machine(spec, [coldFlow(2_000_000)], first, 5);
    machine.run(200_000);
    const s = machine.stats[0]!;
    const inside = s.offered - s.byPath[0]!.count - s.nicDrops - s.socketDrops;
    expect(s.nicDrops).toBeGreaterThan(0);
    expect(inside).toBeGreaterThanOrEqual(0);
    expect(inside).toBeLessThanOrEqual(machine.requestSlots);
  });

  test("without a softirq budget overload starves userspace; with one it gets its fair share", () => {
    const spec = { ...oneCore, queues: [{ core: 0, ring: 1024, socket: 0 }], sockets: [{ capacity: 1000 }] };
    const served = (budget: Partial<MachineSpec>) => {
      const machine = new Machine({ ...spec, ...budget }, [coldFlow(3_000_000)], first, 5);
      machine.run(300_000);
      return machine.userBusy[0]! / machine.now;
    };
    expect(served({})).toBe(0);
    expect(served({ softirqBudgetNs: 500_000, userSliceNs: 500_000 })).toBeCloseTo(0.5, 1);
  });

  test("priority: short requests overtake long ones at the socket", () => {
    const spec = (discipline: "fifo" | "priority") => ({
      ...oneCore,
      sockets: [{ capacity: 10_000, discipline }],
    });
    const flow: FlowSpec = {
      name: "mix",
      arrival: { kind: "poisson", rate: 60_000 },
      queue: 0,
      paths: [
        { name: "short", hot: false, softirqNs: 100, userNs: 1000, priority: 0 },
        { name: "long", hot: false, softirqNs: 100, userNs: 100_000, priority: 1 },
      ],
    };
    const meanWait = (discipline: "fifo" | "priority") => {
      const rng = new Prng(2);
      const waits: number[] = [];
      const started = new Float64Array(200_000);
      const machine: Machine = new Machine(
        spec(discipline),
        [flow],
        {
          decide: (slot) => {
            started[slot] = machine.now;
            return rng.below(12) === 0 ? 1 : 0;
          },
          answered: (slot, _flow, path) => {
            if (path === 0) waits.push(machine.now - started[slot]!);
          },
        },
        5,
      );
      machine.run(50_000);
      return waits.reduce((a, b) => a + b, 0) / waits.length;
    };
    // Head-of-line blocking: FIFO waits R / (1 - load), priority R / (1 - load of the short ones).
    expect(meanWait("fifo") / meanWait("priority")).toBeGreaterThan(1.5);
  });

  test("a contended socket lock costs more with each core that spins", () => {
    const cores = (n: number) => {
      const spec: MachineSpec = {
        cores: n,
        queues: Array.from({ length: n }, (_, core) => ({ core, ring: 256, socket: 0 })),
        sockets: [{ capacity: 256, lock: { holdNs: 300, perWaiterNs: 200 } }],
        threads: Array.from({ length: n }, (_, core) => ({ core, socket: 0 })),
        contextSwitchNs: 0,
        softirqBudgetNs: 100_000,
        userSliceNs: 100_000,
      };
      const machine = new Machine(spec, [{ ...coldFlow(8_000_000), queue: "rss" }], first, 5);
      machine.run(200_000);
      return machine.stats[0]!.byPath[0]!.count / machine.elapsedSeconds;
    };
    expect(cores(2) / cores(1)).toBeLessThan(2);
    expect(cores(8)).toBeLessThan(cores(4) * 1.5);
  });

  test("the same seed gives the same run, another seed another", () => {
    const run = (seed: number) => {
      const machine = new Machine(oneCore, [coldFlow(300_000, { userJitterNs: 500 })], first, seed);
      machine.run(50_000);
      const cold = machine.stats[0]!.byPath[0]!;
      return [machine.now, cold.mean, cold.quantile(0.99), machine.contextSwitches];
    };
    expect(run(1)).toEqual(run(1));
    expect(run(1)).not.toEqual(run(2));
  });

  test("mmpp and batch keep their mean rate and are burstier than poisson", () => {
    const p99 = (arrival: ArrivalSpec) => {
      const machine = new Machine(oneCore, [hotFlow(arrival, 1000, 0)], first, 9);
      machine.run(600_000);
      expect(machine.arrivals / machine.elapsedSeconds / 300_000).toBeCloseTo(1, 1);
      return machine.stats[0]!.byPath[0]!.quantile(0.99);
    };
    const calm = p99({ kind: "poisson", rate: 300_000 });
    expect(
      p99({ kind: "mmpp", rate: 300_000, burstFactor: 4, burstShare: 0.1, burstUs: 100 }),
    ).toBeGreaterThan(calm * 3);
    expect(p99({ kind: "batch", rate: 300_000, meanSize: 10, gapNs: 50 })).toBeGreaterThan(calm * 3);
  });
});
