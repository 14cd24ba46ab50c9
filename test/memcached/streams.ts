/**
 * Seeded random command streams. They stay clear of the two things in which one memcached differs from
 * another with timing: what falls on a second's edge, and a counter changed in place while an earlier reply
 * still holds it (so counters are wide and never stale, and no command line is longer than a read).
 */
const KEYS = ["a", "b", "n", "cnt", "key:with:colons", "x".repeat(250), "\xffbin\x01"];
const STORES = ["set", "set", "add", "replace", "append", "prepend"];
const META_FLAGS = [
  "k",
  "Oabc",
  "c",
  "f",
  "s",
  "t",
  "v",
  "q",
  "T100",
  "N200",
  "R30",
  "h",
  "u",
  "I",
  "C5",
  "F9",
];
const WRONG = ["", "x", "-1", "99999999999999999999", "1x", "\t5", "k".repeat(251), "noreply"];

type Draw = () => number;

function pick<T>(draw: Draw, from: readonly T[]): T {
  return from[Math.floor(draw() * from.length)]!;
}

function value(draw: Draw): string {
  const length = Math.floor(draw() ** 3 * 3_000);
  let text = "";
  for (let i = 0; i < length; i++) text += pick(draw, ["\r", "\n", "\0", "a", "Z", "\xff", " "]);
  return text;
}

function metaFlags(draw: Draw, without: RegExp): string {
  const chosen = META_FLAGS.filter((flag) => draw() < 0.3 && !without.test(flag));
  return chosen.map((flag) => ` ${flag}`).join("");
}

function storeCommand(draw: Draw): string {
  const data = value(draw);
  const exptime = pick(draw, [0, 0, 0, 1000, -1, 2_592_000, 4_000_000_000]);
  const noreply = draw() < 0.2 ? " noreply" : "";
  return `${pick(draw, STORES)} ${pick(draw, KEYS)} ${Math.floor(draw() * 2 ** 32)} ${exptime} ${data.length}${noreply}\r\n${data}\r\n`;
}

const SHAPES: readonly ((draw: Draw) => string)[] = [
  storeCommand,
  storeCommand,
  (draw) => `get ${KEYS.filter(() => draw() < 0.5).join(" ") || "a"}\r\n`,
  (draw) => `gets ${pick(draw, KEYS)}\r\n`,
  (draw) => `gat ${pick(draw, [0, 100, -1])} ${pick(draw, KEYS)} ${pick(draw, KEYS)}\r\n`,
  (draw) => `touch ${pick(draw, KEYS)} ${pick(draw, [0, 100, -1])}\r\n`,
  (draw) => `delete ${pick(draw, KEYS)}${draw() < 0.3 ? " noreply" : ""}\r\n`,
  () => "set cnt 0 0 20\r\n15000000000000000000\r\n",
  (draw) => `${pick(draw, ["incr", "decr"])} cnt ${Math.floor(draw() * 1000)}\r\n`,
  (draw) => `incr ${pick(draw, KEYS)} ${pick(draw, WRONG)}\r\n`,
  (draw) => `cas ${pick(draw, KEYS)} 0 0 1 {cas}\r\nC\r\n`,
  (draw) => `mg ${pick(draw, KEYS)}${metaFlags(draw, /^[FCIT]/)}\r\n`,
  (draw) => `ms ${pick(draw, KEYS)} 2${metaFlags(draw, /^[C]/)}\r\nhi\r\n`,
  (draw) => `ms ${pick(draw, KEYS)} 2 M${pick(draw, ["S", "E", "A", "P", "R", "Q"])} k\r\nhi\r\n`,
  (draw) => `md ${pick(draw, KEYS.slice(0, 3))}${metaFlags(draw, /^[CT]/)}\r\n`,
  (draw) => `ma cnt${metaFlags(draw, /^[CTNq]/)} D${Math.floor(draw() * 50)}\r\n`,
  (draw) => `${pick(draw, ["set", "add", "cas"])} ${pick(draw, KEYS)} ${pick(draw, WRONG)} 0 1\r\n`,
  (draw) => `${pick(draw, WRONG)} ${pick(draw, WRONG)}\r\n`,
  (draw) => `set ${pick(draw, KEYS)} 0 0 ${1 + Math.floor(draw() * 3)}\r\nxx\r\n`,
  () => "flush_all\r\n",
];

/** @returns steps, each to be answered before the next: one command, or several at once */
export function commandStream(draw: Draw, steps: number): string[] {
  return Array.from({ length: steps }, () => pick(draw, SHAPES)(draw));
}
