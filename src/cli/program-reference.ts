/** Programs as `bmc serve` is told of them: FILE.o[:PROGRAM], and MAP[INDEX]=PROGRAM for tail calls. */
import { existsSync, readFileSync } from "node:fs";
import { parseObject } from "../bpf/elf/object.ts";
import type { MapDef, ProgramObject, ProgramType } from "../bpf/program.ts";
import type { TailCall } from "../tiers/hot/machine.ts";
import { Refusal, UsageError } from "./exit.ts";

/**
 * @param type what sections hold whose name says no type (BMC's own are such)
 * @throws Refusal when the file cannot be read or is no eBPF object
 */
export function readObject(path: string, type?: ProgramType): ProgramObject {
  if (!existsSync(path)) throw new Refusal(`cannot read ${path}: no such file`);
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new Refusal(`cannot read ${path}: ${(cause as NodeJS.ErrnoException).code ?? cause}`, { cause });
  }
  const parsed = parseObject(bytes, type ? { type } : {});
  if (!parsed.ok) throw new Refusal(`${path}: ${oneLine(parsed.error.message)}`);
  return parsed.object;
}

/** The same file read for another type: its programs take the maps of the first reading, as one loader's would. */
export function withMapsOf(object: ProgramObject, first: ProgramObject): ProgramObject {
  const shared = (def: MapDef): MapDef => first.maps.find((known) => known.name === def.name) ?? def;
  return {
    ...object,
    maps: object.maps.map(shared),
    programs: object.programs.map((program) => ({ ...program, maps: program.maps.map(shared) })),
  };
}

export type ProgramReference = { readonly path: string; readonly program: string | null };

/** A file whose name holds a colon is taken as it is. */
export function parseReference(text: string): ProgramReference {
  const colon = text.lastIndexOf(":");
  if (colon < 0 || existsSync(text)) return { path: text, program: null };
  return { path: text.slice(0, colon), program: text.slice(colon + 1) };
}

/**
 * The program a reference means: the one named, or the only one of its type that no program array names.
 * @throws Refusal listing what there is
 */
export function pickProgram(object: ProgramObject, reference: ProgramReference, type: ProgramType): string {
  const ofType = object.programs.filter((program) => program.type === type);
  const names = ofType.map((program) => program.name);
  const { path, program } = reference;
  const has = object.programs.map(({ name, section }) => `${name} (${section})`).join(", ") || "none";
  if (program !== null) {
    if (names.includes(program)) return program;
    throw new Refusal(`${path} has no ${type} program '${program}'; it has: ${has}`);
  }
  const targets = new Set(object.maps.flatMap((map) => map.initialPrograms ?? []));
  const entries = names.filter((name) => !targets.has(name));
  if (entries.length === 1) return entries[0] as string;
  const what = entries.length === 0 ? `no ${type} program to attach` : `several ${type} programs`;
  throw new Refusal(`${path} has ${what}; name one as ${path}:PROGRAM. It has: ${has}`);
}

/** @throws UsageError */
export function parseTailCall(text: string): TailCall {
  const match = /^([\w.]+)\[(\d{1,9})\]=([\w.]+)$/.exec(text);
  if (!match) throw new UsageError(`tail call '${text}': expected MAP[INDEX]=PROGRAM`);
  return { map: match[1] as string, index: Number(match[2]), program: match[3] as string };
}

export function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, " ");
}
