/**
 * `npm run selftests -- TREE`: the kernel's own verifier tests (tools/testing/selftests/bpf/progs of a Linux source tree, of
 * which nothing is kept here), compiled by clang, judged by the running kernel and by us. Prints the verdicts side by
 * side and every disagreement; BMC_CLANG names another clang. Exit 0: none, 1: some, 2: something is missing.
 */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseObject } from "../../../src/bpf/elf/object.ts";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { compiled } from "../../support/compiled.ts";

const CLANG = process.env.BMC_CLANG ?? "clang";
const SYSTEM_HEADERS = "/usr/include/x86_64-linux-gnu";
const COMPILE_MS = 60_000;
const LOAD_MS = 300_000;

function fail(message: string): never {
  process.stderr.write(`selftests: ${message}\nusage: npm run selftests -- TREE [PREFIX]\n`);
  process.exit(2);
}

const [tree, prefix = "verifier_"] = process.argv.slice(2);
if (tree === undefined) fail("which Linux source tree? Debian's linux-source packages are such trees");
const selftests = join(tree, "tools/testing/selftests/bpf");
const programs = join(selftests, "progs");
if (!existsSync(programs)) fail(`${programs} is not there`);
const loader = compiled(fileURLToPath(new URL("./load-each.c", import.meta.url)), ["-lbpf"]);
if (loader === null) fail("no compiler makes load-each.c; it needs libbpf (libbpf-dev)");

const folder = mkdtempSync(join(tmpdir(), "bmc-selftests-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
prepareHeaders();

/** vmlinux.h of the running kernel, and the tree's libbpf headers with the system's list of helpers. */
function prepareHeaders(): void {
  const btf = ["btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"];
  const dump = spawnSync("bpftool", btf, { encoding: "utf8", maxBuffer: 2 ** 28 });
  if (dump.status !== 0) fail("bpftool cannot read the kernel's BTF; it is needed, as root");
  writeFileSync(join(folder, "vmlinux.h"), dump.stdout);
  const headers = join(folder, "bpf");
  mkdirSync(headers);
  const library = join(tree as string, "tools/lib/bpf");
  for (const name of readdirSync(library)) {
    if (name.endsWith(".h")) cpSync(join(library, name), join(headers, name));
  }
  const helpers = "/usr/include/bpf/bpf_helper_defs.h";
  if (!existsSync(helpers)) fail(`${helpers} is not there (libbpf-dev)`);
  cpSync(helpers, join(headers, "bpf_helper_defs.h"));
}

/** @returns the object's path, or null where this clang or these headers do not make it */
function compile(source: string): string | null {
  const object = join(folder, source.replace(/\.c$/, ".o"));
  const made = spawnSync(
    CLANG,
    [
      ...[
        "-g",
        "-O2",
        "-mcpu=v4",
        "-target",
        "bpfel",
        "-std=gnu11",
        "-fno-strict-aliasing",
        "-fms-extensions",
        "-w",
      ],
      ...[
        "-D__TARGET_ARCH_x86",
        "-I",
        folder,
        "-I",
        selftests,
        "-I",
        join(tree as string, "tools/include/uapi"),
      ],
      ...[
        "-I",
        join(selftests, "bpf_testmod"),
        "-I",
        join(selftests, "test_kmods"),
        "-I",
        join(selftests, "libarena/include"),
      ],
      ...["-I", SYSTEM_HEADERS],
      ...["-idirafter", join(tree as string, "tools/include"), "-c", join(programs, source), "-o", object],
    ],
    { timeout: COMPILE_MS, encoding: "utf8" },
  );
  if (made.error) fail(`${CLANG} does not run: ${made.error.message}`);
  return made.status === 0 ? object : null;
}

type KernelLine = { readonly program: string; readonly error: number; readonly log: string };

/** The verifier ends each log with its counts; libbpf fails without, and with words of its own on CO-RE. */
const isVerdict = ({ error, log }: KernelLine) =>
  error === 0 || (log.includes("\nprocessed ") && !log.includes("CO-RE"));

const matrix: Record<string, number> = {};
const count = (what: string) => {
  matrix[what] = (matrix[what] ?? 0) + 1;
};
let disagreements = 0;

for (const source of readdirSync(programs).sort()) {
  if (!source.startsWith(prefix) || !source.endsWith(".c")) continue;
  const path = compile(source);
  if (path === null) {
    count("file not compiled here");
    continue;
  }
  const object = parseObject(readFileSync(path));
  const lines = spawnSync(loader as string, [path], {
    timeout: LOAD_MS,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  }).stdout;
  for (const line of lines.split("\n").filter((text) => text !== "")) {
    const kernel = JSON.parse(line) as KernelLine;
    const program = object.ok && object.object.programs.find(({ name }) => name === kernel.program);
    if (!program) count("of no type, or with a kernel function, known here");
    else if (!isVerdict(kernel)) count("not judged by the kernel: libbpf could not load it");
    else {
      const ours = verify(program);
      const verdicts = [kernel.error === 0, ours.accepted].map((accepts) => (accepts ? "accept" : "reject"));
      count(verdicts.join(" / "));
      if (verdicts[0] === verdicts[1]) continue;
      disagreements++;
      const said = kernel.log.trimEnd().split("\n").slice(-3, -1).join(" | ");
      console.log(
        `${source} ${kernel.program}: kernel ${verdicts[0]} ${said}\n  ours ${verdicts[1]} ${ours.message}`,
      );
    }
  }
}

console.log("\nkernel / ours");
for (const [what, n] of Object.entries(matrix).sort()) console.log(`${String(n).padStart(6)}  ${what}`);
process.exitCode = disagreements > 0 ? 1 : 0;
