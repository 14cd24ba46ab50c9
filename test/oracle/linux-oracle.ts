/**
 * The running Linux kernel as an oracle for tests. Builds the small C program beside it once, asks whether
 * bpf() is permitted, and answers blocks of questions in one process.
 */
import { spawnSync } from "node:child_process";
import { compiled } from "../support/compiled.ts";

const SOURCE = new URL("linux-oracle.c", import.meta.url).pathname;

export type LinuxOracle = {
  /** One block of lines in, the lines of its answer out. */
  ask(blocks: readonly (readonly string[])[]): string[][];
  /** The same as nobody, with kernel.unprivileged_bpf_disabled at 0 for as long as it takes. */
  askUnprivileged(blocks: readonly (readonly string[])[]): string[][];
};

let cached: LinuxOracle | string | null = null;

/** The oracle, or the reason why there is none here. */
export function linuxOracle(): LinuxOracle | string {
  cached ??= build();
  return cached;
}

function build(): LinuxOracle | string {
  if (process.platform !== "linux") return "not Linux";
  const binary = compiled(SOURCE);
  if (binary === null) return "no C compiler";
  const askAs = (args: readonly string[], blocks: readonly (readonly string[])[]): string[][] => {
    const input = blocks.map((lines) => `${lines.join("\n")}\ngo\n`).join("");
    const { stdout, status } = spawnSync(binary, args, { input, encoding: "utf8", maxBuffer: 2 ** 28 });
    if (status !== 0) throw new Error(`the oracle died with status ${status}`);
    const answers = stdout.split("done\n").slice(0, -1);
    return answers.map((text) => text.split("\n").filter((line) => line !== ""));
  };
  const ask: LinuxOracle["ask"] = (blocks) => askAs([], blocks);
  const askUnprivileged: LinuxOracle["ask"] = (blocks) => askAs(["unprivileged"], blocks);
  const [probe] = ask([["map 2 4 8 1 0"]]);
  return probe?.[0] === "map 0" ? { ask, askUnprivileged } : `bpf() is not permitted (${probe?.[0]})`;
}

/** For test titles: says why a differential test is skipped. */
export function whySkipped(oracle: LinuxOracle | string): string {
  return typeof oracle === "string" ? ` [skipped: ${oracle}]` : "";
}
