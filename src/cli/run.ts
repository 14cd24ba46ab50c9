/**
 * `bmc run`: one program over one packet in our own kernel, in the shape of `bpftool prog run`. The program
 * passes the verifier first; --no-verify is the only way around it, and then every access is checked.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { SK_ACTION, TC_ACTION, XDP_ACTION } from "../bpf/context.ts";
import { ENGINES } from "../bpf/engine.ts";
import { Kernel, type LoadedProgram } from "../bpf/kernel.ts";
import { LoadError } from "../bpf/load-error.ts";
import { roundUp8 } from "../bpf/maps/define.ts";
import { type BpfMap, ERRNO } from "../bpf/maps/map.ts";
import { PROGRAM_TYPES, type ProgramObject, type ProgramType } from "../bpf/program.ts";
import { type TestRunResult, testRun } from "../bpf/test-run.ts";
import { oneOf, parseArguments } from "./arguments.ts";
import { Refusal, UsageError } from "./exit.ts";
import { parseHex, toHex } from "./hex.ts";
import { readInput } from "./input.ts";
import { pickPrograms, readPrograms } from "./program-file.ts";

/** Longer arrays are listed without their zero elements. */
const WHOLE_ARRAY_ENTRIES = 256;

const HELP = `usage: bmc run FILE.o|FILE.s --data-in PKT [--program NAME] [--type TYPE] [--data-out F]
         [--ctx-in F] [--ctx-out F] [--map NAME=KEYHEX:VALUEHEX ...] [--dump-maps] [--repeat N]
         [--engine jit|interpreter] [--no-verify] [--json]

Runs one program over the bytes of PKT ('-': stdin) and prints its return value and the mean time of a
run, as 'bpftool prog run' does. --data-out and --ctx-out take what the packet and the context became.

  --program NAME   which program of the file; needed when it has several
  --type TYPE      ${PROGRAM_TYPES.join(", ")}: for sections whose name does not say it
  --ctx-in F       struct xdp_md or struct __sk_buff to start from
  --map N=K:V      an entry to put in first, base16; into a program array: a program's name as V
  --dump-maps      list the maps' entries afterwards; of arrays over ${WHOLE_ARRAY_ENTRIES} entries those that are not zero
  --repeat N       run N times, each from the same packet
  --no-verify      skip the verifier; every access is then checked as it happens
`;

const MAX_REPEAT = 1_000_000_000;

const VERDICTS: Readonly<Record<ProgramType, { prefix: string; names: Readonly<Record<string, number>> }>> = {
  xdp: { prefix: "XDP_", names: XDP_ACTION },
  tc: { prefix: "TC_ACT_", names: TC_ACTION },
  sk_skb: { prefix: "SK_", names: SK_ACTION },
  socket_filter: { prefix: "", names: {} },
};

