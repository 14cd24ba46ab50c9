/** `bmc asm`: assembly text to bytecode. */
import { writeFileSync } from "node:fs";
import { parseArguments } from "./arguments.ts";
import { UsageError } from "./exit.ts";
import { toHex } from "./hex.ts";
import { inputName, readInput } from "./input.ts";
import { assembleText } from "./program-file.ts";

const HELP = `usage: bmc asm FILE.s|- [-o FILE.bin] [--hex]

Assembles eBPF in the syntax the kernel verifier and llvm-objdump print (docs/assembly.md). Writes the
bytecode to FILE.bin, or to stdout; --hex writes base16 text, which is also what a terminal gets.
'bmc disasm' turns it back.
`;

export function run(argv: string[]): number {
  const parsed = parseArguments("asm", HELP, argv, {
    output: { type: "string", short: "o" },
    hex: { type: "boolean" },
  });
  if (!parsed) return 0;
  const [path, ...rest] = parsed.positionals;
  if (path === undefined || rest.length > 0) throw new UsageError("asm takes one FILE.s, or - for stdin");
  const { bytecode } = assembleText(inputName(path), readInput(path));
  const { output, hex } = parsed.values;
  const wantsText = hex === true || (output === undefined && process.stdout.isTTY === true);
  const result = wantsText ? `${toHex(bytecode)}\n` : bytecode;
  if (output === undefined) process.stdout.write(result);
  else writeOutput(output, result);
  return 0;
}

function writeOutput(path: string, data: string | Uint8Array): void {
  try {
    writeFileSync(path, data);
  } catch (cause) {
    throw new UsageError(`cannot write ${path}: ${(cause as NodeJS.ErrnoException).code ?? cause}`, {
      cause,
    });
  }
}
