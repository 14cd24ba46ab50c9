/** loadtest/kernel/veth.sh: the same objects in the running kernel and in the emulator give the same bytes and counts. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { HOT_POLICIES } from "../../src/tiers/hot/policy.ts";

const SCRIPT = fileURLToPath(new URL("../../loadtest/kernel/veth.sh", import.meta.url));

const whyNot = (() => {
  if (process.platform !== "linux") return "not Linux";
  if (process.getuid?.() !== 0) return "needs root";
  const missing = ["ip", "tc", "bpftool", "memcached", "nsenter"].filter(
    (tool) => spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0,
  );
  if (missing.length > 0) return `${missing.join(", ")} missing`;
  // Containers may be root without the right to make namespaces.
  const probe = `bmc-probe-${process.pid}`;
  const made = spawnSync("ip", ["netns", "add", probe], { encoding: "utf8" });
  spawnSync("ip", ["netns", "del", probe]);
  if (made.status !== 0) return `no network namespaces here (${made.stderr.trim()})`;
  return existsSync("/sys/fs/bpf") ? null : "no /sys/fs/bpf";
})();

/** The other policies' programs run on Linux in test/programs; here they take a service each. */
const POLICIES = process.env.BMC_VETH === "all" ? HOT_POLICIES : (["direct"] as const);

test.skipIf(whyNot !== null).each(POLICIES)(
  `%s: the kernel before Debian's memcached and the emulator answer and count alike${whyNot ? ` (skipped: ${whyNot})` : ""}`,
  { timeout: 240_000 },
  async (policy) => {
    const child = spawn("sh", [SCRIPT, policy]);
    let out = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (out += text));
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect(out).not.toMatch(/^DIFF/m);
    expect([code, out.trimEnd().split("\n").at(-1)]).toEqual([0, "no difference"]);
    expect(out).toMatch(/^ok +hit +1\d$/m);
    const id = `bmc${child.pid}`;
    expect(execFileSync("ip", ["netns", "list"], { encoding: "utf8" })).not.toContain(id);
    expect(readdirSync("/sys/fs/bpf")).not.toContain(id);
  },
);

test("a policy there is not is a user's mistake", () => {
  const { status, stderr } = spawnSync("sh", [SCRIPT, "fifo"], { encoding: "utf8" });
  expect([status, stderr]).toEqual([2, "veth.sh: policy 'fifo': expected direct, set or lru\n"]);
});