export function run(argv: string[]): number {
  const parsed = parseArguments("run", HELP, argv, {
    program: { type: "string" },
    type: { type: "string" },
    "data-in": { type: "string" },
    "data-out": { type: "string" },
    "ctx-in": { type: "string" },
    "ctx-out": { type: "string" },
    map: { type: "string", multiple: true },
    "dump-maps": { type: "boolean" },
    repeat: { type: "string" },
    engine: { type: "string" },
    "no-verify": { type: "boolean" },
    json: { type: "boolean" },
  });
  if (!parsed) return 0;
  const { values, positionals } = parsed;
  const [path, ...rest] = positionals;
  if (path === undefined || rest.length > 0) throw new UsageError("run takes one FILE.o or FILE.s");
  const dataIn = values["data-in"];
  if (dataIn === undefined) throw new UsageError("run needs --data-in PKT: the packet to run over");
  const type = oneOf("--type", values.type, PROGRAM_TYPES);
  const engine = oneOf("--engine", values.engine, ENGINES) ?? "jit";
  const repeat = repeatOf(values.repeat);
  const data = Uint8Array.from(readInput(dataIn));
  const context = values["ctx-in"] === undefined ? undefined : Uint8Array.from(readFile(values["ctx-in"]));

  const object = readPrograms(path, type ? { type } : {});
  const name = programName(object, values.program);
  const trace: string[] = [];
  const kernel = new Kernel({ onTrace: (line) => trace.push(line) });
  // Before the load: an unverified program may touch the buffers it knows of then.
  const programType = pickPrograms(object, name)[0]!.type;
  const packet = kernel.createPacketBuffer(programType);
  const loaded = load(kernel, object, name, { engine, verify: values["no-verify"] !== true });
  for (const preset of values.map ?? []) presetEntry(kernel, object, loaded, preset);

  let result: TestRunResult;
  try {
    result = testRun(kernel, loaded.get(name)!, packet, { data, repeat, ...(context && { context }) });
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
  if (result.fault) throw new Refusal(`program '${name}' faulted: ${result.fault.message}`);
  if (values["data-out"] !== undefined) writeFile(values["data-out"], result.data);
  if (values["ctx-out"] !== undefined) writeFile(values["ctx-out"], result.context);
  const report = { name, type: programType, engine, repeat, result, trace };
  const maps = values["dump-maps"] ? [...kernel.maps].map(dumpOf) : null;
  process.stdout.write(values.json ? jsonReport(kernel, report, maps) : textReport(report, maps));
  return 0;
}

type Report = {
  name: string;
  type: ProgramType;
  engine: string;
  repeat: number;
  result: TestRunResult;
  trace: readonly string[];
};
type MapDump = {
  name: string;
  type: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  entries: { key: string; value: string }[];
};

function programName(object: ProgramObject, given: string | undefined): string {
  const [only, ...more] = pickPrograms(object, given);
  if (!only) throw new UsageError("the file holds no program that can be run");
  if (given === undefined && more.length > 0) {
    const names = object.programs.map((program) => program.name).join(", ");
    throw new UsageError(`the file holds several programs; pick one with --program: ${names}`);
  }
  return only.name;
}

/** The program and those its program arrays start with, by name. */
function load(
  kernel: Kernel,
  object: ProgramObject,
  name: string,
  options: { engine: (typeof ENGINES)[number]; verify: boolean },
): Map<string, LoadedProgram> {
  try {
    return kernel.loadObject(object, [name], options);
  } catch (error) {
    if (!(error instanceof LoadError)) throw error;
    const log = error.log.trimEnd();
    throw new Refusal(log === "" ? error.message : `${error.message}\n${log}`);
  }
}

function presetEntry(
  kernel: Kernel,
  object: ProgramObject,
  loaded: Map<string, LoadedProgram>,
  preset: string,
): void {
  const [, mapName, keyHex, valueText] = /^([^=]+)=([^:]*):(.*)$/s.exec(preset) ?? [];
  if (mapName === undefined || keyHex === undefined || valueText === undefined) {
    throw new UsageError(`--map ${preset}: it must be NAME=KEYHEX:VALUEHEX`);
  }
  const def = object.maps.find((candidate) => candidate.name === mapName);
  if (!def) {
    const known = object.maps.map((candidate) => candidate.name).join(", ") || "none";
    throw new UsageError(`--map ${mapName}: the file has no such map; it has ${known}`);
  }
  const map = kernel.createMap(def);
  const key = sized(parseHex(keyHex, `--map ${mapName} key`), def.keyBytes, `--map ${mapName}: the key`);
  const value =
    def.type === "prog_array"
      ? programValue(kernel, object, loaded, valueText)
      : mapValue(map, valueText, mapName);
  const errno = map.set(key, value);
  if (errno !== 0) throw new UsageError(`--map ${preset}: the map refuses it with ${errnoName(-errno)}`);
}

function programValue(
  kernel: Kernel,
  object: ProgramObject,
  loaded: Map<string, LoadedProgram>,
  name: string,
): Uint8Array {
  const known = [...loaded.values()][0]!;
  if (!loaded.has(name)) {
    pickPrograms(object, name);
    const verify = known.verified;
    for (const [key, program] of load(kernel, object, name, { engine: known.engine, verify })) {
      if (!loaded.has(key)) loaded.set(key, program);
    }
  }
  const value = new Uint8Array(4);
  new DataView(value.buffer).setUint32(0, loaded.get(name)!.id, true);
  return value;
}

/** Of a per-CPU map the value may be given once: it is padded as the kernel's own are. */
function mapValue(map: BpfMap, text: string, name: string): Uint8Array {
  const { def } = map;
  const value = sized(parseHex(text, `--map ${name} value`), def.valueBytes, `--map ${name}: the value`);
  if (!def.type.startsWith("percpu_")) return value;
  const padded = new Uint8Array(roundUp8(def.valueBytes));
  padded.set(value);
  return padded;
}

function sized(bytes: Uint8Array, expected: number, what: string): Uint8Array {
  if (bytes.length === expected) return bytes;
  throw new UsageError(`${what} has ${bytes.length} bytes; the map's has ${expected}`);
}

function errnoName(errno: number): string {
  const known = Object.entries(ERRNO).find(([, value]) => value === errno);
  return known ? known[0] : `errno ${errno}`;
}

function repeatOf(given: string | undefined): number {
  if (given === undefined) return 1;
  const count = Number(given);
  if (Number.isInteger(count) && count >= 1 && count <= MAX_REPEAT) return count;
  throw new UsageError(`--repeat ${given}: it must be a whole number from 1 to ${MAX_REPEAT}`);
}

function dumpOf(map: BpfMap): MapDump {
  const { def } = map;
  const isLongArray = def.type.endsWith("array") && def.maxEntries > WHOLE_ARRAY_ENTRIES;
  const entries: MapDump["entries"] = [];
  for (const [key, value] of map.entries()) {
    if (isLongArray && value.every((byte) => byte === 0)) continue;
    entries.push({ key: toHex(key), value: toHex(value) });
  }
  return {
    name: def.name,
    type: def.type,
    keySize: def.keyBytes,
    valueSize: def.valueBytes,
    maxEntries: def.maxEntries,
    entries,
  };
}

function verdictName(type: ProgramType, retval: number): string | null {
  const { prefix, names } = VERDICTS[type];
  const found = Object.entries(names).find(([, value]) => value === (retval | 0));
  return found ? prefix + found[0].toUpperCase() : null;
}

function jsonReport(kernel: Kernel, report: Report, maps: readonly MapDump[] | null): string {
  const { result, name, type, engine, repeat, trace } = report;
  const { redirectTarget, redirectMap } = kernel.rt;
  const json = {
    program: name,
    type,
    engine,
    repeat,
    retval: result.retval,
    verdict: verdictName(type, result.retval),
    duration: result.nsPerRun,
    instructions: result.instructions,
    data_out: toHex(result.data),
    data_size_out: result.data.length,
    ctx_out: toHex(result.context),
    ...(redirectTarget !== 0 && {
      redirect: { target: redirectTarget, map: redirectMap?.def.name ?? null },
    }),
    ...(trace.length > 0 && { trace }),
    ...(maps && { maps }),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

function textReport({ result, type, trace }: Report, maps: readonly MapDump[] | null): string {
  const lines = [`Return value: ${result.retval}, duration (average): ${result.nsPerRun}ns`];
  const verdict = verdictName(type, result.retval);
  const what = verdict ? `${verdict}, ` : "";
  lines.push(`${what}${result.instructions} instructions, ${result.data.length} bytes out`);
  for (const line of trace) lines.push(`trace: ${line}`);
  for (const map of maps ?? []) {
    lines.push(`map ${map.name} (${map.type}): ${map.entries.length} entries`);
    for (const { key, value } of map.entries) lines.push(`  key: ${spaced(key)}  value: ${spaced(value)}`);
  }
  return `${lines.join("\n")}\n`;
}

function spaced(hex: string): string {
  return hex.replace(/..(?=.)/g, "$& ");
}

function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new UsageError(`cannot read ${path}: ${(cause as NodeJS.ErrnoException).code ?? cause}`);
  }
}

function writeFile(path: string, data: Uint8Array): void {
  try {
    writeFileSync(path, data);
  } catch (cause) {
    throw new UsageError(`cannot write ${path}: ${(cause as NodeJS.ErrnoException).code ?? cause}`);
  }
}
