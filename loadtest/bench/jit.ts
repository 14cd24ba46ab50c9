/**
 * One program run under our JIT, our interpreter and the running Linux kernel: the same object, the same
 * packet, in one process and in turns, so that the ratios share the machine's mood. `npm run bench:jit`.
 * Times are means of a loop in CPU time, as the kernel's own stopwatch stops while it is preempted; the best
 * of all rounds counts, since other processes only add to it. Linux's are what `bpftool prog run` reports.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { XDP_ACTION } from "../../src/bpf/context.ts";
import { parseObject } from "../../src/bpf/elf/object.ts";
import { Kernel, type LoadedProgram, type LoadOptions } from "../../src/bpf/kernel.ts";
import { Framer } from "../../src/hooks/packet-headers.ts";
import { fnv1a, HOT_ENTRY, HOT_ENTRY_BYTES, STATE_VALID } from "../../src/tiers/hot/layout.ts";
import { KernelProgRun } from "./kernel-prog-run.ts";

const objectFile = (name: string): string =>
  fileURLToPath(new URL(`../../src/programs/${name}.bpf.o`, import.meta.url));
const KEY = "key:000001";
const VALUE_BYTES = 100;
const DATE = "Sun, 06 Nov 1994 08:49:37 GMT";
/** Padded to a multiple of 8 bytes, which hit_again wants. */
const REQUEST = Buffer.from(`GET /kv/${KEY} HTTP/1.1\r\nHost: localhost:3000\r\nX-Pad: 1234567890\r\n\r\n`);
/** The same for get_again: Ethernet may pad. */
const DATAGRAM = (() => {
  const frame = udpFrame(`get ${KEY}\r\n`);
  return Buffer.concat([frame, Buffer.alloc((8 - (frame.length % 8)) % 8)]);
})();

type Case = {
  readonly object: string;
  readonly program: string;
  readonly what: string;
  readonly packet: Buffer;
  readonly expected: number;
};
const CASES: readonly Case[] = [
  {
    object: "http_kv_twin",
    program: "parser_twin",
    what: "frame a request",
    packet: REQUEST,
    expected: REQUEST.length,
  },
  {
    object: "http_kv_twin",
    program: "hit_again",
    what: `answer a ${VALUE_BYTES} B hit`,
    packet: REQUEST,
    expected: 1,
  },
  {
    object: "memcached_twin",
    program: "get_again",
    what: `answer one at XDP`,
    packet: DATAGRAM,
    expected: XDP_ACTION.tx,
  },
];

const ENGINES = [
  { name: "jit", options: { engine: "jit" }, share: 1 },
  { name: "jit, no counts", options: { engine: "jit", counts: false }, share: 1 },
  { name: "interpreter", options: { engine: "interpreter" }, share: 1 / 500 },
] as const satisfies readonly { name: string; options: LoadOptions; share: number }[];

export type Row = {
  readonly what: string;
  /** eBPF instructions of one run. */
  readonly instructions: number;
  /** Nanoseconds a run, by engine; `kernel` is null where it could not be asked. */
  readonly ns: Readonly<Record<(typeof ENGINES)[number]["name"], number>> & {
    readonly kernel: number | null;
  };
};
export type Report = { readonly rows: readonly Row[]; readonly whyNoKernel: string | null };

/** Entries of the object's maps, by map name: one hot value under KEY. */
function presets(packet: Buffer): [map: string, key: Uint8Array, value: Uint8Array][] {
  const entries = 16_384;
  const hash = fnv1a(KEY);
  const entry = new Uint8Array(HOT_ENTRY_BYTES);
  const fields = new DataView(entry.buffer);
  fields.setUint32(HOT_ENTRY.hash, hash, true);
  fields.setUint16(HOT_ENTRY.valueLen, VALUE_BYTES, true);
  fields.setUint8(HOT_ENTRY.keyLen, KEY.length);
  fields.setUint8(HOT_ENTRY.state, STATE_VALID);
  entry.set(Buffer.from(KEY), HOT_ENTRY.key);
  entry.fill(0x78, HOT_ENTRY.value, HOT_ENTRY.value + VALUE_BYTES);
  const request = new Uint8Array(8 + 256);
  request[0] = packet.length;
  request.set(packet, 8);
  const all: [map: string, key: Uint8Array, value: Uint8Array][] = [
    ["hot_map", u32(hash % entries), entry],
    ["http_date", u32(0), Buffer.from(DATE.padEnd(32, "\0"))],
    ["bench_request", u32(0), request],
  ];
  return packet === REQUEST ? all : all.filter(([map]) => map !== "http_date");
}

/** A memcached request as XDP sees it. */
function udpFrame(text: string): Buffer {
  const payload = Buffer.concat([Buffer.from([0, 1, 0, 0, 0, 1, 0, 0]), Buffer.from(text, "latin1")]);
  const framer = new Framer(256);
  const client = { ip: 0x0a000001, port: 5_555 };
  const server = { ip: 0x0a000002, port: 11_211 };
  const length = framer.udp(payload, payload.length, client, server, true);
  return Buffer.from(framer.bytes.subarray(0, length));
}

