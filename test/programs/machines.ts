/**
 * The two machines every test of src/programs runs on: our own (JIT) and the running Linux kernel, driven by
 * the same calls. The kernel's is a small libbpf program, built when the tests start; where gcc, libbpf or
 * bpf() are missing, `whyNoLinux` says so and its tests are skipped.
 */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseObject } from "../../src/bpf/elf/object.ts";
import { Kernel, type LoadedProgram } from "../../src/bpf/kernel.ts";
import type { PacketBuffer } from "../../src/bpf/packet-buffer.ts";
import { testRun } from "../../src/bpf/test-run.ts";
import { fnv1a, HOT_ENTRY, HOT_ENTRY_BYTES, STATE_VALID } from "../../src/tiers/hot/layout.ts";
import {
  HOT_POLICIES,
  type HotPolicy,
  LRU_SLOTS_PER_ENTRY,
  POLICY_TABLE,
} from "../../src/tiers/hot/policy.ts";
import { compiled } from "../support/compiled.ts";

export const ENTRIES = 16_384;
/** Linux test-runs a tc program on at most one page, less headroom and skb_shared_info. */
export const LINUX_SKB_MAX_BYTES = 3_600;
export const objectPath = (name: string) =>
  fileURLToPath(new URL(`../../src/programs/${name}.bpf.o`, import.meta.url));

export type Outcome = { verdict: number; packet: Buffer };

export interface Machine {
  /** What its object was built for. */
  readonly policy: HotPolicy;
  run(program: string, packet: Uint8Array): Promise<Outcome>;
  set(map: string, key: Uint8Array, value: Uint8Array): Promise<void>;
  /** The value, per-CPU ones summed up as u64 by nobody: CPU after CPU; null when absent. */
  get(map: string, key: Uint8Array): Promise<Buffer | null>;
  nowNs(): Promise<bigint>;
  close(): void;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** A program's object under each policy: `memcached`, `memcached_set`, `memcached_lru`. */
export const variantsOf = (name: string) =>
  HOT_POLICIES.map((policy) => ({ policy, object: `${name}${POLICY_TABLE[policy].objectSuffix}` }));

function policyOf(object: string): HotPolicy {
  return HOT_POLICIES.findLast((policy) => object.endsWith(POLICY_TABLE[policy].objectSuffix)) ?? "direct";
}

export type EntryOptions = {
  flags?: number;
  expiresNs?: bigint;
  /** The key in whose slot it lies, where slots are shared. */
  slotOf?: string;
  hash?: number;
  way?: number;
};

/** Puts an item into the hot tier as a fill would. `slotOf`/`hash` make collisions. */
export async function fill(
  machine: Machine,
  key: string,
  value: Uint8Array,
  options: EntryOptions = {},
): Promise<void> {
  const hash = options.hash ?? fnv1a(key as never);
  const entry = Buffer.alloc(HOT_ENTRY_BYTES);
  entry.writeUInt32LE(hash, HOT_ENTRY.hash);
  entry.writeBigUInt64LE(options.expiresNs ?? 0n, HOT_ENTRY.expiresNs);
  entry.writeUInt32LE(options.flags ?? 0, HOT_ENTRY.flags);
  entry.writeUInt16LE(value.length, HOT_ENTRY.valueLen);
  entry.writeUInt8(key.length, HOT_ENTRY.keyLen);
  entry.writeUInt8(STATE_VALID, HOT_ENTRY.state);
  entry.write(key, HOT_ENTRY.key, "latin1");
  entry.set(value, HOT_ENTRY.value);
  const { entryMap, ways } = POLICY_TABLE[machine.policy];
  if (machine.policy === "lru") {
    const slot = await machine.get("hot_guard", u32(hash % (ENTRIES * LRU_SLOTS_PER_ENTRY)));
    entry.set(slot!.subarray(HOT_ENTRY.generation, HOT_ENTRY.writers), HOT_ENTRY.generation);
    await machine.set(entryMap.name, u32(hash), entry);
    return;
  }
  const slot = fnv1a((options.slotOf ?? key) as never) % (ENTRIES / ways);
  await machine.set(entryMap.name, u32(slot * ways + (options.way ?? 0)), entry);
}

/** u64 counters of `stats`, summed over CPUs. */
export async function counters(machine: Machine): Promise<number[]> {
  const bytes = await machine.get("stats", u32(0));
  const sums = Array<number>(64).fill(0);
  if (bytes === null) return sums;
  for (let at = 0; at + 8 <= bytes.length; at += 8) sums[(at / 8) % 64]! += Number(bytes.readBigUInt64LE(at));
  return sums;
}

class Emulated implements Machine {
  readonly policy: HotPolicy;
  readonly #kernel = new Kernel();
  readonly #programs: Map<string, LoadedProgram>;
  readonly #packets: Record<"xdp" | "tc", PacketBuffer>;

  constructor(object: string) {
    this.policy = policyOf(object);
    const parsed = parseObject(readFileSync(objectPath(object)));
    if (!parsed.ok) throw new Error(parsed.error.message);
    this.#packets = {
      xdp: this.#kernel.createPacketBuffer("xdp"),
      tc: this.#kernel.createPacketBuffer("tc"),
    };
    const names = parsed.object.programs.map((program) => program.name);
    this.#programs = this.#kernel.loadObject(parsed.object, names, { engine: "jit" });
  }

