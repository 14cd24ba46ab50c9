/**
 * `bmc exec`: the plugin protocol of the public bpf_conformance suite. Bytecode as base16 on stdin, memory
 * as base16 in the first argument; prints r0. Unverified by nature, so every access is checked. A suite
 * calls it hundreds of times: only the engine asked for is loaded.
 */
import { parseArgs } from "node:util";
import { runBare } from "../bpf/bare-run.ts";
import type { CompileInput, EngineName, Executable } from "../bpf/engine.ts";
import { Refusal, UsageError } from "./exit.ts";
import { parseHex } from "./hex.ts";
import { readStdin } from "./input.ts";

const HELP = `usage: bmc exec [MEMORY] [--engine jit|interpreter] < PROGRAM

Runs eBPF bytecode given as base16 on stdin. MEMORY, base16 too, is what r1 points at; r2 is its length;
both are 0 without it. Prints r0 in hexadecimal. The program is not verified: each access is checked as it
happens, and a stray one ends the run with a message and exit code 1.
`;

type Make = (input: CompileInput) => Executable;

const ENGINES: Readonly<Record<EngineName, () => Promise<Make>>> = {
  jit: async () => {
    const { compileProgram } = await import("../bpf/jit/compile.ts");
    return (input) => compileProgram(input);
  },
  interpreter: async () => {
    const { InterpretedProgram } = await import("../bpf/interpreter.ts");
    return (input) => new InterpretedProgram(input);
  },
};

export async function run(argv: string[]): Promise<number> {
  const { values, positionals } = parse(argv);
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const engine = values.engine ?? "jit";
  if (!Object.hasOwn(ENGINES, engine)) {
    throw new UsageError(`--engine ${engine}: it must be jit or interpreter`);
  }
  if (positionals.length > 1) throw new UsageError(`one MEMORY argument at most, not ${positionals.length}`);
  const memory = parseHex(positionals[0] ?? "", "MEMORY");
  const bytecode = parseHex(Buffer.from(readStdin()).toString("latin1"), "the program on stdin");
  const outcome = runBare(bytecode, memory, await ENGINES[engine as EngineName]());
  if (!outcome.ok) throw new Refusal(outcome.message);
  process.stdout.write(`${outcome.r0.toString(16)}\n`);
  return 0;
}

function parse(argv: string[]) {
  try {
    return parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        engine: { type: "string" },
        // What `bmc run` has to ask for is what exec always does; accepted so that both take the same flags.
        "no-verify": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new UsageError(`${(error as Error).message} (see 'bmc exec --help')`);
  }
}
