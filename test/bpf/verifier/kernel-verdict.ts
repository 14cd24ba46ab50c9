/** The real kernel's verdict on a Program, through the oracle: accepted or not, log and load time. */
import { readFileSync } from "node:fs";
import { decode, encode } from "../../../src/bpf/codec.ts";
import { isAbsentKfunc, KFUNCS, kfuncById } from "../../../src/bpf/helpers/kfuncs.ts";
import { LINUX_MAP_TYPES, type MapDef, type Program } from "../../../src/bpf/program.ts";
import { linuxOracle } from "../../oracle/linux-oracle.ts";
import { programBtf } from "../../oracle/program-btf.ts";

export type KernelVerdict = {
  readonly accepted: boolean;
  /** -errno of the load. */
  readonly error: number;
  readonly loadNs: number;
  readonly log: readonly string[];
};

/** Nobody: without any capability, where the kernel allows that at all. */
export type Who = "root" | "nobody";

/** enum bpf_prog_type and expected attach type. */
const TYPES = {
  socket_filter: [1, 0],
  tc: [3, 0],
  xdp: [6, 37],
  sk_skb: [14, 5],
} as const;
const RDONLY_PROG = 1 << 7;

export function hex(bytes: Uint8Array): string {
  return bytes.length === 0 ? "-" : Buffer.from(bytes).toString("hex");
}

export function createLines(map: MapDef): string[] {
  const id = LINUX_MAP_TYPES.find((row) => row.name === map.type)!.id;
  const flags = map.flags | (map.readOnlyForPrograms ? RDONLY_PROG : 0);
  const size = `${id} ${map.keyBytes} ${map.valueBytes} ${map.maxEntries}`;
  return [
    ...(map.inner ? [...createLines(map.inner), "inner"] : []),
    map.spinLockOffset === undefined ? `map ${size} ${flags}` : `lockmap ${size} ${map.spinLockOffset}`,
  ];
}

export function mapLines(program: Program): string[] {
  return program.maps.flatMap((map, index) => {
    const lines = createLines(map);
    if (map.initialValue && map.valueBytes < 60_000)
      lines.push(`set ${index} 00000000 ${hex(map.initialValue)} 0`);
    if (map.readOnlyForPrograms) lines.push(`freeze ${index}`);
    return lines;
  });
}

/** Loads the program; with BTF where it has functions, as the kernel wants it for some of them. */
export function verifyLines(program: Program, level: number, who: Who = "root"): string[] {
  const [type, attach] = TYPES[program.type];
  const load = `verify ${level} ${type} ${attach} ${hex(forThisKernel(program.bytecode))}`;
  // BTF is for CAP_BPF, as functions are.
  if (program.subprograms.length === 0 || who === "nobody") return [load];
  const { btf, funcInfo } = programBtf(program);
  return [`btf ${hex(btf)} ${hex(funcInfo)}`, load];
}

/** libbpf's number for a call of a weak function that is not there (POISON_CALL_KFUNC_BASE). */
const POISON_CALL = 2_002_000_000;

/** Calls of kernel functions by the running kernel's numbers instead of ours. */
export function forThisKernel(bytecode: Uint8Array): Uint8Array {
  const decoded = decode(bytecode);
  if (!decoded.ok) return bytecode;
  return encode(
    decoded.slots.map((insn) => {
      if (insn?.kind !== "call" || insn.target !== "kfunc") return insn;
      const name = kfuncById(insn.id)?.name;
      if (name) return { kind: "call", target: "kfunc", id: kernelNumber(name) };
      return isAbsentKfunc(insn.id) ? { kind: "call", target: "helper", id: POISON_CALL } : insn;
    }),
  );
}

let kernelNumbers: ReadonlyMap<string, number> | null = null;

function kernelNumber(name: string): number {
  kernelNumbers ??= readKernelNumbers();
  return kernelNumbers.get(name) ?? 0;
}

/** BTF ids of our kernel functions, walked from the 12 bytes a type begins with (<linux/btf.h>). */
function readKernelNumbers(): Map<string, number> {
  const btf = readFileSync("/sys/kernel/btf/vmlinux");
  const word = (at: number) => btf.readUInt32LE(at);
  const types = word(4) + word(8);
  const strings = word(4) + word(16);
  const wanted = new Map(KFUNCS.map(({ name }) => [name as string, 0]));
  const FUNC = 12;
  let id = 1;
  for (let at = types; at < types + word(12); id++) {
    const info = word(at + 4);
    const kind = (info >>> 24) & 0x1f;
    if (kind === FUNC) {
      const from = strings + word(at);
      const name = btf.toString("latin1", from, btf.indexOf(0, from));
      if (wanted.has(name)) wanted.set(name, id);
    }
    at += 12 + (BYTES_BEHIND[kind]?.(info & 0xffff) ?? 0);
  }
  return wanted;
}

/** What follows a type, by its kind. */
const BYTES_BEHIND: Readonly<Record<number, (count: number) => number>> = {
  1: () => 4, // int
  3: () => 12, // array
  4: (count) => 12 * count, // struct
  5: (count) => 12 * count, // union
  6: (count) => 8 * count, // enum
  13: (count) => 8 * count, // func_proto
  14: () => 4, // var
  15: (count) => 12 * count, // datasec
  17: () => 4, // decl_tag
  19: (count) => 12 * count, // enum64
};

/** One process for all programs. @throws where there is no oracle */
export function kernelVerdicts(programs: readonly Program[], level = 1, who: Who = "root"): KernelVerdict[] {
  const oracle = linuxOracle();
  if (typeof oracle === "string") throw new Error(oracle);
  const blocks = programs.map((program) => [...mapLines(program), ...verifyLines(program, level, who)]);
  return (who === "root" ? oracle.ask(blocks) : oracle.askUnprivileged(blocks)).map(readVerdict);
}

export function readVerdict(lines: readonly string[]): KernelVerdict {
  const failedMap = lines.find((line) => line.startsWith("map -"));
  if (failedMap) throw new Error(`the kernel refuses a map: ${failedMap}`);
  const failedBtf = lines.find((line) => line.startsWith("btf -"));
  if (failedBtf) throw new Error(`the kernel refuses BTF: ${failedBtf}`);
  const [, error = "-1", ns = "0"] = (lines.find((line) => line.startsWith("verified ")) ?? "").split(" ");
  const log = lines.filter((line) => line.startsWith("| ")).map((line) => line.slice(2));
  return { accepted: error === "0", error: Number(error), loadNs: Number(ns), log };
}
