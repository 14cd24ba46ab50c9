/** `bmc audit`: what a program copies on its verified paths, and how long each verdict takes under a profile. */

import { PROGRAM_TYPES } from "../bpf/program.ts";
import { verify } from "../bpf/verifier/verify.ts";
import { type Audit, auditProgram, LARGE_COPY } from "../sim/audit.ts";
import { renderTable } from "../sim/report.ts";
import { oneOf, parseArguments } from "./arguments.ts";
import { loadProfile } from "./config-files.ts";
import { Refusal, UsageError } from "./exit.ts";
import { pickPrograms, readPrograms } from "./program-file.ts";

const HELP = `usage: bmc audit FILE.o [--program NAME] [--profile NAME] [--type TYPE] [--json]

Lists every copy a program can make on its verified paths, with its greatest size, marks those over
${LARGE_COPY} bytes, and estimates the time per verdict and the share of it that is copying.

  --program NAME   only this program (default: all)
  --profile NAME   prices to use (default: by type: xdp-native, tc, sk_skb)
  --type TYPE      xdp, tc, sk_skb or socket_filter, where the section name does not say
  --json           as JSON
`;

const OPTIONS = {
  program: { type: "string" },
  profile: { type: "string" },
  type: { type: "string" },
  json: { type: "boolean" },
} as const;

const PROFILE_OF = { xdp: "xdp-native", tc: "tc", sk_skb: "sk_skb", socket_filter: "sk_skb" } as const;

export function run(argv: string[]): number {
  const parsed = parseArguments("audit", HELP, argv, OPTIONS);
  if (!parsed) return 0;
  const { values, positionals } = parsed;
  const [path, ...more] = positionals;
  if (path === undefined) throw new UsageError("audit: no object file named");
  if (more.length > 0) throw new UsageError(`audit: one file at a time, unexpected '${more[0]}'`);
  const type = oneOf("--type", values.type, PROGRAM_TYPES);
  const object = readPrograms(path, type ? { type } : {});
  const programs = pickPrograms(object, values.program);
  if (programs.length === 0) throw new Refusal(`${path} holds no program`);
  const audits: Audit[] = [];
  for (const program of programs) {
    const profile = loadProfile(values.profile ?? PROFILE_OF[program.type]);
    const verdict = verify(program);
    if (!verdict.accepted) {
      const at = verdict.insn === null ? "" : `insn ${verdict.insn}: `;
      throw new Refusal(
        `program '${program.name}' is rejected: ${at}${verdict.message.split("\n").join("; ")}; only verified paths can be audited`,
      );
    }
    audits.push(auditProgram(program, profile));
  }
  if (values.json) process.stdout.write(`${JSON.stringify(audits, null, 2)}\n`);
  else process.stdout.write(audits.map(asText).join("\n"));
  return 0;
}

function asText(audit: Audit): string {
  const large = audit.copies.filter((c) => c.large);
  const parts = [
    `${audit.program} (${audit.type}), ${audit.walked} instructions walked, priced by ${audit.profile}`,
    "",
  ];
  if (audit.copies.length === 0) parts.push("It copies nothing.", "");
  else {
    parts.push(
      renderTable({
        title: "Copies, greatest size on one path",
        columns: ["where", "kind", "bytes ≤", "ns ≤", "", "what"],
        rows: audit.copies.map((c) => [
          c.where,
          c.kind,
          c.bytes,
          c.ns,
          c.large ? "belongs in userspace" : "",
          c.what.length > 60 ? `${c.what.slice(0, 59)}…` : c.what,
        ]),
      }),
    );
  }
  parts.push(
    renderTable({
      title: "Modelled time per verdict, hook included (ns)",
      columns: ["verdict", "paths", "fastest", "slowest", "instructions", "copied B", "copying %"],
      rows: audit.verdicts.map((v) => [
        v.verdict,
        v.paths,
        v.minNs,
        v.maxNs,
        v.instructions,
        v.copiedBytes,
        v.copyShare * 100,
      ]),
    }),
    large.length === 0 ? `No copy is over ${LARGE_COPY} bytes.` : largeCopies(large),
    "",
  );
  return parts.join("\n");
}

function largeCopies(large: Audit["copies"]): string {
  const count = `${large.length} cop${large.length === 1 ? "y is" : "ies are"} over ${LARGE_COPY} bytes`;
  const slowest = large.filter((c) => c.kind !== "helper").sort((a, b) => b.bytes - a.bytes)[0];
  if (!slowest) return `${count}; they are a helper's, which copies natively.`;
  const native = slowest.bytes * loadProfile("kernel-module").ns.nativeByte;
  return `${count}: ${slowest.bytes} bytes in eBPF take ${Math.round(slowest.ns)} ns, natively ${Math.round(native)} ns.`;
}
