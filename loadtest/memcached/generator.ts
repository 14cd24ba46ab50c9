/**
 * A memcached load generator over UDP or TCP. Open loop: requests leave at their intended times whatever
 * the server does, and latency counts from then, so that a stall is not hidden. Closed loop: a fixed number
 * of requests is always under way. What is not answered in time is a drop, told apart from the rest.
 */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { build, type Histogram } from "hdr-histogram-js";
import { type ReplyCounts, ReplyScanner } from "./replies.ts";
import { type Request, requester, setRequest, type Workload } from "./workload.ts";

export type Load = {
  readonly port: number;
  readonly transport: "udp" | "tcp";
  readonly workload: Workload;
  readonly connections: number;
  /** Closed loop: requests under way on each connection. Open loop: ignored. */
  readonly depth: number;
  /** Open loop: requests per second over all connections; null = closed loop. */
  readonly rate: number | null;
  readonly warmupSeconds: number;
  readonly seconds: number;
};

export type Outcome = {
  readonly requestedRate: number | null;
  readonly achievedRate: number;
  readonly sent: number;
  readonly answered: number;
  readonly values: number;
  readonly errors: number;
  /** Not answered within DROP_AFTER_MS. */
  readonly drops: number;
  readonly latencyUs: {
    readonly p50: number;
    readonly p90: number;
    readonly p99: number;
    readonly p999: number;
    readonly max: number;
  };
  /** All latencies in µs, in HdrHistogram's own percentile format (.hgrm). */
  readonly distribution: string;
};

const DROP_AFTER_MS = 500;
const TICK_MS = 1;
/** An open loop that fell behind sends at most so many at once, so that it still reads answers. */
const BURST_MAX = 256;

type Lane = {
  /** Sends a request whose latency counts from `intendedMs`. */
  send(request: Request, intendedMs: number): void;
  /** Everything asked for in this turn leaves. */
  flush(): void;
  /** Counts what is overdue; a lane that lost requests has room for others. @returns how many */
  sweep(nowMs: number): number;
  close(): void;
};

type Meter = {
  answered(intendedMs: number, nowMs: number): void;
  readonly counts: ReplyCounts;
  /** A place has become free on the lane. */
  free(lane: number, places: number): void;
};

export async function drive(load: Load): Promise<Outcome> {
  const histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 60_000_000,
    numberOfSignificantValueDigits: 3,
  });
  const counts: ReplyCounts = { answers: 0, values: 0, errors: 0 };
  let sent = 0;
  let drops = 0;
  let measuring = false;
  let running = true;
  const next = Array.from({ length: load.connections }, (_, i) => requester(load.workload, i));
  const lanes: Lane[] = [];
  const dirty = new Set<number>();
  const send = (lane: number, intendedMs: number): void => {
    const request = (next[lane] as () => Request)();
    if (measuring) sent++;
    lanes[lane]?.send(request, intendedMs);
    dirty.add(lane);
  };
  const flush = (): void => {
    for (const lane of dirty) lanes[lane]?.flush();
    dirty.clear();
  };
  const meter: Meter = {
    counts,
    answered: (intendedMs, nowMs) => {
      if (measuring) histogram.recordValue(Math.max(1, Math.round((nowMs - intendedMs) * 1000)));
    },
    free: (lane, places) => {
      if (!running || load.rate !== null) return;
      const now = performance.now();
      for (let i = 0; i < places; i++) send(lane, now);
      flush();
    },
  };
  for (let i = 0; i < load.connections; i++) {
    lanes.push(
      await (load.transport === "udp" ? udpLane(load.port, i, meter) : tcpLane(load.port, i, meter)),
    );
  }

  const started = performance.now();
  let issued = 0;
  const tick = (): void => {
    const now = performance.now();
    if (load.rate !== null) {
      const due = Math.min(
        Math.floor(((now - started) / 1000) * load.rate),
        issued + BURST_MAX * load.connections,
      );
      for (; issued < due; issued++) send(issued % load.connections, started + (issued / load.rate) * 1000);
      flush();
    }
    lanes.forEach((lane, i) => {
      const lost = lane.sweep(now);
      if (measuring) drops += lost;
      if (lost > 0) meter.free(i, lost);
    });
  };
  const ticker = setInterval(tick, TICK_MS);
  if (load.rate === null) {
    for (let i = 0; i < load.connections; i++) meter.free(i, load.depth);
  }
  await sleep(load.warmupSeconds);
  Object.assign(counts, { answers: 0, values: 0, errors: 0 });
  measuring = true;
  const from = performance.now();
  await sleep(load.seconds);
  const answered = { ...counts };
  const seconds = (performance.now() - from) / 1000;
  measuring = false;
  running = false;
  clearInterval(ticker);
  for (const lane of lanes) lane.close();
  return {
    requestedRate: load.rate,
    achievedRate: answered.answers / seconds,
    sent,
    answered: answered.answers,
    values: answered.values,
    errors: answered.errors,
    drops,
    latencyUs: quantiles(histogram),
    distribution: histogram.outputPercentileDistribution(),
  };
}