  async run(program: string, packet: Uint8Array): Promise<Outcome> {
    const loaded = this.#programs.get(program)!;
    const buffer = this.#packets[loaded.type as "xdp" | "tc"];
    const result = testRun(this.#kernel, loaded, buffer, { data: packet, repeat: 1 });
    if (result.fault) throw new Error(result.fault.message);
    return { verdict: result.retval | 0, packet: Buffer.from(result.data) };
  }

  #map(name: string) {
    for (const map of this.#kernel.maps) if (map.def.name === name) return map;
    throw new Error(`no map ${name}`);
  }

  async set(map: string, key: Uint8Array, value: Uint8Array): Promise<void> {
    const result = this.#map(map).set(key, value);
    if (result !== 0) throw new Error(`set ${map}: ${result}`);
  }

  async get(map: string, key: Uint8Array): Promise<Buffer | null> {
    const value = this.#map(map).get(key);
    return value === null ? null : Buffer.from(value);
  }

  async nowNs(): Promise<bigint> {
    return this.#kernel.rt.clockNs();
  }

  close(): void {}
}

const hex = (bytes: Uint8Array) => (bytes.length === 0 ? "-" : Buffer.from(bytes).toString("hex"));

class Linux implements Machine {
  readonly policy: HotPolicy;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: Interface;
  readonly #waiting: ((line: string | Error) => void)[] = [];
  /** Lines nobody has asked for yet: `info` prints several. */
  readonly #read: string[] = [];
  #errors = "";
  #ended = false;

  constructor(helper: string, object: string) {
    this.policy = policyOf(object);
    this.#child = spawn(helper);
    this.#lines = createInterface(this.#child.stdout);
    this.#lines.on("line", (line) => {
      const wake = this.#waiting.shift();
      if (wake) wake(line);
      else this.#read.push(line);
    });
    this.#child.stderr.on("data", (data) => {
      this.#errors += String(data);
    });
    this.#child.on("exit", () => {
      this.#ended = true;
      for (const wake of this.#waiting.splice(0)) wake(new Error(`kernel-run ended: ${this.#errors}`));
    });
    this.#child.stdin.on("error", () => {});
    this.#child.stdin.write(`load ${objectPath(object)}\n`);
  }

  #ask(command: string): Promise<string> {
    this.#child.stdin.write(`${command}\n`);
    return this.#next();
  }

  async run(program: string, packet: Uint8Array): Promise<Outcome> {
    const [verdict = "", data = ""] = (await this.#ask(`run ${program} ${hex(packet)}`)).split(" ");
    return { verdict: Number(verdict), packet: Buffer.from(data === "-" ? "" : data, "hex") };
  }

  async set(map: string, key: Uint8Array, value: Uint8Array): Promise<void> {
    this.#child.stdin.write(`set ${map} ${hex(key)} ${hex(value)}\n`);
  }

  async get(map: string, key: Uint8Array): Promise<Buffer | null> {
    const line = await this.#ask(`get ${map} ${hex(key)}`);
    return line === "-" ? null : Buffer.from(line, "hex");
  }

  async nowNs(): Promise<bigint> {
    return BigInt(await this.#ask("time"));
  }

  /** Program name, instructions, and instructions the kernel's verifier walked. */
  async info(): Promise<[name: string, instructions: number, walked: number][]> {
    const rows: [string, number, number][] = [];
    for (let line = await this.#ask("info"); line !== "."; line = await this.#next()) {
      const [name = "", instructions, walked] = line.split(" ");
      rows.push([name, Number(instructions), Number(walked)]);
    }
    return rows;
  }

  async #next(): Promise<string> {
    const read = this.#read.shift();
    if (read !== undefined) return read;
    if (this.#ended) throw new Error(`kernel-run has ended: ${this.#errors}`);
    const line = await new Promise<string | Error>((resolve) => this.#waiting.push(resolve));
    if (typeof line !== "string") throw line;
    return line;
  }

  close(): void {
    this.#child.stdin.end();
  }
}

let helper = "";
export const whyNoLinux: string | null = (() => {
  if (process.platform !== "linux") return "not Linux";
  if (process.getuid?.() !== 0) return "bpf() needs root";
  const program = compiled(fileURLToPath(new URL("kernel-run.c", import.meta.url)), ["-lbpf"]);
  if (program === null) return "no C compiler or libbpf here";
  helper = program;
  try {
    execFileSync(helper, { input: `load ${objectPath("memcached")}\n`, stdio: "pipe" });
    return null;
  } catch (error) {
    return `no bpf() here (${error instanceof Error ? error.message.split("\n")[0] : String(error)})`;
  }
})();

export function emulated(object: string): Machine {
  return new Emulated(object);
}

export function linux(object: string): Linux {
  return new Linux(helper, object);
}

/** For describe.each: both machines, or one and the reason for the other's absence. */
export const MACHINES: readonly { name: string; open: (object: string) => Machine; skip: boolean }[] = [
  { name: "our machine", open: emulated, skip: false },
  {
    name: whyNoLinux === null ? "Linux" : `Linux, skipped: ${whyNoLinux}`,
    open: linux,
    skip: whyNoLinux !== null,
  },
];

/** For describe.each: every policy's object of a program on both machines. */
export const variantMachines = (name: string) =>
  variantsOf(name).flatMap((variant) => MACHINES.map((machine) => ({ ...variant, ...machine })));
