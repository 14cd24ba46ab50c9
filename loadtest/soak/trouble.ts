/**
 * Clients no server likes, one after the other for as long as the soak runs. Each checks what it is told: a
 * wrong answer is a finding, a refusal in the right words is not.
 */
import { connect, type Socket } from "node:net";
import type { Prng } from "../../src/sim/prng.ts";

export type Ports = { readonly http: number; readonly memcached: number };
/** A clear 503 or SERVER_ERROR where an answer could have been. */
export const REFUSED = Symbol("refused");
/** Does one turn of its mischief. @returns what was wrong, or null */
export type Trouble = (ports: Ports, prng: Prng) => Promise<string | typeof REFUSED | null>;

/** Connections of one turn. */
const CHURN = 20;
const SLOW_KEY = "soak-slow";
const SLOW_BYTES = 900;
const SLOW_VALUE = "s".repeat(SLOW_BYTES);
/** A stall of the machine must not look like a fault of the service. */
const PATIENCE_MS = 120_000;

export const TROUBLES: Readonly<Record<string, Trouble>> = {
  /** Connects, asks a little, and hangs up: with FIN, without, or in the middle of an answer. */
  churn: async (ports, prng) => {
    for (let i = 0; i < CHURN; i++)
      await comeAndGo(prng.below(2) === 0 ? ports.http : ports.memcached, ports, prng);
    return null;
  },

  /** Asks for far more than any buffer holds, does not read for a while, and then counts every byte. */
  "slow reader": async ({ memcached }, prng) => {
    const socket = await open(memcached);
    const asked = 1_500;
    socket.pause();
    socket.write(`get ${SLOW_KEY}\r\n`.repeat(asked));
    await rest(1_000 + prng.below(4_000));
    const line = `VALUE ${SLOW_KEY} 0 ${SLOW_BYTES}\r\n${SLOW_VALUE}\r\nEND\r\n`;
    const wrong = await readAll(socket, line, asked);
    socket.destroy();
    return wrong;
  },

  "slow reader of HTTP": async ({ http }, prng) => {
    const socket = await open(http);
    const asked = 1_000;
    socket.pause();
    socket.write(getHttp(SLOW_KEY).repeat(asked));
    await rest(1_000 + prng.below(4_000));
    let bodies = 0;
    let refusals = 0;
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      // What is behind the last whole body may be the beginning of more.
      const parts = text.split(SLOW_VALUE);
      bodies += parts.length - 1;
      for (const head of parts.slice(0, -1)) refusals += head.split("HTTP/1.1 503 ").length - 1;
      text = parts.at(-1) as string;
    });
    socket.resume();
    const all = () => bodies + refusals + text.split("HTTP/1.1 503 ").length - 1;
    await until(() => all() >= asked || socket.destroyed);
    socket.destroy();
    if (bodies === asked) return null;
    return all() >= asked ? REFUSED : `${all()} of ${asked} answers came to a slow reader`;
  },

  /** Sends a part and falls silent. */
  "half-open": async ({ http, memcached }, prng) => {
    const parts = [
      [http, "GET /kv/a HTT"],
      [http, "PUT /kv/soak-half HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf"],
      [memcached, "get soa"],
      [memcached, "set soak-half 0 0 100\r\nhalf"],
      [memcached, ""],
    ] as const;
    const [port, part] = parts[prng.below(parts.length)] as (typeof parts)[number];
    const socket = await open(port);
    socket.write(part);
    await rest(500 + prng.below(5_000));
    socket.destroy();
    return null;
  },

  /** Too much of everything, each with the answer it has to get. */
  oversized: async ({ http, memcached }, prng) => {
    const big = 2 << 20;
    const cases = [
      [
        http,
        `PUT /kv/soak-big HTTP/1.1\r\nHost: a\r\nContent-Length: ${big}\r\n\r\n${"b".repeat(big)}`,
        /^HTTP\/1\.1 413 /,
      ],
      [http, `GET /kv/a HTTP/1.1\r\nHost: a\r\nX: ${"h".repeat(40_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
      [http, `GET /kv/${"k".repeat(251)} HTTP/1.1\r\nHost: a\r\n\r\n`, /^HTTP\/1\.1 400 /],
      [
        memcached,
        `set soak-big 0 0 ${big}\r\n${"b".repeat(big)}\r\n`,
        /^SERVER_ERROR object too large for cache\r\n/,
      ],
      [memcached, `get ${"k".repeat(251)}\r\n`, /^CLIENT_ERROR/],
      [memcached, "x".repeat(10_000), /^CLIENT_ERROR line too long\r\n/],
    ] as const;
    const [port, bytes, expected] = cases[prng.below(cases.length)] as (typeof cases)[number];
    const socket = await open(port);
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
    });
    socket.write(bytes);
    await until(() => text.includes("\r\n") || socket.destroyed);
    socket.destroy();
    if (expected.test(text)) return null;
    if (/^(SERVER_ERROR|HTTP\/1\.1 503) /.test(text)) return REFUSED;
    return `${bytes.slice(0, 40)}… was answered ${JSON.stringify(text.slice(0, 80))}`;
  },
};

/** What slow readers ask for. */
export async function prepareTrouble({ memcached }: Ports): Promise<void> {
  const socket = await open(memcached);
  socket.write(`set ${SLOW_KEY} 0 0 ${SLOW_BYTES}\r\n${SLOW_VALUE}\r\n`);
  await new Promise((resolve) => socket.once("data", resolve));
  socket.destroy();
}

async function comeAndGo(port: number, { http }: Ports, prng: Prng): Promise<void> {
  const socket = await open(port);
  socket.write((port === http ? getHttp("soak-churn") : "get soak-churn\r\n").repeat(1 + prng.below(5)));
  if (prng.below(3) > 0) await rest(prng.below(20));
  if (prng.below(2) === 0) socket.end();
  else socket.destroy();
  await rest(20);
  socket.destroy();
}

async function readAll(
  socket: Socket,
  expected: string,
  times: number,
): Promise<string | typeof REFUSED | null> {
  const line = Buffer.from(expected, "latin1");
  let at = 0;
  let wrong: string | typeof REFUSED | null = null;
  socket.on("data", (chunk: Buffer) => {
    for (let from = 0; from < chunk.length && wrong === null; ) {
      const place = at % line.length;
      const take = Math.min(line.length - place, chunk.length - from);
      if (chunk.compare(line, place, place + take, from, from + take) !== 0) {
        const isRefusal = place === 0 && chunk.toString("latin1", from, from + 12) === "SERVER_ERROR";
        wrong = isRefusal
          ? REFUSED
          : `a slow reader's answer ${Math.floor(at / line.length)} is ${JSON.stringify(chunk.toString("latin1", from, from + 60))}`;
      }
      from += take;
      at += take;
    }
  });
  socket.resume();
  await until(() => wrong !== null || at >= line.length * times || socket.destroyed);
  return (
    wrong ??
    (at === line.length * times ? null : `${at} of ${line.length * times} bytes came to a slow reader`)
  );
}

function getHttp(key: string): string {
  return `GET /kv/${key} HTTP/1.1\r\nHost: a\r\n\r\n`;
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  const failed = new Promise<never>((_, reject) => socket.once("error", reject));
  await Promise.race([new Promise((resolve) => socket.once("connect", resolve)), failed]);
  failed.catch(() => {}); // from here on an error is an end, which 'close' tells
  return socket;
}

async function until(isOver: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!isOver() && performance.now() < deadline) await rest(10);
}

function rest(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
