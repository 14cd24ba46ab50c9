/** The real kernel's verdict on a Program, through the oracle: accepted or not, log and load time. */
import { MAP_TYPES, type Program } from "../../../src/bpf/program.ts";
import { linuxOracle } from "../../oracle/linux-oracle.ts";

export type KernelVerdict = {
  readonly accepted: boolean;
  /** -errno of the load. */
  readonly error: number;
  readonly loadNs: number;
  readonly log: readonly string[];
};

/** enum bpf_prog_type and expected attach type. */
const TYPES = {
  socket_filter: [1, 0],
  tc: [3, 0],
  xdp: [6, 37],
  sk_skb: [14, 5],
} as const;
const RDONLY_PROG = 1 << 7;

function hex(bytes: Uint8Array): string {
  return bytes.length === 0 ? "-" : Buffer.from(bytes).toString("hex");
}

export function mapLines(program: Program): string[] {
  return program.maps.flatMap((map, index) => {
    const id = MAP_TYPES.find((row) => row.name === map.type)!.id;
    const flags = map.flags | (map.readOnlyForPrograms ? RDONLY_PROG : 0);
    const size = `${id} ${map.keyBytes} ${map.valueBytes} ${map.maxEntries}`;
    const lines = [
      map.spinLockOffset === undefined ? `map ${size} ${flags}` : `lockmap ${size} ${map.spinLockOffset}`,
    ];
    if (map.initialValue && map.valueBytes < 60_000)
      lines.push(`set ${index} 00000000 ${hex(map.initialValue)} 0`);
    if (map.readOnlyForPrograms) lines.push(`freeze ${index}`);
    return lines;
  });
}

export function verifyLine(program: Program, level: number): string {
  const [type, attach] = TYPES[program.type];
  return `verify ${level} ${type} ${attach} ${hex(program.bytecode)}`;
}

/** One process for all programs. @throws where there is no oracle */
export function kernelVerdicts(programs: readonly Program[], level = 1): KernelVerdict[] {
  const oracle = linuxOracle();
  if (typeof oracle === "string") throw new Error(oracle);
  return oracle
    .ask(programs.map((program) => [...mapLines(program), verifyLine(program, level)]))
    .map(readVerdict);
}

function readVerdict(lines: readonly string[]): KernelVerdict {
  const failedMap = lines.find((line) => line.startsWith("map -"));
  if (failedMap) throw new Error(`the kernel refuses a map: ${failedMap}`);
  const [, error = "-1", ns = "0"] = (lines.find((line) => line.startsWith("verified ")) ?? "").split(" ");
  const log = lines.filter((line) => line.startsWith("| ")).map((line) => line.slice(2));
  return { accepted: error === "0", error: Number(error), loadNs: Number(ns), log };
}
