/**
 * Counting in the kernel against exporting each event. Per-event: a record through the BPF ring buffer to
 * userspace for every event. Aggregated: one map update an event, and a reader that fetches each live
 * counter by system call once an interval. What decides is how many events share a counter in an interval.
 */
import type { Kind } from "../experiment.ts";
import { Prng } from "../prng.ts";
import { Zipf } from "../zipf.ts";

export const telemetry: Kind = {
  params: {
    flows: { about: "distinct things counted", min: 1, max: 1e8, integer: true },
    skew: { about: "Zipf exponent of events over flows", min: 0.01, max: 5 },
    eventRate: { about: "events/s", min: 1 },
    recordBytes: { about: "bytes of an exported event", min: 1, integer: true },
    counterBytes: { about: "bytes of a counter with its key", min: 1, integer: true },
    intervalsMs: { about: "reading intervals, ms", min: 0.001, list: true },
    textIntervalMs: { about: "the interval whose figure stands beside the source text's", min: 0.001 },
    ringNs: { about: "ns to pass one event through the ring and consume it", min: 0 },
    readNs: { about: "ns of a map read by system call", min: 0 },
  },
  *run(lab) {
    const rate = lab.number("eventRate");
    const zipf = new Zipf(lab.number("flows"), lab.number("skew"));
    const updateNs = lab.profile("xdp-native").ns.hashLookup;
    const record = lab.number("recordBytes");
    const counter = lab.number("counterBytes");
    const rows: (string | number)[][] = [];
    const line: [number, number][] = [];
    // One stamp a flow says in which interval it was last seen: memory by flows, not by events.
    const seen = new Int32Array(lab.number("flows"));
    let stamp = 0;
    for (const interval of lab.numbers("intervalsMs")) {
      const rng = new Prng(lab.seed, 41);
      const perInterval = Math.max(1, Math.round((rate * interval) / 1000));
      const intervals = Math.max(1, Math.floor(lab.requests / perInterval));
      let live = 0;
      for (let i = 0; i < intervals && !lab.stopped; i++) {
        stamp++;
        for (let e = 0; e < perInterval; e++) {
          const flow = zipf.sample(rng);
          if (seen[flow] !== stamp) {
            seen[flow] = stamp;
            live++;
          }
        }
        if (i % 16 === 0) yield { label: `interval ${interval} ms`, done: i, total: intervals };
      }
      if (lab.stopped) break;
      const events = perInterval * intervals;
      const exported = events * record;
      const aggregated = live * counter;
      const saved = 100 * (1 - aggregated / exported);
      const perEvent = lab.number("ringNs");
      const aggregatedNs = updateNs + (live / events) * lab.number("readNs");
      line.push([interval, saved]);
      rows.push([
        interval,
        events / live,
        exported / events,
        aggregated / events,
        saved,
        1,
        live / events,
        perEvent,
        aggregatedNs,
        aggregatedNs < perEvent ? "aggregate" : "export",
      ]);
      if (interval === lab.number("textIntervalMs")) lab.compare("saved", saved);
    }
    lab.table(
      `${rate} events/s over ${lab.number("flows")} flows (each column per event)`,
      [
        "interval ms",
        "events/counter",
        "export B",
        "aggregate B",
        "saved %",
        "export wake-ups ≤",
        "reads",
        "export ns",
        "aggregate ns",
        "cheaper",
      ],
      rows,
    );
    // Equal bytes halve when events per counter = 2 * counter / record.
    lab.note(
      `aggregation saves 50 % of the bytes once ${((2 * counter) / record).toFixed(2)} events share a counter in an interval`,
    );
    lab.plot({
      name: "telemetry",
      title: "Bytes saved by in-kernel aggregation",
      x: "reading interval (ms)",
      y: "% of bytes to userspace saved",
      xLog: true,
      series: [
        { name: "simulated", style: "line", points: line },
        {
          name: "the source text's 50 %",
          style: "dashed",
          points:
            line.length > 0
              ? [
                  [line[0]![0], 50],
                  [line.at(-1)![0], 50],
                ]
              : [],
        },
      ],
    });
  },
};
