import { describe, expect, test } from "vitest";
import { configNames, loadProfile } from "../../src/cli/config-files.ts";
import { loadExperiment } from "../../src/cli/simulate.ts";
import { Lab } from "../../src/sim/experiment.ts";
import { chooseParams } from "../../src/sim/experiment-file.ts";
import { KINDS } from "../../src/sim/experiments/kinds.ts";
import { fnv1a32 } from "../../src/sim/keys.ts";
import { TraceSummary } from "../../src/sim/trace-summary.ts";
import { parseTrace, type TraceFormat, type TraceRequest } from "../../src/sim/traces.ts";

const utf8 = new TextEncoder();
const read = (input: string | Uint8Array, format?: TraceFormat, chunk = 7): TraceRequest[] => {
  const bytes = typeof input === "string" ? utf8.encode(input) : input;
  const chunks = Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, i) =>
    bytes.subarray(i * chunk, (i + 1) * chunk),
  );
  return [...collect(parseTrace(chunks, "t", format))];
};
/** The parser refills one record: copy it. */
function* collect(requests: Iterable<TraceRequest>): Generator<TraceRequest> {
  for (const r of requests) yield { ...r };
}
const brief = (r: TraceRequest) => [r.time, r.keyBytes, r.valueBytes, r.operation];

function oracle(rows: [time: number, id: bigint, size: number][]): Uint8Array {
  const view = new DataView(new ArrayBuffer(rows.length * 24));
  rows.forEach(([time, id, size], i) => {
    view.setUint32(i * 24, time, true);
    view.setBigUint64(i * 24 + 4, id, true);
    view.setUint32(i * 24 + 12, size, true);
    view.setBigInt64(i * 24 + 16, -1n, true);
  });
  return new Uint8Array(view.buffer);
}

describe("formats", () => {
  test("csv by its header, in any order, split anywhere", () => {
    expect(read("op,size,key,time\nget,10,abc,1.5\nSET,20,ä,2\r\ndelete,0,x,3").map(brief)).toEqual([
      [1.5, 3, 10, "get"],
      [2, 2, 20, "set"],
      [3, 1, 0, "delete"],
    ]);
  });
  test("csv without a header is time, key, size[, operation]", () => {
    expect(read("1,k,5\n2,k,6\n").map(brief)).toEqual([
      [1, 1, 5, "get"],
      [2, 1, 6, "get"],
    ]);
  });
  test("libCacheSim's column names", () => {
    expect(read("timestamp,obj_id,obj_size\n7,42,100\n").map(brief)).toEqual([[7, 2, 100, "get"]]);
  });
  test("twitter, also with commas in the key", () => {
    const rows = read("0,nz:u:eeW511W3dcH3de3d15ec,22,304,112,get,0\n1,a,b,3,9,5,add,86400\n");
    expect(rows.map(brief)).toEqual([
      [0, 22, 304, "get"],
      [1, 3, 9, "set"],
    ]);
    expect(rows[1]!.hash).toBe(fnv1a32(utf8.encode("a,b")));
  });
  test("oracleGeneral, records split over chunks", () => {
    const rows = read(
      oracle([
        [1, 5n, 100],
        [2, 0xffffffffffffffffn, 7],
        [3, 5n, 100],
      ]),
    );
    expect(rows.map((r) => [r.time, r.valueBytes])).toEqual([
      [1, 100],
      [2, 7],
      [3, 100],
    ]);
    expect(rows[0]!.id).toBe(rows[2]!.id);
    expect(rows[0]!.id).not.toBe(rows[1]!.id);
    expect(rows[0]!.hash).toBe(fnv1a32(utf8.encode("0000000000000005")));
  });
});

describe("bad traces are one line naming the place", () => {
  test.each<[string, string | Uint8Array, TraceFormat | undefined, string]>([
    ["empty", "", undefined, "trace t: is empty"],
    ["header only", "time,key,size\n", undefined, "trace t: holds no request"],
    [
      "torn line",
      "time,key,op,size\n1,a,get,5\n2,b",
      undefined,
      "line 3: has 2 fields, the first line has 4",
    ],
    ["negative size", "time,key,size\n1,a,-5\n", undefined, `line 2: size is "-5", not a number >= 0`],
    ["no number", "1,a,big\n", undefined, `line 1: size is "big"`],
    [
      "unknown operation",
      "time,key,op,size\n1,a,frobnicate,5\n",
      undefined,
      `operation is "frobnicate"; known: get`,
    ],
    ["empty key", "1,,5\n", undefined, "line 1: the key is empty"],
    ["short twitter line", "1,a,3,get\n", "twitter", "line 1: has 4 fields; a Twitter trace has 7"],
    [
      "torn record",
      oracle([
        [1, 1n, 1],
        [2, 2n, 2],
      ]).subarray(0, 40),
      undefined,
      "ends inside a record at byte 24 (16 of 24 bytes)",
    ],
    ["endless line", "x".repeat(10_000), undefined, "is longer than 4096 characters"],
    ["prose", "hello world\n", undefined, "line 1: has 1 fields and is no header"],
  ])("%s", (_, input, format, message) => {
    const parse = () => read(input, format, 64);
    expect(parse).toThrow(message);
    expect(parse).not.toThrow(/\n/);
  });
});

test("a summary in constant memory counts what is there", () => {
  const summary = new TraceSummary();
  const rows = Array.from(
    { length: 30_000 },
    (_, i) => `${i / 100},key${i % 9_000},${i % 10 === 0 ? "set" : "get"},${i % 2 === 0 ? 100 : 2000}`,
  );
  for (const r of parseTrace([utf8.encode(`time,key,op,size\n${rows.join("\n")}`)], "t")) summary.add(r);
  const s = summary.result();
  expect(s).toMatchObject({ requests: 30_000, readRatio: 0.9 });
  expect(s.rate).toBeCloseTo(100, 0);
  expect(Math.abs(s.keys / 9_000 - 1)).toBeLessThan(0.02);
  expect(s.answerable).toBeCloseTo(4 / 9, 2);
  expect(s.answerableValueBytes).toBe(100);
});

test("replay: hits of a trace counted by hand", () => {
  const experiment = loadExperiment("replay");
  const params = chooseParams(experiment, undefined, ["entries=2"], configNames("profiles"));
  const text =
    "time,key,op,size\n1,a,get,5\n2,a,get,5\n3,a,set,5\n4,a,get,5\n5,a,get,5\n6,big,get,2000\n7,big,get,2000\n";
  const trace = () => parseTrace([utf8.encode(text)], "t");
  const lab = new Lab(experiment, { params, seed: 1, requests: 1, profile: loadProfile, trace });
  for (const _ of KINDS.replay!.run(lab)) void _;
  const table = lab.report(true).tables[1]!;
  // Six reads; a hits at 2 and 5, the write at 3 forgets it, and the big value is never held.
  for (const row of table.rows) expect(row[2]).toBeCloseTo((100 * 2) / 6, 6);
});

test("replay without a trace is refused", () => {
  const experiment = loadExperiment("replay");
  const lab = new Lab(experiment, { params: experiment.params, seed: 1, requests: 1, profile: loadProfile });
  expect(() => KINDS.replay!.run(lab).next()).toThrow("needs --trace FILE");
});
