#!/usr/bin/env node
/**
 * The `bmc` command. Each subcommand is one file under cli/, loaded only when asked for: `bmc exec` is
 * called hundreds of times by conformance suites and must start fast.
 */
import { createRequire } from "node:module";

type Command = {
  readonly summary: string;
  /** @returns the exit code */
  readonly load: () => Promise<{ run: (argv: string[]) => Promise<number> | number }>;
};

const COMMANDS: Readonly<Record<string, Command>> = {
  serve: { summary: "serve keys over HTTP, hot ones at the hook", load: () => import("./cli/serve.ts") },
  stats: { summary: "show what a running service's programs counted", load: () => import("./cli/stats.ts") },
  verify: { summary: "prove a program safe, or say why it is not", load: () => import("./cli/verify.ts") },
  asm: { summary: "assemble eBPF text to bytecode", load: () => import("./cli/asm.ts") },
  disasm: { summary: "list a program's instructions", load: () => import("./cli/disasm.ts") },
  run: { summary: "run a program over a packet", load: () => import("./cli/run.ts") },
  advise: { summary: "say whether offloading pays for a workload", load: () => import("./cli/advise.ts") },
  audit: { summary: "list a program's copies and time per verdict", load: () => import("./cli/audit.ts") },
  simulate: { summary: "run an experiment in virtual time", load: () => import("./cli/simulate.ts") },
  exec: { summary: "run bare bytecode, as bpf_conformance asks", load: () => import("./cli/exec.ts") },
};

function usage(): string {
  const rows = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`);
  return `usage: bmc COMMAND [...]\n\n${rows.join("\n")}\n\n'bmc COMMAND --help' says more.\n`;
}

async function main(argv: string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    process.stdout.write(usage());
    return name === undefined ? 2 : 0;
  }
  if (name === "--version" || name === "-v") {
    const { version } = createRequire(import.meta.url)("../package.json") as { version: string };
    process.stdout.write(`${version}\n`);
    return 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) {
    process.stderr.write(`bmc: unknown command '${name}'; known: ${Object.keys(COMMANDS).join(", ")}\n`);
    return 2;
  }
  const { run } = await command.load();
  return run(rest);
}

// The reader of a pipe may stop before the end, as head does.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit();
  throw error;
});

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    const known = error instanceof Error && "exitCode" in error;
    const text = error instanceof Error ? (known ? error.message : error.stack) : String(error);
    process.stderr.write(`bmc: ${text}\n`);
    process.exitCode = known ? Number(error.exitCode) : 1;
  },
);
