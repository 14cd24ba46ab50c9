/**
 * Program sections by the names libbpf knows (its SEC conventions): a prefix says the program type, the
 * attach type and which suffixes it may have. Read by the ELF loader and by the assembler's `.type`.
 */
import { type AttachType, PROGRAM_TYPES, type ProgramType } from "./program.ts";

type SectionRule = {
  readonly name: string;
  readonly type: ProgramType;
  readonly attach?: AttachType;
  /** `exact`: nothing may follow; `slash`: nothing, or `/anything`; `any`: anything (old libbpf). */
  readonly suffix: "exact" | "slash" | "any";
};

/** The first match wins, so longer names stand before their prefixes. */
const SECTION_RULES = [
  { name: "xdp.frags", type: "xdp", suffix: "slash" },
  { name: "xdp", type: "xdp", suffix: "any" },
  { name: "tcx/ingress", type: "tc", suffix: "exact" },
  { name: "tcx/egress", type: "tc", suffix: "exact" },
  { name: "tc", type: "tc", suffix: "slash" },
  { name: "classifier", type: "tc", suffix: "slash" },
  { name: "action", type: "tc", suffix: "slash" },
  { name: "sk_skb/stream_parser", type: "sk_skb", attach: "stream_parser", suffix: "any" },
  { name: "sk_skb/stream_verdict", type: "sk_skb", attach: "stream_verdict", suffix: "any" },
  { name: "sk_skb/verdict", type: "sk_skb", attach: "stream_verdict", suffix: "any" },
  { name: "sk_skb", type: "sk_skb", suffix: "slash" },
  { name: "socket", type: "socket_filter", suffix: "any" },
] as const satisfies readonly SectionRule[];

export type SectionKind = { readonly type: ProgramType; readonly attach?: AttachType };

/** What a section of this name holds, or null where the name says nothing. */
export function sectionKind(section: string): SectionKind | null {
  // libbpf reads SEC("?xdp") as "do not load by default"; the type is the same.
  const name = section.startsWith("?") ? section.slice(1) : section;
  const rule = (SECTION_RULES as readonly SectionRule[]).find((row) => {
    if (!name.startsWith(row.name)) return false;
    const rest = name.slice(row.name.length);
    return rest === "" || row.suffix === "any" || (row.suffix === "slash" && rest.startsWith("/"));
  });
  if (!rule) return null;
  return { type: rule.type, ...(rule.attach && { attach: rule.attach }) };
}

/** As sectionKind, and the program types' own names (`socket_filter`). */
export function programKind(name: string): SectionKind | null {
  const type = PROGRAM_TYPES.find((known) => known === name);
  return type ? { type } : sectionKind(name);
}
