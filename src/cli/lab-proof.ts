/**
 * What the lab's upload goes through before it may be attached: read, its maps bound to those it will share,
 * every program it can reach verified. Pure, and run on a thread of its own (lab-prover.ts): nobody knows
 * beforehand how long a stranger's program takes to walk.
 */
import { assemble } from "../bpf/assembler.ts";
import { decode } from "../bpf/codec.ts";
import { parseObject } from "../bpf/elf/object.ts";
import type { MapDef, Program, ProgramObject } from "../bpf/program.ts";
import { explain } from "../bpf/verifier/explain.ts";
import { type Verdict, verify } from "../bpf/verifier/verify.ts";
import type { Upload } from "../http/lab/backend.ts";
import { bindShared } from "../tiers/hot/machine.ts";

/** Slots of one program: what the JIT compiles in a blink, on the thread that serves. */
const MAX_SLOTS = 32_768;

export type Question = { readonly upload: Upload; readonly sharedMaps: readonly MapDef[] };
/** The program asked for, the object it is of, and the verdicts of all it can reach: all accepted. */
export type Proof = {
  readonly kind: "proved";
  readonly program: Program;
  readonly object: ProgramObject;
  readonly verdicts: ReadonlyMap<Program, Verdict>;
};
export type Refused = { readonly kind: "refused"; readonly why: string };

export function prove({ upload, sharedMaps }: Question): Proof | Refused {
  const read = readUpload(upload);
  if ("why" in read) return read;
  const object = bound(read, sharedMaps);
  const names = object.programs.map(({ name }) => name);
  const wanted = upload.kind === "text" ? names[0] : upload.program;
  const program = object.programs.find(({ name }) => name === wanted);
  if (!program) {
    return refused(`the object has no program '${wanted}'; it has: ${names.join(", ") || "none"}`);
  }
  const verdicts = new Map<Program, Verdict>();
  for (const each of reached(object, program)) {
    const decoded = decode(each.bytecode);
    if (decoded.ok && decoded.slots.length > MAX_SLOTS) {
      return refused(
        `${each.name} has ${decoded.slots.length} instructions; at most ${MAX_SLOTS} are attached`,
      );
    }
    const verdict = verify(each);
    if (!verdict.accepted) return refused(explain(verdict).join("\n"));
    const [missing] = verdict.missingHelpers;
    if (missing) return refused(`${each.name} calls ${missing}, which this machine does not have`);
    verdicts.set(each, verdict);
  }
  return { kind: "proved", program, object, verdicts };
}

function readUpload(upload: Upload): ProgramObject | Refused {
  if (upload.kind === "text") {
    const result = assemble(upload.text);
    if (!result.ok) {
      const [{ line, column, message }] = result.errors;
      return refused(`line ${line}, column ${column}: ${message}`);
    }
    const { program } = result;
    return { programs: [program], maps: program.maps, license: program.license };
  }
  const parsed = parseObject(upload.bytes);
  return parsed.ok ? parsed.object : refused(parsed.error.message);
}

/** The verifier must judge the very maps the program will run with: their size may differ from the object's. */
function bound(object: ProgramObject, sharedMaps: readonly MapDef[]): ProgramObject {
  const bind = (def: MapDef) => bindShared(def, sharedMaps);
  const programs = object.programs.map((program) => ({ ...program, maps: program.maps.map(bind) }));
  return { ...object, programs, maps: object.maps.map(bind) };
}

/** The program, what it can tail-call, and the other half of a stream pair. */
function reached(object: ProgramObject, program: Program): Set<Program> {
  const found = new Set<Program>([program]);
  const other = otherHalf(object, program);
  if (other) found.add(other);
  for (const { maps } of found) {
    for (const name of maps.flatMap(({ initialPrograms }) => initialPrograms ?? [])) {
      const target = object.programs.find((candidate) => candidate.name === name);
      if (target) found.add(target);
    }
  }
  return found;
}

/** Of an sk_skb pair; null when the object has none, and the one in service stays. */
export function otherHalf(object: ProgramObject, program: Program): Program | null {
  if (program.type !== "sk_skb") return null;
  const wanted = program.attach === "stream_parser" ? "stream_verdict" : "stream_parser";
  return object.programs.find(({ type, attach }) => type === "sk_skb" && attach === wanted) ?? null;
}

function refused(why: string): Refused {
  return { kind: "refused", why };
}
