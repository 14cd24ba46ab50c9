/** Argument parsing as every command wants it: node's parser, its errors as one line, `--help` shown. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { UsageError } from "./exit.ts";

type Options = NonNullable<ParseArgsConfig["options"]>;
type Config<T extends Options> = {
  args: string[];
  allowPositionals: true;
  options: T & { help: { type: "boolean"; short: "h" } };
};

/**
 * @returns null when `--help` was asked for and shown
 * @throws UsageError on an unknown flag or a missing value
 */
export function parseArguments<const T extends Options>(
  command: string,
  help: string,
  argv: string[],
  options: T,
): ReturnType<typeof parseArgs<Config<T>>> | null {
  try {
    const config: Config<T> = {
      args: argv,
      allowPositionals: true,
      options: { ...options, help: { type: "boolean", short: "h" } },
    };
    const parsed = parseArgs<Config<T>>(config);
    if (!(parsed.values as { help?: boolean }).help) return parsed;
    process.stdout.write(help);
    return null;
  } catch (cause) {
    throw new UsageError(`${(cause as Error).message.replaceAll("\n", " ")} (see 'bmc ${command} --help')`, {
      cause,
    });
  }
}

/** A flag that takes one of a few words. @throws UsageError naming what is allowed */
export function oneOf<T extends string>(
  flag: string,
  given: string | undefined,
  allowed: readonly T[],
): T | undefined {
  if (given === undefined) return undefined;
  const found = allowed.find((word) => word === given);
  if (found === undefined) throw new UsageError(`${flag} ${given}: it must be ${allowed.join(", ")}`);
  return found;
}
