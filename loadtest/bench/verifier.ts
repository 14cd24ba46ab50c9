/**
 * The verifier's speed: our own objects verified by us and by the running kernel in one run, a long loop,
 * and a program that exhausts the budget. CPU time on both sides, ours with that of the garbage collector's
 * threads, so that a busy machine changes little. `npm run bench:verifier`; without bpf() only our own times.
 * `npm run bench:verifier -- loop` runs the rows whose names have the word, cold: short ones tell little then.
 */
import { readdirSync, readFileSync } from "node:fs";
import { assemble } from "../../src/bpf/assembler.ts";
import { parseObject } from "../../src/bpf/elf/object.ts";
import type { Program } from "../../src/bpf/program.ts";
import { verify } from "../../src/bpf/verifier/verify.ts";
import { kernelVerdicts } from "../../test/bpf/verifier/kernel-verdict.ts";
import { linuxOracle } from "../../test/oracle/linux-oracle.ts";

const PROGRAMS = new URL("../../src/programs/", import.meta.url).pathname;
const ROUNDS = 5;
const WORD = process.argv[2] ?? "";

/** FNV-1a over up to 250 bytes of the packet, byte by byte: the shape of BMC's hash_keys. */
const HASH_LOOP = `.type xdp
r2 = *(u32 *)(r1 + 0)
r3 = *(u32 *)(r1 + 4)
r5 = 0x811c9dc5
r4 = 0
loop:
r6 = r2
r6 += r4
r7 = r6
r7 += 1
if r7 > r3 goto done
r8 = *(u8 *)(r6 + 0)
if r8 == 32 goto done
w5 ^= w8
w5 *= 0x1000193
r4 += 1
if r4 < 250 goto loop
done: r0 = r5
exit`;
const LONG_LOOP =
  ".type xdp\nr0 = 0\nr1 = 0\nloop:\nr2 = r0\nr2 *= 3\nr1 += r2\nr0 += 1\nif r0 < 150000 goto loop\nr0 = 0\nexit";
const EXHAUST = ".type xdp\nr0 = 0\nloop:\nr0 += 1\nr1 = r0\nr1 ^= 5\nif r0 != 90000000 goto loop\nexit";

function text(source: string): Program {
  const result = assemble(source);
  if (!result.ok) throw new Error(result.errors[0].message);
  return result.program;
}

function ourMs(program: Program): { ms: number; insns: number; accepted: boolean; message: string } {
  let ms = Number.POSITIVE_INFINITY;
  let verdict = verify(program);
  for (let i = 0; i < ROUNDS; i++) {
    const start = process.cpuUsage();
    verdict = verify(program);
    const { user, system } = process.cpuUsage(start);
    ms = Math.min(ms, (user + system) / 1000);
  }
  const { accepted, message } = verdict;
  return { ms, insns: verdict.stats.insnsProcessed, accepted, message };
}

/** Milliseconds, or why there is nothing to compare with. */
function kernelMs(program: Program, accepted: boolean): string | number {
  const oracle = linuxOracle();
  if (typeof oracle === "string") return oracle;
  const verdicts = kernelVerdicts(
    Array.from({ length: ROUNDS }, () => program),
    0,
  );
  const other = verdicts.find((v) => v.accepted !== accepted);
  if (other) return `the kernel says errno ${-other.error}: not compared`;
  return Math.min(...verdicts.map((v) => v.loadNs / 1e6));
}

function line(name: string, program: Program): void {
  if (!name.includes(WORD)) return;
  const ours = ourMs(program);
  const kernel = kernelMs(program, ours.accepted);
  const rate = Math.round(ours.insns / ours.ms);
  const ratio =
    typeof kernel === "number"
      ? `kernel ${kernel.toFixed(2)} ms, ratio ${(ours.ms / kernel).toFixed(1)}`
      : kernel;
  const word = ours.accepted ? "accepted" : `rejected: ${ours.message.split("\n")[0]}`;
  console.log(
    `${name.padEnd(28)} ${ours.ms.toFixed(1)} ms, ${ours.insns} insns, ${rate}k insns/s; ${ratio}; ${word}`,
  );
}

console.log(`CPU time, best of ${ROUNDS}; the kernel's is that of its BPF_PROG_LOAD, its JIT included`);
for (const file of readdirSync(PROGRAMS).filter((name) => name.endsWith(".bpf.o"))) {
  const result = parseObject(readFileSync(PROGRAMS + file));
  if (!result.ok) throw new Error(`${file}: ${result.error.message}`);
  for (const program of result.object.programs)
    line(`${file.replace(".bpf.o", "")}/${program.name}`, program);
}
line("250-byte hash loop", text(HASH_LOOP));
line("long loop", text(LONG_LOOP));
line("budget exhausted", text(EXHAUST));
console.log(`most memory resident at any time: ${Math.round(process.resourceUsage().maxRSS / 1024)} MB`);
