/**
 * Lays the kernel's half of veth.sh beside the emulator's: `node compare.mjs FOLDER` reads what the conversation
 * got from each (*.replies) and what the programs counted (kernel.stats of bpftool, emulator.stats of `stats bmc`),
 * prints both, and exits with 1 where they differ.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const read = (name) => readFileSync(join(folder, name), "utf8");
const header = readFileSync(new URL("../../src/programs/hot_map.h", import.meta.url), "utf8");
const COUNTERS = [...header.matchAll(/STAT_MC_(\w+) = (\d+)/g)].map(([, name, index]) => ({
  name: name.toLowerCase(),
  index: Number(index),
}));
let differences = 0;

const show = (hex) => {
  const text = Buffer.from(hex, "hex").toString("latin1");
  const shown = JSON.stringify(text.length > 44 ? `${text.slice(0, 40)}… ${text.length} bytes` : text);
  return shown.slice(1, -1);
};
const line = (what, kernel, emulator, isEqual) => {
  if (!isEqual) differences++;
  console.log(
    `${isEqual ? "ok  " : "DIFF"}  ${what.padEnd(46)} ${kernel}${isEqual ? "" : `  |  ${emulator}`}`,
  );
};

const lines = (name) =>
  read(name)
    .trim()
    .split("\n")
    .map((text) => JSON.parse(text));
const [kernel, emulator] = [lines("kernel.replies"), lines("emulator.replies")];
console.log("reply bytes: the kernel before Debian's memcached | the emulator\n");
for (let i = 0; i < Math.max(kernel.length, emulator.length); i++) {
  const [a, b] = [kernel[i], emulator[i]];
  // No answer is none from either: that would compare nothing.
  const isEqual = a !== undefined && b !== undefined && a.reply === b.reply && a.reply !== "";
  line(
    `${a?.wire} ${JSON.stringify(a?.text ?? "").slice(1, -1)}`.slice(0, 46),
    show(a?.reply ?? ""),
    show(b?.reply ?? ""),
    isEqual,
  );
}

const cpus = JSON.parse(read("kernel.stats"))[0].values.map(({ value }) =>
  Buffer.from(value.map((byte) => Number(byte))),
);
const ours = new Map(
  [...read("emulator.stats").matchAll(/^STAT (\S+) (\d+)\r?$/gm)].map(([, k, v]) => [k, Number(v)]),
);
console.log("\ncounters of the programs\n");
for (const { name, index } of COUNTERS) {
  const sum = cpus.reduce((total, bytes) => total + Number(bytes.readBigUInt64LE(8 * index)), 0);
  line(name, sum, ours.get(name), sum === ours.get(name));
}
const hits = ours.get("hit") ?? 0;
if (hits === 0) console.log("FAILED: nothing was a hit, so nothing was compared");
console.log(differences === 0 ? "\nno difference" : `\n${differences} differences`);
process.exit(differences === 0 && hits > 0 ? 0 : 1);
