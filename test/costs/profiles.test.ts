import { describe, expect, test } from "vitest";
import { configNames, configPath, loadProfile, readJson } from "../../src/cli/config-files.ts";
import { requestFacts } from "../../src/costs/facts.ts";
import { byStage, costNs, ledger } from "../../src/costs/ledger.ts";
import { PRICES, ProfileError, parseProfile } from "../../src/costs/profile.ts";

const names = configNames("profiles");

describe("shipped profiles", () => {
  test("the fourteen paths, interposition and the seed preset are there", () => {
    expect(names).toEqual(
      [
        ...["userspace-only", "xdp-native", "xdp-generic", "xdp-offload", "tc", "sk_skb", "sk_skb-priority"],
        ...[
          "netkit",
          "af_xdp",
          "kernel-module",
          "dpdk",
          "spdk-stock",
          "spdk-custom",
          "tcp-standard",
          "seed",
          "openonload",
        ],
      ].sort(),
    );
  });

  test.each(names)("%s parses; a price of nothing happening is 0, all others name a source", (name) => {
    const { prices } = loadProfile(name);
    for (const { key } of PRICES) {
      if (prices[key].source === "none") expect(prices[key].value).toBe(0);
      expect(prices[key].ref.length).toBeGreaterThan(4);
    }
  });

  test.each([
    ["xdp-native", 0, 38],
    ["tc", 273, 35],
    ["sk_skb", 1072, 1350],
    ["sk_skb-priority", 1072, 1350],
  ])("%s reaches in %i ns and enters in %i ns (DEM Table 1)", (name, reach, enter) => {
    expect(loadProfile(name).ns).toMatchObject({ hookReach: reach, hookEnter: enter });
  });

  test.each([
    ["userspace-only", 5738],
    ["xdp-native", 5738],
    ["xdp-generic", 5738],
    ["tc", 5738],
    ["sk_skb", 5738],
    ["netkit", 5738],
    ["tcp-standard", 5738],
  ])("%s: reach + stack + one crossing is the published %i ns to socket code", (name, total) => {
    const { ns } = loadProfile(name);
    expect(ns.hookReach + ns.stackIn + ns.crossing).toBeCloseTo(total, 1);
  });

  const coldGet = (hookRuns: number) =>
    requestFacts({
      path: "cold",
      packets: 1,
      hookRuns,
      stackIn: 1,
      stackOut: 1,
      crossings: 2,
      nativeBytes: 400,
      storeOps: 1,
    });

  test("a memcached GET in userspace costs what 126.5 K req/s on one core says", () => {
    expect(1e9 / costNs(loadProfile("userspace-only"), coldGet(0))).toBeCloseTo(126_500, -2);
  });

  test("an AF_XDP GET costs what 297 K req/s on one core says", () => {
    const rate = 1e9 / costNs(loadProfile("af_xdp"), coldGet(1));
    expect(rate / 297_000).toBeCloseTo(1, 3);
  });

  test("XDP drops 14.73 Mpps on one core", () => {
    const drop = requestFacts({ path: "hot", packets: 1, hookRuns: 1 });
    expect(1e3 / costNs(loadProfile("xdp-native"), drop)).toBeCloseTo(14.73, 2);
  });

  test("1 KB copied costs 340 ns in eBPF and 32 ns in a kernel module", () => {
    const copy = requestFacts({ path: "hot", ebpfBytes: 1024 });
    expect(costNs(loadProfile("xdp-native"), copy)).toBeCloseTo(340, 6);
    expect(costNs(loadProfile("kernel-module"), copy)).toBeCloseTo(32, 6);
  });

  test("unsourced claims are listed, and none of the text's AF_XDP latency enters a price", () => {
    const seed = loadProfile("seed");
    expect(seed.claims.map((c) => c.text).join()).toContain("294 against 183 cycles");
    expect(Object.values(loadProfile("af_xdp").prices).some((p) => p.source === "seed")).toBe(false);
  });
});

describe("ledger", () => {
  const facts = requestFacts({
    path: "cold",
    ...{ packets: 2, hookRuns: 3, instructions: 517, arrayLookups: 2, hashLookups: 1, lruLookups: 4 },
    ...{ helperCalls: 5, tailCalls: 6, clockReads: 7, locks: 8, ebpfBytes: 900, hookReplies: 9, stackIn: 10 },
    ...{ stackOut: 11, crossings: 12, nativeBytes: 1300, storeOps: 13 },
  });

  test.each(names)("%s: the lines add up to costNs with every count in use", (name) => {
    const profile = loadProfile(name);
    const sum = ledger(profile, facts).reduce((total, line) => total + line.ns, 0);
    expect(sum).toBeCloseTo(costNs(profile, facts), 6);
    const stages = [...byStage(ledger(profile, facts)).values()].reduce((a, b) => a + b, 0);
    expect(stages).toBeCloseTo(sum, 6);
  });

  test("what did not happen is not listed", () => {
    const lines = ledger(loadProfile("xdp-native"), requestFacts({ path: "hot", hookRuns: 1 }));
    expect(lines.map((l) => [l.item, l.ns])).toEqual([
      ["hookReach", 0],
      ["hookEnter", 38],
    ]);
  });

  test("every count is priced by some row", () => {
    const { path: _, ...counts } = facts;
    expect(new Set(PRICES.map((p) => p.per).filter((p) => p !== null))).toEqual(new Set(Object.keys(counts)));
  });
});

describe("bad profiles are one line naming the key", () => {
  const good = () => structuredClone(readJson(configPath("profiles", "tc.json"))) as Record<string, never>;
  const broken = (path: string, value: unknown) => {
    const json = good();
    const keys = path.split(".");
    const last = keys.pop() as string;
    let at: Record<string, unknown> = json;
    for (const key of keys) at = at[key] as Record<string, unknown>;
    if (value === undefined) delete at[last];
    else at[last] = value;
    return json;
  };
  test.each([
    [
      "prices.hookEnter.value",
      -1,
      "profile 'x': prices.hookEnter.value is -1; allowed: a finite number >= 0",
    ],
    ["prices.hookEnter.value", "38", `prices.hookEnter.value is "38"`],
    ["prices.hookEnter.unit", "us/run", `prices.hookEnter.unit is "us/run"; allowed: "ns/run"`],
    ["prices.hookEnter.source", "hearsay", `prices.hookEnter.source is "hearsay"; allowed: "DEM"`],
    ["prices.hookEnter", undefined, "prices.hookEnter is missing; allowed: an object"],
    ["prices.hookExit", {}, "unknown key prices.hookExit; allowed: driver, hookReach"],
    ["colour", "red", "unknown key profile.colour; allowed: title"],
    ["runsOn", "gpu", `runsOn is "gpu"; allowed: "softirq", "nic", "user", "none"`],
  ])("%s = %j", (path, value, message) => {
    const parse = () => parseProfile(broken(path, value), "x");
    expect(parse).toThrow(ProfileError);
    expect(parse).toThrow(message);
    expect(parse).not.toThrow(/\n/);
  });
  test.each([null, [], 7, "tc"])("%j is not a profile", (json) => {
    expect(() => parseProfile(json, "x")).toThrow("profile 'x': profile is");
  });
});
