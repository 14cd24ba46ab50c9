/** The whole service in the test's own process, and raw bytes to and from it. */
import net from "node:net";
import { pino } from "pino";
import { serveConfig } from "../../src/cli/serve.ts";
import { Service, type ServiceParts } from "../../src/cli/service.ts";
import type { Config } from "../../src/config.ts";

type Flags = Parameters<typeof serveConfig>[0];
type Override = { readonly [S in keyof Config]?: Partial<Config[S]> };

export type Running = { readonly service: Service; readonly port: number; readonly url: string };

export async function start(
  flags: Flags = {},
  override: Override = {},
  parts: Partial<ServiceParts> = {},
): Promise<Running> {
  const base = serveConfig({ port: "0", "costs-scale": "0", "hot-entries": "1024", ...flags }, {});
  const config = Object.fromEntries(
    Object.entries(base).map(([section, values]) => [
      section,
      values !== null && typeof values === "object"
        ? { ...values, ...(override as Record<string, object>)[section] }
        : values,
    ]),
  ) as Config;
  const service = new Service(config, { logger: pino({ level: "silent" }), ...parts });
  const { url, port } = await service.listen();
  return { service, port, url };
}

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Where it is known how many answers come, a busy machine has this long. */
const ENOUGH_MS = 10_000;
const QUIET_MS = 120;

/**
 * Sends the pieces one after the other, each in a segment of its own, and reads until there are enough answers,
 * quiet or closed.
 */
export async function exchange(
  port: number,
  pieces: readonly (string | Buffer)[],
  options: { readonly quietMs?: number; readonly gapMs?: number; readonly enough?: number } = {},
): Promise<{ text: string; closed: boolean }> {
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  const chunks: Buffer[] = [];
  let closed = false;
  let last = Date.now();
  socket.on("data", (chunk) => {
    chunks.push(chunk);
    last = Date.now();
  });
  socket.on("close", () => {
    closed = true;
  });
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  for (const piece of pieces) {
    if (piece.length > 0) socket.write(piece);
    await sleep(options.gapMs ?? 2);
  }
  last = Date.now();
  const text = () => Buffer.concat(chunks).toString("latin1");
  const quietMs = options.quietMs ?? (options.enough === undefined ? QUIET_MS : ENOUGH_MS);
  while (!closed && Date.now() - last < quietMs) {
    if (options.enough !== undefined && answers(text()).length >= options.enough) break;
    await sleep(2);
  }
  socket.destroy();
  return { text: text(), closed };
}

export type Answer = { readonly status: number; readonly head: string; readonly body: string };

/** Splits a stream of responses that carry Content-Length (or no body). */
export function answers(text: string): Answer[] {
  const out: Answer[] = [];
  let at = 0;
  while (at < text.length) {
    const end = text.indexOf("\r\n\r\n", at);
    if (end < 0) break;
    const head = text.slice(at, end);
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
    if (text.length < end + 4 + length) break;
    out.push({ status: Number(head.slice(9, 12)), head, body: text.slice(end + 4, end + 4 + length) });
    at = end + 4 + length;
  }
  return out;
}

/** What may differ between offload on and off (docs/architecture.md). */
export function comparable(text: string): string {
  return text
    .replace(/^cache-status: .*\r\n/gim, "")
    .replace(/^server-timing: .*\r\n/gim, "")
    .replace(/^date: .*\r\n/gim, "");
}

export function get(key: string, headers = ""): string {
  return `GET /kv/${key} HTTP/1.1\r\nHost: test\r\n${headers}\r\n`;
}

export function put(key: string, value: string, query = ""): string {
  return `PUT /kv/${key}${query} HTTP/1.1\r\nHost: test\r\nContent-Length: ${value.length}\r\n\r\n${value}`;
}

/** Which tier answered, by Cache-Status. */
export function tier({ head }: Answer): "hot" | "cold" {
  return /^cache-status: bmc-hot; hit/im.test(head) ? "hot" : "cold";
}

/** The reason in Cache-Status, or null. */
export function detail({ head }: Answer): string | null {
  return /detail=([\w-]+)/.exec(head)?.[1] ?? null;
}
