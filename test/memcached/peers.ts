/**
 * Two servers to hold against one another: Debian's memcached where it is installed, and ours over an
 * in-memory store. `talk` sends byte streams over one TCP connection and returns what came back.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import { MemcachedServer } from "../../src/memcached/server.ts";
import type { Cache } from "../../src/tiers/cache.ts";
import { MemoryStore } from "../../src/tiers/cold/memory.ts";

export const NO_MEMCACHED =
  spawnSync("memcached", ["-V"]).status === 0 ? null : "memcached is not installed here";

export type Peer = { readonly port: number; close(): Promise<void> };

export function memoryCache(maxEntries = 10_000): Cache {
  return new MemoryStore({ maxBytes: 64 << 20, maxEntries });
}

export async function ourPeer(cache: Cache = memoryCache()): Promise<Peer & { server: MemcachedServer }> {
  const faults: unknown[] = [];
  const onFault = (error: unknown): void => {
    faults.push(error);
  };
  const server = await MemcachedServer.listen({ cache, host: "127.0.0.1", port: 0, onFault });
  const close = async (): Promise<void> => {
    await server.close();
    if (faults.length > 0) throw faults[0];
  };
  return { port: server.port, close, server };
}

export async function realPeer(): Promise<Peer> {
  const port = await freePort();
  const options = ["-p", `${port}`, "-U", `${port}`, "-l", "127.0.0.1", "-t", "1", "-u", "root"];
  const child: ChildProcess = spawn("memcached", options, { stdio: "ignore" });
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      child.once("exit", () => resolve());
      child.kill("SIGKILL");
    });
  for (let attempt = 0; ; attempt++) {
    try {
      (await open(port)).destroy();
      return { port, close };
    } catch (error) {
      if (attempt > 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.setNoDelay(true);
    socket.once("error", reject);
  });
}

/** Answered by both servers at once, and by nothing else. */
const SENTINEL = "mg nowhere Oend\r\n";
const SENTINEL_REPLY = "EN Oend\r\n";
/** A stream that ate the sentinel as data is over when nothing came for so long. */
const QUIET_MS = 400;

/**
 * One connection: each step is sent after the reply to the one before; `{cas}` in a step stands for the
 * last cas number this server told. `cut` says where to split a step's bytes.
 */
export async function talk(
  port: number,
  steps: readonly string[],
  cut: (bytes: number) => number[] = () => [],
): Promise<string> {
  const socket = await open(port);
  let all = "";
  let lastCas = "0";
  let closed = false;
  let wake = (): void => undefined;
  socket.on("data", (chunk) => {
    all += chunk.toString("latin1");
    wake();
  });
  socket.on("close", () => {
    closed = true;
    wake();
  });
  socket.on("error", () => undefined);
  for (const step of steps) {
    const from = all.length;
    const bytes = Buffer.from(step.replaceAll("{cas}", lastCas) + SENTINEL, "latin1");
    let at = 0;
    for (const end of [...cut(bytes.length), bytes.length]) {
      socket.write(bytes.subarray(at, end));
      at = end;
      if (end < bytes.length) await new Promise((resolve) => setImmediate(resolve));
    }
    for (;;) {
      if (closed || all.slice(from).endsWith(SENTINEL_REPLY)) break;
      const before = all.length;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, QUIET_MS);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      if (all.length === before && !closed) break;
    }
    if (closed) break;
    normalised(all.slice(from), (cas) => {
      lastCas = cas;
    });
  }
  socket.destroy();
  return closed ? `${all}<closed>` : all;
}

/** Header lines that can carry a cas number; a value that looks like one is treated alike on both sides. */
const HEADER = /^(VALUE|HD|VA|ME) [^\r\n]{0,600}\r$/gm;
const CAS = /(^VALUE \S+ \d+ \d+ | c|cas=)(\d+)(?= |\r)/;

/** Replaces each cas number by the order in which it first came up: only their pattern can agree. */
export function normalised(reply: string, heard: (cas: string) => void = () => undefined): string {
  const seen = new Map<string, number>();
  return reply.replaceAll(HEADER, (line) =>
    line.replace(CAS, (_match, before: string, cas: string) => {
      heard(cas);
      if (!seen.has(cas)) seen.set(cas, seen.size);
      return `${before}#${seen.get(cas)}`;
    }),
  );
}

/** Sends one datagram; the payloads that came back, frames cut off and joined, until it is quiet. */
export async function ask(
  port: number,
  datagram: Buffer,
  quietMs = 60,
  firstMs = 2 * quietMs,
): Promise<Buffer[]> {
  const socket = createSocket("udp4");
  const got: Buffer[] = [];
  await new Promise<void>((resolve) => {
    let timer = setTimeout(resolve, firstMs);
    socket.on("message", (reply) => {
      got.push(reply);
      clearTimeout(timer);
      timer = setTimeout(resolve, quietMs);
    });
    socket.send(datagram, port, "127.0.0.1");
  });
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return got;
}

export function frame(id: number, payload: string, sequence = 0, total = 1): Buffer {
  const bytes = Buffer.alloc(8 + payload.length);
  bytes.writeUInt16BE(id, 0);
  bytes.writeUInt16BE(sequence, 2);
  bytes.writeUInt16BE(total, 4);
  bytes.write(payload, 8, "latin1");
  return bytes;
}

/** A small seeded generator (mulberry32), so that a failure prints how to have it again. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
