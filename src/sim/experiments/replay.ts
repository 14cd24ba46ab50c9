/**
 * A trace replayed through hot tiers of several policies and sizes at once, in one pass: reads that the hot
 * tier may hold (key <= 250 B, value <= 1,000 B) look up and fill, writes invalidate.
 */
import type { Kind } from "../experiment.ts";
import { createHotTier, type HotTier, type Policy } from "../hot-tier.ts";
import { coldPath, waysOf } from "../server-model.ts";
import { SimError } from "../sim-error.ts";
import { admitsKey, admitsValue, TraceSummary } from "../trace-summary.ts";

const POLICIES: readonly Policy[] = ["direct", "set", "lru"];
const CHUNK = 50_000;

export const replay: Kind = {
  params: {
    profile: { about: "where the program is attached", options: "profile" },
    entries: { about: "hot tier entries", min: 1, max: 1 << 26, integer: true, list: true },
    ways: { about: "ways of the set-associative tier", min: 1, max: 64, integer: true },
    warmup: { about: "requests replayed before hits are counted", min: 0, integer: true },
  },
  *run(lab) {
    if (!lab.trace) throw new SimError("experiment 'replay' needs --trace FILE");
    const tiers = lab.numbers("entries").flatMap((entries) =>
      POLICIES.map((policy) => ({
        policy,
        entries,
        tier: createHotTier(policy, entries, lab.number("ways")) as HotTier,
        hits: 0,
      })),
    );
    const summary = new TraceSummary();
    const warmup = lab.number("warmup");
    let seen = 0;
    let reads = 0;
    let counted = 0;
    for (const request of lab.trace()) {
      summary.add(request);
      const { id, hash, operation } = request;
      const counts = seen >= warmup;
      if (counts) counted++;
      if (operation !== "get") for (const { tier } of tiers) tier.invalidate(id, hash);
      else {
        if (counts) reads++;
        if (admitsKey(request) && admitsValue(request)) {
          for (const row of tiers) {
            if (row.tier.lookup(id, hash)) {
              if (counts) row.hits++;
            } else row.tier.fill(id, hash);
          }
        }
      }
      if (++seen % CHUNK === 0) {
        yield { label: `replayed ${seen} requests`, done: 0, total: 1 };
        if (lab.stopped) break;
      }
    }
    if (counted === 0) {
      throw new SimError(
        `the trace has ${seen} requests, no more than the warm-up of ${warmup}; set warmup lower`,
      );
    }
    const s = summary.result();
    lab.table(
      "The trace",
      ["requests", "seconds", "requests/s", "reads %", "answerable %", "key B", "value B", "keys (about)"],
      [
        [
          s.requests,
          s.seconds,
          s.rate,
          s.readRatio * 100,
          s.answerable * 100,
          s.keyBytes,
          s.valueBytes,
          s.keys,
        ],
      ],
    );
    const shape = {
      keyBytes: Math.max(1, Math.round(s.keyBytes)),
      valueBytes: Math.round(s.answerableValueBytes),
    };
    const ways = waysOf(lab.profile(lab.text("profile")), lab.profile("userspace-only"), shape);
    const cold = coldPath(ways);
    const rows = tiers.map(({ policy, entries, hits }) => {
      const share = hits / counted;
      const ns = share * ways.hitNs + (1 - share) * (cold.softirqNs + cold.userNs);
      return [
        entries,
        policy,
        (100 * hits) / Math.max(1, reads),
        100 * share,
        Math.round(1e9 / ns),
        ways.plainNs / ns,
      ];
    });
    lab.table(
      `Hot tiers at ${lab.text("profile")}, one core`,
      ["entries", "policy", "hits of reads %", "answered at the hook %", "requests/s", "÷ off"],
      rows,
    );
    lab.plot({
      name: "replay",
      title: "Hit ratio of the trace's reads by hot-tier size",
      x: "entries",
      y: "hits of reads (%)",
      xLog: true,
      series: POLICIES.map((policy) => ({
        name: policy,
        style: "line",
        points: rows
          .filter((r) => r[1] === policy)
          .map((r): [number, number] => [Number(r[0]), Number(r[2])]),
      })),
    });
  },
};
