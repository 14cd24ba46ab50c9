/** Who waits for whom when more has arrived than userspace can do in one turn of the event loop. */
import net from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Backlog } from "../../src/hooks/backlog.ts";
import { answers as answersOf, exchange, get, put, type Running, start, tier } from "../support/service.ts";

let on: Running;
beforeAll(async () => {
  on = await start({ admission: "always" });
});
afterAll(() => on.service.close());

const MANY = 120;

async function open(port: number): Promise<net.Socket> {
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  await new Promise((resolve) => socket.once("connect", resolve));
  return socket;
}

/** Connections the server has accepted: it takes one in a turn. */
async function openMany(count: number, node = on, port = node.port): Promise<net.Socket[]> {
  const hook = port === node.port ? node.service.hook : node.service.memcached?.stream;
  const sockets = await Promise.all(Array.from({ length: count }, () => open(port)));
  while ((hook?.connections ?? 0) < count) await new Promise((resolve) => setImmediate(resolve));
  return sockets;
}

/** Sends at once on all connections. @returns the numbers of the connections as their answers came, and the answers */
async function together(sockets: readonly net.Socket[], bytes: (i: number) => string, enough: number) {
  const order: number[] = [];
  const texts = sockets.map(() => "");
  const all = sockets.map(
    (socket, i) =>
      new Promise<void>((resolve) => {
        socket.on("data", (chunk) => {
          if (texts[i] === "") order.push(i);
          texts[i] += chunk.toString("latin1");
          if (answersOf(texts[i] ?? "").length >= enough) resolve();
        });
      }),
  );
  for (const [i, socket] of sockets.entries()) socket.write(bytes(i));
  await Promise.all(all);
  for (const socket of sockets) socket.destroy();
  return { order, answers: texts.map(answersOf) };
}

test("a hit that arrived last does not wait for all the crossings before it", async () => {
  await on.service.cache.update("hot", () => ({
    next: { value: Buffer.from("hot value"), flags: 0, expiresAtMs: 0 },
    result: null,
  }));
  await on.service.cache.get("hot");
  const sockets = await openMany(MANY);
  const { order, answers } = await together(sockets, (i) => get(i === MANY - 1 ? "hot" : `absent-${i}`), 1);
  expect(tier(answers[MANY - 1]![0]!)).toBe("hot");
  expect(order.indexOf(MANY - 1)).toBeLessThan(MANY / 2);
  expect(answers.slice(0, -1).map(([answer]) => answer?.status)).toEqual(Array(MANY - 1).fill(404));
});

test("on each connection answers keep their order, and what follows a crossing waits with it", async () => {
  const sockets = await openMany(MANY);
  const { answers } = await together(
    sockets,
    (i) => put(`own-${i}`, `value ${i}`) + get(`own-${i}`) + get("nothing") + get(`own-${i}`),
    4,
  );
  for (const [i, seen] of answers.entries()) {
    expect(seen.map(({ status }) => status)).toEqual([201, 200, 404, 200]);
    expect([seen[1]?.body, seen[3]?.body]).toEqual([`value ${i}`, `value ${i}`]);
  }
  expect(on.service.hook?.waiting).toBe(0);
});

test("an upload larger than a waiting connection may hold arrives whole", async () => {
  const sockets = await openMany(40);
  const body = (i: number) => String.fromCharCode(97 + (i % 26)).repeat(300_000);
  const { answers } = await together(sockets, (i) => put(`big-${i}`, body(i)) + get(`big-${i}`), 2);
  for (const [i, [, found]] of answers.entries()) expect(found?.body === body(i)).toBe(true);
});

test("a client that leaves while it waits leaves nothing behind", async () => {
  const sockets = await openMany(MANY);
  for (const socket of sockets) socket.write(get("nothing"), () => socket.resetAndDestroy());
  while (on.service.hook?.connections !== 0 || on.service.hook.waiting !== 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
});

describe("over cold.maxPending", () => {
  const MAX = 20;
  let node: Running;
  beforeAll(async () => {
    node = await start({ admission: "always", memcached: "127.0.0.1:0" }, { cold: { maxPending: MAX } });
  });
  afterAll(() => node.service.close());

  test("look-ups that would wait are refused at the hook, in their order, and writes are not", async () => {
    const sockets = await openMany(MANY, node);
    const { answers } = await together(
      sockets,
      (i) => (i % 4 === 3 ? put(`w-${i}`, "v") : get("nothing")),
      1,
    );
    const statuses = answers.map(([answer]) => answer?.status);
    const refused = answers.map(([answer]) => answer).filter((answer) => answer?.status === 503);
    expect(refused.length).toBeGreaterThan(MANY / 4);
    expect(statuses.filter((_, i) => i % 4 === 3)).toEqual(Array(MANY / 4).fill(201));
    expect(refused[0]?.head).toMatch(/^retry-after: 1$/im);
    expect(JSON.parse(refused[0]?.body ?? "")).toEqual({
      statusCode: 503,
      error: "Service Unavailable",
      message: `${MAX} operations are under way; try again (cold.maxPending)`,
    });
    expect(node.service.hook?.shed).toBe(refused.length);
    expect(node.service.stats.observed.hot.count).toBe(0);
    // On one connection the next request is served again.
    const [after] = answersOf((await exchange(node.port, [get("nothing")], { enough: 1 })).text);
    expect(after?.status).toBe(404);
  });

  test("memcached clients are told SERVER_ERROR", async () => {
    const sockets = await openMany(MANY, node, node.service.memcached?.server?.port);
    const said = await Promise.all(
      sockets.map(
        (socket) =>
          new Promise<string>((resolve) => {
            socket.once("data", (chunk) => resolve(chunk.toString("latin1")));
            socket.write("get nothing\r\n");
          }),
      ),
    );
    for (const socket of sockets) socket.destroy();
    const refusal = `SERVER_ERROR ${MAX} operations are under way; try again (cold.maxPending)\r\n`;
    expect(new Set(said)).toEqual(new Set(["END\r\n", refusal]));
    expect(node.service.memcached?.stream?.shed).toBe(said.filter((text) => text === refusal).length);
  });
});

test("crossings are let through in the order they came, so many a turn", async () => {
  const backlog = new Backlog(1_000);
  const crossed: number[] = [];
  let admitted = 0;
  while (backlog.admits()) admitted++;
  for (let i = 0; i < 3 * admitted; i++) backlog.wait({ cross: () => void crossed.push(i) });
  const turns: number[] = [];
  while (backlog.length > 0) {
    const before = crossed.length;
    await new Promise((resolve) => setImmediate(resolve));
    turns.push(crossed.length - before);
    if (backlog.length > 0) expect(backlog.admits()).toBe(false);
  }
  expect(crossed).toEqual(Array.from({ length: 3 * admitted }, (_, i) => i));
  // Userspace gets as long as the hook took, and so many in any case.
  expect(turns[0]).toBe(admitted);
  expect(turns.every((turn) => turn >= admitted)).toBe(true);
});
