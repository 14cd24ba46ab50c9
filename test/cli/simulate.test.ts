import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { run } from "../../src/cli/simulate.ts";

const dir = mkdtempSync(join(tmpdir(), "bmc-simulate-"));
afterAll(() => rmSync(dir, { recursive: true }));

async function capture(argv: string[]): Promise<{ code: number; out: string }> {
  const write = process.stdout.write;
  let out = "";
  process.stdout.write = ((text: string) => {
    out += text;
    return true;
  }) as typeof write;
  try {
    return { code: await run(argv), out };
  } finally {
    process.stdout.write = write;
  }
}
/** What the user sees of a mistake: the message, one line, exit code 2. */
async function mistake(argv: string[]): Promise<string> {
  const error = await run(argv).then(
    () => null,
    (e: Error) => e,
  );
  expect(error).toMatchObject({ exitCode: 2 });
  expect(error!.message).not.toContain("\n");
  return error!.message;
}

describe("bmc simulate", () => {
  test("--list names every experiment of the issue", async () => {
    const { out } = await capture(["--list"]);
    for (const name of ["partial-offload", "bmc-cores", "bmc-traffic", "hooks", "copy", "bypass"])
      expect(out).toContain(name);
    for (const name of ["isolation", "hit-ratio", "policies", "writes", "telemetry"])
      expect(out).toContain(name);
  });

  test("text, JSON and CSV of one run agree; SVG lands in its folder", async () => {
    const base = [
      "policies",
      "--requests",
      "5k",
      "--set",
      "sizes=0.01",
      "--set",
      "keys=10000",
      "--set",
      "checkSkews=0.99",
    ];
    const json = JSON.parse((await capture([...base, "--json"])).out);
    expect(json.comparisons.map((c: { id: string }) => c.id)).toContain("direct.0.99");
    const csv = (await capture([...base, "--csv", "--svg", dir])).out;
    expect(csv).toContain(`${json.comparisons[0].id},`);
    expect((await capture(base)).out).toContain("Published and ours");
    expect(readFileSync(join(dir, "policies-policies.svg"), "utf8")).toContain("<svg");
    expect(readdirSync(dir)).toContain("policies-policies.svg");
  });

  test("the same seed prints the same bytes, another seed others", async () => {
    const at = async (seed: string) =>
      (await capture(["isolation", "--requests", "3000", "--json", "--seed", seed])).out;
    expect(await at("7")).toBe(await at("7"));
    expect(await at("7")).not.toBe((await at("8")).replace('"seed": 8', '"seed": 7'));
  });

  test("Ctrl-C ends a long run, prints what it has and says so", async () => {
    setTimeout(() => process.emit("SIGINT"), 300);
    const { code, out } = await capture(["bmc-cores", "--requests", "300k"]);
    expect(code).toBe(130);
    expect(out).toContain("STOPPED EARLY");
    expect(process.listenerCount("SIGINT")).toBe(0);
  });

  test("writes: every popularity and size law runs, and large values are never hot", async () => {
    const hits = async (...sets: string[]) => {
      const argv = [
        "writes",
        "--requests",
        "20k",
        "--json",
        "--set",
        "writeShares=0",
        "--set",
        "keys=100000",
      ];
      const { out } = await capture([
        ...argv,
        "--set",
        "entries=10000",
        ...sets.flatMap((s) => ["--set", s]),
      ]);
      return Number(JSON.parse(out).tables[0].rows[0][1]);
    };
    const zipf = await hits();
    expect(await hits("popularity=uniform")).toBeLessThan(zipf / 2);
    expect(await hits("popularity=hotset", "hotKeys=1000")).toBeGreaterThan(50);
    expect(await hits("sizes=bimodal", "largeShare=1")).toBe(0);
    expect(await hits("sizes=etc")).toBeGreaterThan(zipf / 2);
  });

  test("an experiment from a file", async () => {
    const file = join(dir, "mine.json");
    const shipped = JSON.parse(readFileSync("config/experiments/copy.json", "utf8"));
    writeFileSync(file, JSON.stringify({ ...shipped, title: "Mine" }));
    expect((await capture([file, "--requests", "1000"])).out).toContain("mine: Mine");
  });

  test.each([
    [["nosuch"], "unknown experiment 'nosuch'; known: bmc-cores"],
    [[], "no experiment named"],
    [["copy", "bypass"], "unexpected 'bypass'"],
    [["copy", "--requests", "-3"], "--requests"],
    [["copy", "--requests", "lots"], `--requests is "lots"; allowed: a whole number`],
    [["copy", "--seed", "1.5"], "--seed"],
    [["copy", "--set", "sizes=-1"], "--set.sizes[0] is -1; allowed: a whole number from 1"],
    [["hit-ratio", "--set", "ratios=0.5,1.2"], "--set.ratios[1] is 1.2; allowed: a number from 0 to 1"],
    [["hit-ratio", "--set", "profile=warp"], `--set.profile is "warp"; allowed: af_xdp`],
    [["copy", "--preset", "x"], "unknown preset 'x'"],
    [["copy", "--bogus"], "--bogus"],
    [["copy", "--json", "--csv"], "--json and --csv exclude each other"],
    [["copy", "--trace", "x"], "'copy' replays none"],
    [["replay"], "needs --trace FILE"],
    [["replay", "--trace", "/no/such/file"], "cannot read trace /no/such/file: ENOENT"],
    [["/no/such.json"], "cannot read /no/such.json: ENOENT"],
  ])("%j", async (argv, message) => {
    expect(await mistake(argv)).toContain(message);
  });

  test("a broken file names the file", async () => {
    const file = join(dir, "torn.json");
    writeFileSync(file, "{");
    expect(await mistake([file])).toContain(`${file} is not JSON`);
  });

  const zstd = spawnSync("zstd", ["--version"]).status === 0;
  test.skipIf(!zstd)(
    "a trace compressed with zstd replays as the plain one (skipped without the zstd tool)",
    async () => {
      const file = join(dir, "t.csv");
      const lines = Array.from({ length: 5000 }, (_, i) => `${i},key${(i * i) % 700},${i % 300}`);
      writeFileSync(file, `${lines.join("\n")}\n`);
      spawnSync("zstd", ["-q", file]);
      const replay = async (path: string) => (await capture(["replay", "--trace", path])).out;
      expect(await replay(`${file}.zst`)).toBe(await replay(file));
      writeFileSync(`${file}.zst`, readFileSync(`${file}.zst`).subarray(0, 500));
      expect(await mistake(["replay", "--trace", `${file}.zst`])).toMatch(/damaged zstd data|line \d+/);
    },
  );
});
