/**
 * The lab's load: a bounded generator that talks to this very service over loopback and to nothing else.
 * Paced in ticks; a request waits for a free connection, and what cannot be sent in time is not made up
 * for, so that the load never runs away from the service.
 */
import { connect, type Socket } from "node:net";
import type { LoadSettings } from "../http/lab/backend.ts";
import { Prng } from "../sim/prng.ts";
import { Zipf } from "../sim/zipf.ts";

/** A connection carries at most one request a tick; a few more than needed let slow answers be late. */
const RATE_PER_CONNECTION = 60;
const SPARE_CONNECTIONS = 4;
const TICK_MS = 10;
const RATE_WINDOW_MS = 1_000;
const HEAD_END = Buffer.from("\r\n\r\n");

type Connection = { readonly socket: Socket; busy: boolean; pending: Buffer };

export class LabLoad {
  settings: LoadSettings = {
    keys: 1_000,
    skew: 0.99,
    valueBytes: 100,
    writeShare: 0.01,
    ratePerSecond: 1_000,
    seconds: 60,
  };
  readonly #address: () => { readonly host: string; readonly port: number };
  readonly #connections = new Set<Connection>();
  #timer: NodeJS.Timeout | null = null;
  #answered = 0;
  #windowStart = 0;
  #windowAnswered = 0;
  #achieved = 0;

  constructor(address: () => { readonly host: string; readonly port: number }) {
    this.#address = address;
  }

  get running(): boolean {
    return this.#timer !== null;
  }

  /** Answers per second over the last full second. */
  get achievedPerSecond(): number {
    return this.running ? this.#achieved : 0;
  }

  start(settings: LoadSettings): void {
    this.stop();
    this.settings = settings;
    const rng = new Prng(1);
    const zipf = settings.skew > 0 ? new Zipf(settings.keys, settings.skew) : null;
    const value = "v".repeat(settings.valueBytes);
    const { host, port } = this.#address();
    const authority = `Host: ${host.includes(":") ? `[${host}]` : host}:${port}\r\n`;
    const put = (key: number) =>
      `PUT /kv/lab-${key} HTTP/1.1\r\n${authority}Content-Length: ${value.length}\r\n\r\n${value}`;
    const next = () => {
      const key = zipf === null ? Math.floor(rng.unit() * settings.keys) : zipf.sample(rng);
      if (rng.unit() < settings.writeShare) return put(key);
      return `GET /kv/lab-${key} HTTP/1.1\r\n${authority}\r\n`;
    };

    // Every key is stored once before it is asked for.
    let stored = 0;
    let allowance = 0;
    const endsAt = performance.now() + settings.seconds * 1000;
    let last = performance.now();
    this.#windowStart = last;
    this.#windowAnswered = this.#answered;
    const wanted = SPARE_CONNECTIONS + Math.ceil(settings.ratePerSecond / RATE_PER_CONNECTION);
    while (this.#connections.size < wanted) this.#open(host, port);
    this.#timer = setInterval(() => {
      const now = performance.now();
      if (now >= endsAt) {
        this.stop();
        return;
      }
      this.#countRate(now);
      allowance = Math.min(allowance + ((now - last) / 1000) * settings.ratePerSecond, wanted);
      last = now;
      for (const connection of this.#connections) {
        if (allowance < 1) break;
        if (connection.busy) continue;
        connection.busy = true;
        connection.socket.write(stored < settings.keys ? put(stored++) : next());
        allowance--;
      }
      while (this.#connections.size < wanted) this.#open(host, port);
    }, TICK_MS);
  }

  /** Connections are opened anew: those made while a program was attached, or not, stay as they were. */
  reconnect(): void {
    for (const { socket } of this.#connections) socket.destroy();
    this.#connections.clear();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.reconnect();
  }

  #countRate(now: number): void {
    const elapsed = now - this.#windowStart;
    if (elapsed < RATE_WINDOW_MS) return;
    this.#achieved = ((this.#answered - this.#windowAnswered) * 1000) / elapsed;
    this.#windowStart = now;
    this.#windowAnswered = this.#answered;
  }

  #open(host: string, port: number): void {
    const socket = connect({ host, port, noDelay: true });
    const connection: Connection = { socket, busy: false, pending: Buffer.alloc(0) };
    this.#connections.add(connection);
    const drop = () => {
      this.#connections.delete(connection);
      socket.destroy();
    };
    socket.on("error", drop);
    socket.on("close", drop);
    socket.on("data", (chunk: Buffer) => {
      const held = connection.pending;
      const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      if (answerBytes(bytes) > bytes.length) {
        connection.pending = bytes;
        return;
      }
      connection.pending = Buffer.alloc(0);
      connection.busy = false;
      this.#answered++;
    });
  }
}

/** Length of the whole answer whose start is here; infinite while its head is not complete. */
function answerBytes(bytes: Buffer): number {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return Number.POSITIVE_INFINITY;
  const length = /\r\ncontent-length: (\d+)/i.exec(bytes.toString("latin1", 0, end));
  return end + HEAD_END.length + Number(length?.[1] ?? 0);
}
