/**
 * A Node that can bind one port from several threads (22.12, 23.1): the one that runs the tests, or the one
 * BMC_NODE names (.ci/run installs it). Tests that need it say so in their title where there is none.
 */
import { spawnSync } from "node:child_process";
import { requireReusePort } from "../../src/cli/workers/supervisor.ts";

function canReusePort(path: string): boolean {
  const { stdout } = spawnSync(path, ["--version"], { encoding: "utf8" });
  try {
    requireReusePort(stdout.trim().replace(/^v/, ""));
    return true;
  } catch {
    return false;
  }
}

export const newerNode: string | null =
  [process.execPath, process.env.BMC_NODE ?? ""].find((path) => path !== "" && canReusePort(path)) ?? null;
export const whyNot = newerNode === null ? " (skipped: no Node 22.12; BMC_NODE may name one)" : "";
