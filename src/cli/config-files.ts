/**
 * Where the shipped configuration lies, and the profiles read from it. The bundle runs from dist/, the
 * sources from src/cli/: both find `config/` by walking up.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Profile, parseProfile } from "../costs/profile.ts";
import { type HotPolicy, POLICY_TABLE } from "../tiers/hot/policy.ts";
import { UsageError } from "./exit.ts";

/** Absolute path of a file or folder under config/. */
export function configPath(...parts: string[]): string {
  let dir = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(dir, "config", "profiles"))) {
    const up = dirname(dir);
    if (up === dir) throw new Error("config/profiles is missing beside the program; reinstall the package");
    dir = up;
  }
  return join(dir, "config", ...parts);
}

/** Names of the `*.json` files in a folder of config/, sorted. */
export function configNames(folder: string): string[] {
  return readdirSync(configPath(folder))
    .filter((file) => extname(file) === ".json")
    .map((file) => basename(file, ".json"))
    .sort();
}

/** @throws UsageError naming the file when it cannot be read or is not JSON. */
export function readJson(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new UsageError(`cannot read ${path}: ${(cause as NodeJS.ErrnoException).code ?? cause}`, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UsageError(`${path} is not JSON: ${(cause as Error).message}`, { cause });
  }
}

/** A shipped profile by name, or one from a path that ends in .json. */
export function loadProfile(name: string): Profile {
  if (name.endsWith(".json")) return parseProfile(readJson(name), basename(name, ".json"));
  const known = configNames("profiles");
  if (!known.includes(name)) {
    throw new UsageError(`unknown profile '${name}'; known: ${known.join(", ")}, or a path ending in .json`);
  }
  return parseProfile(readJson(configPath("profiles", `${name}.json`)), name);
}

/** Absolute path of an object built from src/programs for a policy, as shipped. */
export function shippedObject(name: string, policy: HotPolicy): string {
  return configPath("..", "src", "programs", `${name}${POLICY_TABLE[policy].objectSuffix}.bpf.o`);
}
