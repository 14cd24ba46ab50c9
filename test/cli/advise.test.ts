import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { run } from "../../src/cli/advise.ts";

async function capture(argv: string[]): Promise<string> {
  const write = process.stdout.write;
  let out = "";
  process.stdout.write = ((text: string) => {
    out += text;
    return true;
  }) as typeof write;
  try {
    expect(await run(argv)).toBe(0);
  } finally {
    process.stdout.write = write;
  }
  return out;
}

const example = [
  "--rate",
  "60k",
  "--hit-ratio",
  "0.92",
  "--value-size",
  "300",
  "--read-ratio",
  "0.95",
  "--hook",
  "xdp",
];

describe("bmc advise", () => {
  test("the example: a verdict, both capacities, break-even, what dominates, the nearest flip", async () => {
    const out = await capture(example);
    for (const part of [/^verdict: SOLUTION/, /without +126 515/, /Break-even is a hit ratio of/])
      expect(out).toMatch(part);
    for (const part of [/what dominates is \w+/, /Nearest flip: value size from 300 to 10\d\d makes it TRAP/])
      expect(out).toMatch(part);
  });

  test("JSON has the same verdict and is reproducible", async () => {
    const json = await capture([...example, "--json", "--cores", "8", "--slo", "p99=500us"]);
    expect(JSON.parse(json)).toMatchObject({
      verdict: "solution",
      with: { meetsSlo: true },
      workload: { hook: "xdp-native" },
    });
    expect(await capture([...example, "--json", "--cores", "8", "--slo", "p99=500us"])).toBe(json);
  });

  test("--from scrapes twice and takes what came between", async () => {
    let scrapes = 0;
    const server = createServer((_, answer) => {
      scrapes++;
      const n = scrapes * 1000;
      answer.end(
        `bmc_lookups_total{tier="hot",result="hit"} ${n * 9}\nbmc_lookups_total{tier="cold",result="hit"} ${n}\nbmc_lookups_total{tier="cold",result="miss"} 0\nbmc_crossings_total{reason="miss"} ${n}\nbmc_copied_bytes_total{place="ebpf"} ${n * 9 * 293}\n`,
      );
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as AddressInfo;
    try {
      const out = JSON.parse(
        await capture(["--from", `http://127.0.0.1:${port}/metrics`, "--window", "0.2", "--json"]),
      );
      expect(out.workload).toMatchObject({ hitRatio: 0.9, readRatio: 1, valueBytes: 100, hook: "sk_skb" });
      expect(out.workload.rate).toBeGreaterThan(10_000);
      expect(out.workload.rate).toBeLessThan(50_001);
    } finally {
      server.close();
    }
  });

  test.each<[string[], string, number]>([
    [["--hit-ratio", "0.5"], "--rate is missing", 2],
    [["--rate", "60k"], "--hit-ratio is missing", 2],
    [["--rate", "60k", "--hit-ratio", "1.2"], `--hit-ratio is "1.2"; allowed: a number from 0 to 1`, 2],
    [["--rate=-5", "--hit-ratio", "0.5"], `--rate is "-5"`, 2],
    [["--rate", "-5", "--hit-ratio", "0.5"], "--rate", 2],
    [
      ["--rate", "60k", "--hit-ratio", "0.5", "--hook", "dpdk"],
      `--hook is "dpdk"; allowed: xdp, kernel-module`,
      2,
    ],
    [
      ["--rate", "60k", "--hit-ratio", "0.5", "--slo", "99=1ms"],
      `--slo is "99=1ms"; allowed: a quantile and a time`,
      2,
    ],
    [["--rate", "60k", "--hit-ratio", "0.5", "--cores", "0"], "--cores", 2],
    [["--rate", "60k", "--hit-ratio", "0.5", "extra"], "unexpected 'extra'", 2],
    [["--trace", "/no/such"], "cannot read trace /no/such: ENOENT", 2],
    [["--from", "nowhere"], `--from is "nowhere"`, 2],
    [["--from", "http://127.0.0.1:1/metrics"], "cannot scrape http://127.0.0.1:1/metrics", 1],
  ])("%j is one line", async (argv, message, exitCode) => {
    const error = await run(argv).then(
      () => null,
      (e: Error) => e,
    );
    expect(error).toMatchObject({ exitCode });
    expect(error!.message).toContain(message);
    expect(error!.message).not.toContain("\n");
  });
});
