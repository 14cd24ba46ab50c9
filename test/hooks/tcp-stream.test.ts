import net from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  answers,
  comparable,
  detail,
  exchange,
  get,
  put,
  type Running,
  sleep,
  start,
  tier,
} from "../support/service.ts";

let on: Running;
let off: Running;
beforeAll(async () => {
  on = await start({ admission: "always" });
  off = await start({ offload: "off" });
});
afterAll(async () => {
  await Promise.all([on.service.close(), off.service.close()]);
});

/** A key that both servers hold and the hot tier serves. */
async function heat(key: string, value: string) {
  for (const { port } of [on, off]) await exchange(port, [put(key, value) + get(key)], { enough: 2 });
  const [answer] = answers((await exchange(on.port, [get(key)], { enough: 1 })).text);
  expect(tier(answer!)).toBe("hot");
}

describe("transparency: the same bytes get the same answers with offload on and off", () => {
  const streams: [string, string][] = [
    ["a hit", get("t")],
    ["ten pipelined hits", get("t").repeat(10)],
    ["hits and a miss between", get("t") + get("none") + get("t")],
    ["a write between reads", get("w") + put("w", "1") + get("w") + put("w", "2") + get("w") + get("w")],
    [
      "a delete between reads",
      `${put("d", "x") + get("d")}DELETE /kv/d HTTP/1.1\r\nHost: a\r\n\r\n${get("d")}`,
    ],
    ["HEAD", `HEAD /kv/none HTTP/1.1\r\nHost: a\r\n\r\n${get("t")}`],
    ["no Host", `GET /kv/t HTTP/1.1\r\n\r\n${get("t")}`],
    ["two Hosts", "GET /kv/t HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
    ["HTTP/1.0", "GET /kv/t HTTP/1.0\r\nHost: a\r\n\r\n"],
    ["Connection: close", get("t", "Connection: close\r\n") + get("t")],
    ["conditional", get("t", "If-None-Match: *\r\n")],
    ["range", get("t", "Range: bytes=0-1\r\n")],
    ["absolute form", "GET http://a/kv/t HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["percent-encoded key", get("%74")],
    ["percent-encoded slash", get("a%2Fb")],
    ["query", get("t?x=1")],
    ["fragment", get("t#x")],
    ["empty key", get("")],
    ["deeper path", get("t/x")],
    ["key of 250 bytes", get("k".repeat(250))],
    ["key of 251 bytes", get("k".repeat(251))],
    ["bare LF", "GET /kv/t HTTP/1.1\nHost: a\n\n"],
    ["obs-fold", get("t", "X: a\r\n b\r\n")],
    ["NUL in a header", get("t", "X: a\0b\r\n")],
    [
      "CL and TE",
      "PUT /kv/s HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    ],
    [
      "chunked",
      `PUT /kv/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n${get("c")}`,
    ],
    ["two lengths", "PUT /kv/s HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"],
    ["GET with a body", `${get("t", "Content-Length: 3\r\n")}abc${get("t")}`],
    ["a body that looks like a request", put("b", get("t")) + get("b")],
    ["leading empty line", `\r\n${get("t")}`],
    ["garbage", "hello\r\n\r\n"],
    ["unknown method", "BREW /kv/t HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["POST", `POST /kv/t HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n${get("t")}`],
    ["ttl wrong", put("x", "1", "?ttl=-1")],
    ["upgrade", get("t", "Connection: Upgrade\r\nUpgrade: x\r\n")],
    ["expect", put("e", "abc").replace("Host", "Expect: 100-continue\r\nHost")],
    ["another route", `GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n${get("t")}`],
    ["no such route", "GET /nope HTTP/1.1\r\nHost: a\r\n\r\n"],
  ];

  test.each(streams)("%s", async (_name, stream) => {
    await heat("t", "value of t");
    const [a, b] = await Promise.all([exchange(on.port, [stream]), exchange(off.port, [stream])]);
    expect(comparable(a.text)).toBe(comparable(b.text));
    expect(a.closed).toBe(b.closed);
  });

  test("cut in two at each byte", async () => {
    await heat("t", "value of t");
    const stream = get("t") + put("cut", "some value") + get("cut") + get("t");
    for (const { port } of [on, off]) await exchange(port, [put("cut", "there already")], { enough: 1 });
    const whole = comparable((await exchange(off.port, [stream], { enough: 4 })).text);
    for (let cut = 1; cut < stream.length; cut++) {
      const { text } = await exchange(on.port, [stream.slice(0, cut), stream.slice(cut)], { enough: 4 });
      expect(comparable(text), `cut at ${cut}`).toBe(whole);
    }
  }, 20_000);
});

describe("order and the way back to the fast path", () => {
  test("nothing overtakes a request that is in userspace", async () => {
    await heat("o", "hot value");
    const { text } = await exchange(on.port, [get("o") + get("nothing") + get("o")], { enough: 3 });
    const three = answers(text);
    expect(three.map((a) => a.status)).toEqual([200, 404, 200]);
    expect([tier(three[0]!), tier(three[2]!), detail(three[2]!)]).toEqual(["hot", "cold", "ordered"]);
  });

  test("after a PUT the same connection is answered at the hook again", async () => {
    const pieces = [put("back", "1"), get("back"), get("back"), put("back", "22"), get("back"), get("back")];
    const all = answers((await exchange(on.port, pieces, { gapMs: 15, enough: 6 })).text);
    expect(all.map((a) => a.body)).toEqual(["", "1", "1", "", "22", "22"]);
    expect(all.map(tier)).toEqual(["cold", "cold", "hot", "cold", "cold", "hot"]);
  });

  test("a PUT of 1 MiB passes, and what follows it is framed right", async () => {
    const big = "v".repeat(1 << 20);
    const stream = put("big", big) + get("big");
    const [stored, read] = answers(
      (await exchange(on.port, [stream, ""], { enough: 2, quietMs: 2000 })).text,
    );
    expect([stored!.status, read!.status, read!.body === big]).toEqual([201, 200, true]);
    const [again] = answers((await exchange(on.port, [get("big")], { enough: 1, quietMs: 2000 })).text);
    expect(detail(again!)).toBe("too-big");
  });
});

describe("split requests", () => {
  test("a head whose rest comes late is answered, and the connection stays on the fast path", async () => {
    await heat("late", "v");
    const request = get("late");
    const all = answers(
      (
        await exchange(on.port, [request.slice(0, 9), request.slice(9), get("late")], {
          gapMs: 90,
          enough: 2,
        })
      ).text,
    );
    expect(all.map((a) => [a.status, a.body])).toEqual([
      [200, "v"],
      [200, "v"],
    ]);
    expect(all.map(tier)).toEqual(["cold", "hot"]);
  });
});

describe("hostile and slow peers", () => {
  test("a reader that does not read stops us from reading", async () => {
    await heat("slow", "x".repeat(1000));
    const socket = net.connect({ port: on.port, host: "127.0.0.1" });
    socket.on("error", () => {});
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.pause();
    const batch = Buffer.from(get("slow").repeat(2000));
    let accepted = 0;
    for (let i = 0; i < 400; i++) {
      if (socket.writableLength > 8e6) break;
      socket.write(batch);
      accepted += batch.length;
      await sleep(1);
    }
    // The server stopped taking requests: most of them still wait on our side.
    await sleep(50);
    expect(socket.writableLength).toBeGreaterThan(accepted / 4);
    const [connection] = [...(on.service.hook?.sockets() ?? [])].filter(
      (s) => s.remotePort === socket.localPort,
    );
    expect(connection!.writableLength).toBeLessThan(1e6);
    // And once it reads, every answer comes.
    let read = 0;
    socket.on("data", (chunk) => {
      read += chunk.length;
    });
    socket.resume();
    const expected = (accepted / get("slow").length) * (1000 + headBytes);
    while (read < expected) await sleep(20);
    await sleep(150);
    expect(read).toBe(expected);
    socket.destroy();
  }, 120_000);

  test("resets and half-open connections leave nothing behind", async () => {
    const before = on.service.hook!.connections;
    for (let i = 0; i < 50; i++) {
      const socket = net.connect({ port: on.port, host: "127.0.0.1" });
      await new Promise((resolve) => socket.once("connect", resolve));
      if (i % 3 === 0) socket.write(get("x").slice(0, 10));
      if (i % 3 === 1) socket.write(get("x"));
      if (i % 2) socket.resetAndDestroy();
      else socket.end();
    }
    await sleep(300);
    expect(on.service.hook!.connections).toBeLessThanOrEqual(before);
  });
});
/** Of the answer to a GET of a 1,000-byte value. */
const headBytes =
  "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncache-status: bmc-hot; hit\r\ncontent-length: 1000\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: keep-alive\r\nKeep-Alive: timeout=72\r\n\r\n"
    .length;