function u32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

/** A program on an engine of ours, its packet in place. */
class Subject {
  readonly #loaded: LoadedProgram;
  readonly #ctx: number;
  readonly #expected: number;

  constructor({ object, program, packet: bytes, expected }: Case, options: LoadOptions) {
    const parsed = parseObject(readFileSync(objectFile(object)));
    if (!parsed.ok) throw new Error(`${object}: ${parsed.error.message}`);
    const kernel = new Kernel();
    this.#loaded = kernel.loadObject(parsed.object, [program], options).get(program)!;
    const packet = kernel.createPacketBuffer(this.#loaded.type);
    this.#expected = expected;
    this.#ctx = packet.ctxAddress;
    for (const map of kernel.maps) {
      for (const [name, key, value] of presets(bytes)) if (map.def.name === name) map.set(key, value);
    }
    packet.reset(bytes);
  }

  /** @returns nanoseconds a run */
  time(runs: number): number {
    let retval = 0;
    const start = process.cpuUsage();
    for (let i = 0; i < runs; i++) retval = this.#loaded.run(this.#ctx);
    const { user, system } = process.cpuUsage(start);
    const ns = ((user + system) * 1000) / runs;
    if (retval !== this.#expected) {
      throw new Error(
        `returned ${retval}, not ${this.#expected}: ${this.#loaded.fault?.message ?? "no fault"}`,
      );
    }
    return ns;
  }

  get instructions(): number {
    const { runs, instructions } = this.#loaded.stats;
    return Math.round(instructions / runs);
  }
}

/** @param runs of each program a round, @param rounds of which the best counts */
export function benchmark(runs: number, rounds: number): Report {
  const rows: Row[] = [];
  let whyNoKernel: string | null = null;
  for (const row of CASES) {
    const linux = KernelProgRun.load(objectFile(row.object));
    try {
      if (typeof linux === "string") whyNoKernel = linux;
      else for (const preset of presets(row.packet)) linux.set(...preset);
      rows.push(measure(row, runs, rounds, typeof linux === "string" ? null : linux));
    } finally {
      if (typeof linux !== "string") linux.close();
    }
  }
  return { rows, whyNoKernel };
}

function measure(row: Case, runs: number, rounds: number, linux: KernelProgRun | null): Row {
  const { program, what, packet, expected } = row;
  const subjects = ENGINES.map(({ options }) => new Subject(row, options));
  const times = new Map<string, number[]>([["kernel", []]]);
  const note = (name: string, ns: number) => times.set(name, [...(times.get(name) ?? []), ns]);
  // The first round warms up: V8 compiles a hot function twice.
  for (let round = 0; round <= rounds; round++) {
    ENGINES.forEach(({ name, share }, i) => {
      const ns = subjects[i]!.time(Math.max(1, Math.round(runs * share)));
      if (round > 0) note(name, ns);
    });
    if (!linux || round === 0) continue;
    const { retval, ns } = linux.run(program, packet, runs);
    if (retval !== expected) throw new Error(`the kernel's ${program} returned ${retval}, not ${expected}`);
    note("kernel", ns);
  }
  const best = (name: string): number => Math.min(...(times.get(name) ?? []));
  return {
    what,
    instructions: subjects[0]!.instructions,
    ns: {
      kernel: linux ? best("kernel") : null,
      jit: best("jit"),
      "jit, no counts": best("jit, no counts"),
      interpreter: best("interpreter"),
    },
  };
}

export function format({ rows, whyNoKernel }: Report): string {
  const cells = (list: readonly string[]) =>
    list.map((cell, i) => (i === 0 ? cell.padEnd(22) : cell.padStart(15))).join("");
  const ns = (value: number | null) =>
    value === null ? "-" : `${value < 10_000 ? value.toFixed(1) : Math.round(value)} ns`;
  const lines = [
    cells([
      "one run",
      "instructions",
      "Linux",
      ...ENGINES.map(({ name }) => name),
      "jit / Linux",
      "cost of counts",
    ]),
  ];
  for (const { what, instructions, ns: by } of rows) {
    const ratio = by.kernel === null ? "-" : (by.jit / by.kernel).toFixed(2);
    const counts = `${((by.jit / by["jit, no counts"] - 1) * 100).toFixed(0)} %`;
    lines.push(
      cells([
        what,
        String(instructions),
        ns(by.kernel),
        ...ENGINES.map(({ name }) => ns(by[name])),
        ratio,
        counts,
      ]),
    );
  }
  if (whyNoKernel !== null) lines.push(`Linux was not asked: ${whyNoKernel}`);
  return `${lines.join("\n")}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { runs: { type: "string" }, rounds: { type: "string" } } });
  process.stdout.write(format(benchmark(Number(values.runs ?? 100_000), Number(values.rounds ?? 20))));
}
