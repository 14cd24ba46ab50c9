/** Where bytes cost time: copies by size (`copy`), and whole data paths to a link's rate (`bypass`). */
import { costNs } from "../../costs/ledger.ts";
import type { Kind } from "../experiment.ts";
import type { PathSpec } from "../machine.ts";
import { coldPath, hitFacts, hotPath, plainPath, replyBytes, waysOf } from "../server-model.ts";
import { capacity } from "./rig.ts";

/** Ethernet, IPv4, UDP headers, FCS, preamble and gap around each packet's payload. */
const WIRE_OVERHEAD = 14 + 20 + 8 + 4 + 20;
const MTU_PAYLOAD = 1472;

export const copy: Kind = {
  params: {
    sizes: { about: "value sizes, bytes", min: 1, max: 1 << 24, integer: true, list: true },
    keyBytes: { about: "key length", min: 1, max: 250, integer: true },
    kfuncNsPerKb: { about: "ns to copy 1 KB in eBPF by a memcpy kfunc", min: 0 },
  },
  *run(lab) {
    const plain = lab.profile("userspace-only");
    const module = lab.profile("kernel-module");
    const keyBytes = lab.number("keyBytes");
    const kfunc = lab.number("kfuncNsPerKb") / 1024;
    const programs = ["xdp-native", "tc", "sk_skb"] as const;
    lab.compare("ebpf", 1024 * lab.profile("xdp-native").ns.ebpfByte);
    lab.compare("module", 1024 * module.ns.ebpfByte);
    lab.compare("ratio", lab.profile("xdp-native").ns.ebpfByte / module.ns.ebpfByte);
    const rows: (string | number)[][] = [];
    const rates: Record<string, [number, number][]> = {
      userspace: [],
      module: [],
      "xdp-native": [],
      sk_skb: [],
    };
    for (const valueBytes of lab.numbers("sizes")) {
      const shape = { keyBytes, valueBytes };
      const bytes = replyBytes(shape);
      const xdp = lab.profile("xdp-native");
      const ways = waysOf(xdp, plain, shape);
      const copying = bytes * xdp.ns.ebpfByte;
      const moduleNs = costNs(module, hitFacts(shape));
      const sk = waysOf(lab.profile("sk_skb"), plain, shape).hitNs;
      rows.push([
        valueBytes,
        ways.hitNs,
        (100 * copying) / ways.hitNs,
        ways.hitNs - copying + bytes * kfunc,
        moduleNs,
        waysOf(lab.profile("tc"), plain, shape).hitNs,
        sk,
        ways.plainNs,
        [
          ways.hitNs < ways.plainNs ? "xdp pays" : "xdp loses",
          sk < ways.plainNs ? "sk_skb pays" : "sk_skb loses",
        ].join(", "),
      ]);
      for (const [name, path] of [
        ["userspace", plainPath(ways)],
        ["module", { name: "hot", hot: true, softirqNs: moduleNs, userNs: 0 }],
        ["xdp-native", hotPath(ways)],
        ["sk_skb", { name: "hot", hot: true, softirqNs: sk, userNs: 0 }],
      ] as [string, PathSpec][]) {
        const rate = yield* capacity(lab, `${name}, ${valueBytes} B`, [path], [1]);
        rates[name]!.push([valueBytes, rate]);
      }
      if (lab.stopped) break;
    }
    lab.table(
      "One request by value size, all hits (ns)",
      ["value B", "xdp", "copying %", "xdp + kfunc", "module", "tc", "sk_skb", "userspace", "verdict"],
      rows,
    );
    lab.table(
      "Value size from which offloading stops paying",
      ["hook", "value B", "half of the hit is copying from (B)"],
      programs.map((name) => {
        const profile = lab.profile(name);
        const at = (valueBytes: number) => waysOf(profile, plain, { keyBytes, valueBytes });
        const fixed = at(0).hitNs - replyBytes({ keyBytes, valueBytes: 0 }) * profile.ns.ebpfByte;
        const loses = crossing((v) => at(v).hitNs - at(v).plainNs);
        return [
          name,
          loses,
          Math.max(0, Math.ceil(fixed / profile.ns.ebpfByte - replyBytes({ keyBytes, valueBytes: 0 }))),
        ];
      }),
    );
    lab.plot({
      name: "copy",
      title: "One core, all hits, by value size",
      x: "value (bytes)",
      y: "requests/s",
      xLog: true,
      yLog: true,
      series: Object.entries(rates).map(([name, points]) => ({ name, style: "line", points })),
    });
  },
};

