/** What the worker answers: assembling, loading objects, verifying, running. Pure, so that tests call it too. */
import { type AssemblyError, assemble } from "../../bpf/assembler.ts";
import { type ParseObjectOptions, parseObject } from "../../bpf/elf/object.ts";
import { formatListing, listProgram } from "../../bpf/listing.ts";
import type { Program } from "../../bpf/program.ts";
import { verify } from "../../bpf/verifier/verify.ts";
import type { Failed, Reply, Request, Source } from "./protocol.ts";
import { runProgram } from "./run-program.ts";

type Read = { readonly program: Program; readonly lineOfSlot: readonly number[] };

export function answer(request: Request): Reply {
  if (request.kind === "open") return open(request.bytes, request.type ? { type: request.type } : {});
  const read = readSource(request.source);
  if ("kind" in read) return read;
  const { program, lineOfSlot } = read;
  if (request.kind === "verify") {
    const verdict = verify(program, { ...request.options, logLevel: 2 });
    return { kind: "verified", type: program.type, verdict, lineOfSlot };
  }
  try {
    return { kind: "ran", result: runProgram(program, request.packet, request.seeds), lineOfSlot };
  } catch (error) {
    return failed(error instanceof Error ? error.message : String(error));
  }
}

function open(bytes: Uint8Array, options: ParseObjectOptions): Reply {
  const parsed = parseObject(bytes, options);
  if (!parsed.ok) return failed(parsed.error.message);
  const programs = parsed.object.programs.map((program) => {
    const { name, type } = program;
    return { name, type, text: textOf(program) };
  });
  return { kind: "opened", programs };
}

function textOf(program: Program): string {
  const listed = listProgram(program);
  return listed.ok ? formatListing(listed.listing) : `; ${listed.error.message}`;
}

function readSource(source: Source): Read | Failed {
  if (source.kind === "text") {
    const result = assemble(source.text);
    return result.ok ? result : failed("the text is not a program yet", result.errors);
  }
  const parsed = parseObject(source.bytes);
  if (!parsed.ok) return failed(parsed.error.message);
  const program = parsed.object.programs.find(({ name }) => name === source.program);
  if (!program) return failed(`the object has no program '${source.program}'`);
  // The listing assembles to the same slots, which tells their lines; C lines come from the object.
  const listing = assemble(textOf(program));
  return { program, lineOfSlot: listing.ok ? listing.lineOfSlot : [] };
}

function failed(message: string, errors: readonly AssemblyError[] = []): Failed {
  return { kind: "failed", message, errors };
}