/** Stores every key once, over TCP: what the gets will find. */
export async function fill(port: number, workload: Workload): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const counts: ReplyCounts = { answers: 0, values: 0, errors: 0 };
  const scanner = new ReplyScanner();
  const done = new Promise<void>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("data", (chunk) => {
      scanner.scan(chunk, counts);
      if (counts.answers === workload.keys) resolve();
    });
  });
  for (let i = 0; i < workload.keys; i++) {
    if (!socket.write(setRequest(workload, i).bytes)) await once(socket, "drain");
  }
  await done;
  socket.destroy();
  if (counts.errors > 0) throw new Error(`${counts.errors} of ${workload.keys} sets failed`);
}

function quantiles(histogram: Histogram): Outcome["latencyUs"] {
  const at = (percentile: number) => histogram.getValueAtPercentile(percentile);
  return { p50: at(50), p90: at(90), p99: at(99), p999: at(99.9), max: histogram.maxValue };
}

async function udpLane(port: number, index: number, meter: Meter): Promise<Lane> {
  const lookup = (address: string, _options: unknown, done: (e: null, a: string, f: number) => void) =>
    done(null, address, 4);
  const socket: DatagramSocket = createSocket({
    type: "udp4",
    lookup: lookup as never,
    recvBufferSize: 4 << 20,
  });
  socket.connect(port, "127.0.0.1");
  await once(socket, "connect");
  // "Connection refused" comes back for a datagram nobody took: it is a drop, counted by sweep().
  socket.on("error", () => undefined);
  /** By request id: intended time and datagrams still to come; 0 = not under way. */
  const intended = new Float64Array(65_536);
  const missing = new Uint16Array(65_536);
  const scanner = new ReplyScanner();
  let nextId = 0;
  let oldest = 0;
  socket.on("message", (datagram) => {
    const id = datagram.readUInt16BE(0);
    const since = intended[id] as number;
    if (since === 0) return;
    if (datagram.readUInt16BE(2) === 0) scanner.reset();
    scanner.scan(datagram.subarray(8), meter.counts);
    const left = (missing[id] === 0 ? datagram.readUInt16BE(4) : (missing[id] as number)) - 1;
    missing[id] = left;
    if (left > 0) return;
    intended[id] = 0;
    missing[id] = 0;
    meter.answered(since, performance.now());
    meter.free(index, 1);
  });
  return {
    send: (request, intendedMs) => {
      const datagram = Buffer.allocUnsafe(8 + request.bytes.length);
      datagram.writeUInt32BE((nextId << 16) >>> 0, 0);
      datagram.writeUInt32BE(0x00010000, 4);
      request.bytes.copy(datagram, 8);
      intended[nextId] = intendedMs;
      missing[nextId] = 0;
      nextId = (nextId + 1) & 0xffff;
      socket.send(datagram);
    },
    flush: () => undefined,
    sweep: (now) => {
      let lost = 0;
      for (; oldest !== nextId; oldest = (oldest + 1) & 0xffff) {
        const since = intended[oldest] as number;
        if (since === 0) continue;
        if (now - since < DROP_AFTER_MS) break;
        intended[oldest] = 0;
        lost++;
      }
      return lost;
    },
    close: () => socket.close(),
  };
}

async function tcpLane(port: number, index: number, meter: Meter): Promise<Lane> {
  const socket: Socket = connect(port, "127.0.0.1");
  socket.setNoDelay(true);
  await once(socket, "connect");
  const scanner = new ReplyScanner();
  let intended: number[] = [];
  let head = 0;
  let out: Buffer[] = [];
  socket.on("error", () => undefined);
  socket.on("data", (chunk) => {
    const before = meter.counts.answers;
    scanner.scan(chunk, meter.counts);
    const answers = meter.counts.answers - before;
    const now = performance.now();
    for (let i = 0; i < answers; i++) meter.answered(intended[head++] ?? now, now);
    if (head > 10_000) {
      intended = intended.slice(head);
      head = 0;
    }
    if (answers > 0) meter.free(index, answers);
  });
  return {
    send: (request, intendedMs) => {
      intended.push(intendedMs);
      out.push(request.bytes);
    },
    flush: () => {
      socket.write(out.length === 1 ? (out[0] as Buffer) : Buffer.concat(out));
      out = [];
    },
    // TCP loses nothing; what is late shows in the latencies.
    sweep: () => 0,
    close: () => socket.destroy(),
  };
}

function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
