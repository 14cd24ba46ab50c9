/** Any stream of requests, cut anywhere: the hook answers as the server without one does. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { comparable, exchange, get, put, type Running, start } from "../support/service.ts";

let on: Running;
let off: Running;
beforeAll(async () => {
  on = await start({ admission: "always" });
  off = await start({ offload: "off" });
});
afterAll(async () => {
  await Promise.all([on.service.close(), off.service.close()]);
});

const key = fc.constantFrom("a", "b", "c", "%61", "declinate0123456", "macallums0123456", "k".repeat(250));
const value = fc.string({ maxLength: 60, unit: "binary-ascii" });
const part = fc.oneof(
  { weight: 6, arbitrary: key.map((k) => get(k)) },
  { weight: 3, arbitrary: fc.tuple(key, value).map(([k, v]) => put(k, v)) },
  { weight: 1, arbitrary: key.map((k) => `DELETE /kv/${k} HTTP/1.1\r\nHost: a\r\n\r\n`) },
  { weight: 1, arbitrary: key.map((k) => `HEAD /kv/${k}-none HTTP/1.1\r\nHost: a\r\n\r\n`) },
  { weight: 1, arbitrary: fc.tuple(key, value).map(([k, v]) => put(k, v + v + "x".repeat(1100))) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        key,
        fc.constantFrom(
          "Accept: */*\r\n",
          "Range: bytes=0-1\r\n",
          "X: \t y\r\n",
          "Host: two\r\n",
          " \r\n",
          "A\r\n",
        ),
      )
      .map(([k, header]) => get(k, header)),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "\r\n",
      "G",
      "GET / HTTP/1.1\r\n\r\n",
      "GET /kv/a HTTP/1.0\r\n\r\n",
      "\0",
      "POST /kv/a HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
  },
);
const stream = fc.array(part, { minLength: 1, maxLength: 12 }).map((parts) => parts.join(""));

/** What Node's server says to bytes its parser refuses. */
const REFUSAL = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: application/json";

const before = (text: string, at: number) => (at < 0 ? text : text.slice(0, at));

test("equal answers, whatever is sent and wherever it is cut", async () => {
  await fc.assert(
    fc.asyncProperty(stream, fc.array(fc.nat(2000), { maxLength: 4 }), async (bytes, cuts) => {
      const ends = [...new Set(cuts.map((cut) => cut % bytes.length)), bytes.length].sort((a, b) => a - b);
      const pieces = ends.map((end, i) => bytes.slice(ends[i - 1] ?? 0, end));
      // Both tiers start from the same content, and what an earlier stream left half said is gone.
      for (const { service } of [on, off]) await service.cache.clear();
      const [a, b] = await Promise.all([
        exchange(on.port, pieces, { quietMs: 90 }),
        exchange(off.port, pieces, { quietMs: 90 }),
      ]);
      const [x, y] = [comparable(a.text), comparable(b.text)];
      const [fx, fy] = [x.indexOf(REFUSAL), y.indexOf(REFUSAL)];
      if (fx < 0 && fy < 0) expect(x).toBe(y);
      else {
        // Node ends the connection at once, and writes still under way lose their answers: how many
        // depends on the moment. What was answered before must be the same.
        const [short, long] = [before(x, fx), before(y, fy)].sort((one, two) => one.length - two.length);
        expect(long?.startsWith(short ?? "")).toBe(true);
        // Nothing is said behind an answer that ended the connection, if that was given in time.
        if (fx < 0 || fy < 0) expect(fx < 0 ? x : y).toMatch(/^Connection: close\r$/m);
      }
      expect(a.closed).toBe(b.closed);
    }),
    { numRuns: Number(process.env.STREAM_RUNS ?? 60), endOnFailure: true },
  );
}, 120_000);