/** Smallest whole v in [0, 2^24] where f is no longer negative, f rising. */
function crossing(f: (v: number) => number): number | string {
  let [low, high] = [0, 1 << 24];
  if (f(high) < 0) return "never";
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (f(middle) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

const PATHS = [
  ["tcp-standard", "standard TCP"],
  ["userspace-only", "UDP socket"],
  ["openonload", "OpenOnload-style interposition"],
  ["af_xdp", "AF_XDP"],
  ["dpdk", "DPDK"],
  ["spdk-stock", "SPDK, stock (unsourced part)"],
  ["spdk-custom", "SPDK, minimal (unsourced part)"],
  ["kernel-module", "kernel module, all hits"],
  ["xdp-native", "eBPF at XDP, all hits"],
  ["tc", "eBPF at tc, all hits"],
  ["sk_skb", "eBPF at SK_SKB, all hits"],
] as const;

export const bypass: Kind = {
  params: {
    keyBytes: { about: "key length", min: 1, max: 250, integer: true },
    valueBytes: { about: "value length", min: 0, integer: true },
    links: { about: "link rates, Gbit/s", min: 0.001, list: true },
  },
  *run(lab) {
    const plain = lab.profile("userspace-only");
    const shape = { keyBytes: lab.number("keyBytes"), valueBytes: lab.number("valueBytes") };
    const payload = replyBytes(shape);
    const wireBits = 8 * (payload + Math.ceil(payload / MTU_PAYLOAD) * WIRE_OVERHEAD);
    const links = lab.numbers("links");
    const rows: (string | number)[][] = [];
    const base = { rate: 0 };
    for (const [name, label] of PATHS) {
      const profile = lab.profile(name);
      const ways = waysOf(profile, plain, shape);
      const hot = profile.hook !== null && name !== "af_xdp";
      const path = hot ? hotPath(ways) : name === "userspace-only" ? plainPath(ways) : coldPath(ways);
      const polled: PathSpec = { ...path, softirqNs: 0, userNs: path.softirqNs + path.userNs };
      const rate = yield* capacity(lab, label, [profile.busyPoll ? polled : path], [1], 1, profile.busyPoll);
      if (lab.stopped) break;
      if (name === "userspace-only") base.rate = rate;
      const gbit = (rate * wireBits) / 1e9;
      const unsourced = Object.values(profile.prices).some((p) => p.source === "seed" && p.value > 0);
      rows.push([
        label,
        Math.round(rate),
        gbit,
        ...links.map((link) => Math.ceil(link / gbit)),
        profile.busyPoll ? "always busy" : "with load",
        unsourced ? "has an unsourced part" : "",
      ]);
      lab.compare(name, rate);
    }
    lab.table(
      `One core, ${shape.keyBytes} B keys, ${shape.valueBytes} B values (${payload} B replies)`,
      ["data path", "requests/s", "Gbit/s", ...links.map((l) => `cores for ${l}G`), "core", "note"],
      rows,
    );
    const tcp = lab.profile("tcp-standard").ns.nativeByte;
    lab.compare("coresFor400", 400 / (8 / tcp));
    lab.note(
      `bulk TCP at ${(8 / tcp).toFixed(2)} Gbit/s a core needs ${Math.ceil((400 * tcp) / 8)} cores for 400 Gbit/s`,
    );
    lab.plot({
      name: "bypass",
      title: "Requests/s on one core by data path",
      x: "data path (row of the table)",
      y: "requests/s",
      yLog: true,
      series: [
        { name: "modelled", style: "points", points: rows.map((row, i) => [i + 1, Number(row[1])]) },
        {
          name: "published",
          style: "published",
          points: PATHS.flatMap(([name], i): [number, number][] => {
            const row = lab.experiment.published[name];
            return row ? [[i + 1, row.value]] : [];
          }),
        },
      ],
    });
  },
};
