/** Colours for eBPF assembly, a token at a time. A stream mode: good enough to read, not a parser. */

/** The part of CodeMirror's StringStream this mode uses. */
type Stream = {
  match(pattern: RegExp): unknown;
  eatSpace(): boolean;
  next(): unknown;
};

const RULES: readonly (readonly [pattern: RegExp, tag: string])[] = [
  [/^(?:;|\/\/|#(?!\d)).*/, "comment"],
  [/^\.[a-z_]+/, "meta"],
  [/^[A-Za-z_][\w.]*:(?!\S)/, "labelName"],
  [/^(?:if|goto|gotol|may_goto|call|callx|exit|lock|map|func|ll)\b/, "keyword"],
  [/^(?:bpf_|atomic_|cmpxchg|xchg|bswap|le|be)\w*/, "keyword"],
  [/^[su](?:8|16|32|64)\b/, "keyword"],
  [/^[rw](?:10|\d)\b/, "variableName"],
  [/^[+-]?(?:0x[0-9a-fA-F]+|\d+)\b/, "number"],
  [/^[A-Za-z_]\w*/, "name"],
];

/** @returns the style of the token the stream was moved over, or null for none */
export function tokenOf(stream: Stream): string | null {
  if (stream.eatSpace()) return null;
  for (const [pattern, tag] of RULES) {
    if (stream.match(pattern)) return tag === "name" ? null : tag;
  }
  stream.next();
  return null;
}
