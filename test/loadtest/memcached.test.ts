import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { drive, fill } from "../../loadtest/memcached/generator.ts";
import { hasMemcslap, slap } from "../../loadtest/memcached/memcslap.ts";
import { ReplyScanner } from "../../loadtest/memcached/replies.ts";
import { requester, textOf, type Workload } from "../../loadtest/memcached/workload.ts";
import { ourPeer, type Peer } from "../memcached/peers.ts";

const WORKLOAD: Workload = {
  keys: 50,
  zipfSkew: 0.99,
  sizes: [
    [10, 1],
    [3_000, 1],
  ],
  setShare: 0.1,
  keysPerGet: 1,
  seed: 7,
};

describe("memcached load generator", () => {
  let peer: Peer;
  beforeAll(async () => {
    peer = await ourPeer();
    await fill(peer.port, WORKLOAD);
  });
  afterAll(() => peer.close());

  test.each(["udp", "tcp"] as const)("%s, closed loop: every get finds its value", async (transport) => {
    const load = { port: peer.port, transport, workload: WORKLOAD, connections: 2, depth: 4, rate: null };
    const outcome = await drive({ ...load, warmupSeconds: 0.1, seconds: 0.4 });
    expect(outcome).toMatchObject({ errors: 0, requestedRate: null });
    expect(outcome.answered).toBeGreaterThan(50);
    // A tenth are sets; a get has one value.
    expect(outcome.values / outcome.answered).toBeGreaterThan(0.8);
    expect(outcome.latencyUs.p99).toBeGreaterThanOrEqual(outcome.latencyUs.p50);
    // HdrHistogram's own format, as its plotter reads it: every answer is in it.
    expect(outcome.distribution).toMatch(/^ *Value +Percentile +TotalCount +1\/\(1-Percentile\)/);
    expect(outcome.distribution).toMatch(/#\[Buckets = +\d+, SubBuckets/);
  });

  test("open loop: the rate asked for is the rate achieved, and told beside it", async () => {
    const load = { port: peer.port, transport: "tcp" as const, workload: WORKLOAD, connections: 2, depth: 1 };
    const outcome = await drive({ ...load, rate: 400, warmupSeconds: 0.2, seconds: 1 });
    expect(outcome.requestedRate).toBe(400);
    expect(outcome.achievedRate).toBeGreaterThan(300);
    expect(outcome.achievedRate).toBeLessThan(500);
  });

  test("a server that is not there is drops, not silence", async () => {
    const load = { port: 9, transport: "udp" as const, workload: WORKLOAD, connections: 1, depth: 2 };
    const outcome = await drive({ ...load, rate: 100, warmupSeconds: 0.6, seconds: 0.5 });
    expect(outcome.answered).toBe(0);
    expect(outcome.drops).toBeGreaterThan(10);
  });

  test.skipIf(!hasMemcslap())(
    `Debian's memcslap finishes its gets${hasMemcslap() ? "" : " (skipped: no memcslap, see libmemcached-tools)"}`,
    async () => {
      const { gets, seconds } = await slap(peer.port, 50);
      expect(gets).toBe(8 * 50);
      expect(seconds).toBeGreaterThan(0);
    },
  );

  test("one seed draws one sequence", () => {
    const draw = () => {
      const next = requester(WORKLOAD, 3);
      return Array.from({ length: 100 }, () => next().bytes.toString("latin1"));
    };
    expect(draw()).toEqual(draw());
    expect(textOf(WORKLOAD, 4)).toBe(textOf(WORKLOAD, 4));
  });

  test("answers are counted at any split, and a value that looks like lines is skipped", () => {
    const stream = Buffer.from("VALUE a 0 10\r\nEND\r\nERROR\r\nEND\r\nSTORED\r\nSERVER_ERROR x\r\nEND\r\n");
    for (let cut = 0; cut <= stream.length; cut++) {
      const counts = { answers: 0, values: 0, errors: 0 };
      const scanner = new ReplyScanner();
      scanner.scan(stream.subarray(0, cut), counts);
      scanner.scan(stream.subarray(cut), counts);
      expect(counts, `cut at ${cut}`).toEqual({ answers: 4, values: 1, errors: 1 });
    }
  });
});
