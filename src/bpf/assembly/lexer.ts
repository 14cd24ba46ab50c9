/**
 * Assembly text to lines of tokens. Comments are `; …`, `// …`, `# …` and block comments. What
 * llvm-objdump and the verifier's log print before an instruction (its number, its bytes or opcode) is
 * skipped, so that a listing can be pasted as it is. Lines and columns count from 1.
 */

type Place = { readonly line: number; readonly column: number };
export type Token = Place &
  (
    | { readonly kind: "word" | "sign" | "string"; readonly text: string }
    | { readonly kind: "number"; readonly text: string; readonly value: bigint }
  );

export type Line = {
  readonly number: number;
  readonly tokens: readonly Token[];
  /** Column just behind the last token: where something missing is reported. */
  readonly endColumn: number;
  /** The opcode byte a listing names before the instruction: tells `r1 = 0x5` (18) from (b7). */
  readonly opcode?: number;
};

/** Where the text stops being tokens, and what stands there. */
export type LexError = { readonly line: number; readonly column: number; readonly found: string };

// `12: (b7) r1 = 0` (verifier log) and `12:  b7 01 00 00 00 00 00 00  r1 = 0` (llvm-objdump).
const LISTING_PREFIX = /[ \t]*\d+:[ \t]*(?:\(([0-9a-f]{2})\)|([0-9a-f]{2})(?: [0-9a-f]{2}){7,15}(?=[ \t]))?/y;
// `0000000000000088 <name>:` opens a function in llvm-objdump's listing.
const LISTING_LABEL = /[ \t]*[0-9a-f]{16} (?=<[^>\n]*>:)/y;
const SKIPPED = /[ \t\r]+|(?:;|\/\/|#)[^\n]*|\/\*[\s\S]*?\*\//y;
// Bounded: turning a million digits into a bigint takes minutes, and no field holds them.
const NUMBER = /(?:0[xX][0-9a-fA-F]{1,32}|\d{1,40})(?![\w.$])/y;
const STRING = /"([^"\n]*)"/y;
// `#` is part of a helper's name with its id (bpf_map_lookup_elem#1), else it opens a comment.
const WORD = /[A-Za-z_.$][\w.$]*(?:#-?\d+)?/y;
const SIGN = /s>>=|s(?:\/=|%=|>=|<=|>|<)|<<=|>>=|[-+*/%&|^<>=!]=|[-+*&<>=()[\],:]/y;

export function lex(text: string): { lines: Line[]; errors: LexError[] } {
  const lines: Line[] = [];
  const errors: LexError[] = [];
  let at = 0;
  let number = 1;
  let lineStart = 0;

  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found) at = pattern.lastIndex;
    return found;
  };

  const nextToken = () => {
    const digits = match(NUMBER);
    if (digits) return { kind: "number", text: digits[0], value: BigInt(digits[0]) } as const;
    const string = match(STRING);
    if (string) return { kind: "string", text: string[1] ?? "" } as const;
    // Signs before words: `s>=` begins like a word, and no word is followed by a sign without a space.
    const sign = match(SIGN);
    if (sign) return { kind: "sign", text: sign[0] } as const;
    const word = match(WORD);
    return word ? ({ kind: "word", text: word[0] } as const) : null;
  };

  while (at < text.length) {
    let tokens: Token[] = [];
    const flush = (opcode: number | undefined, endColumn: number) => {
      if (tokens.length > 0) {
        lines.push({ number, tokens, endColumn, ...(opcode !== undefined && { opcode }) });
      }
      tokens = [];
    };
    match(LISTING_LABEL); // its name follows as `<name>:`, which the parser reads as a label
    const prefix = match(LISTING_PREFIX);
    const opcodeText = prefix?.[1] ?? prefix?.[2];
    const opcode = opcodeText === undefined ? undefined : Number.parseInt(opcodeText, 16);
    let endColumn = 1;
    while (at < text.length && text[at] !== "\n") {
      const start = at;
      const skipped = match(SKIPPED);
      if (skipped) {
        // A block comment may span lines; what follows it belongs to the line it ends on.
        const newlines = skipped[0].split("\n").length - 1;
        if (newlines > 0) {
          flush(opcode, endColumn);
          number += newlines;
          lineStart = start + skipped[0].lastIndexOf("\n") + 1;
        }
        continue;
      }
      const place = { line: number, column: start - lineStart + 1 };
      const token = nextToken();
      if (token) {
        tokens.push({ ...token, ...place });
      } else {
        errors.push({ ...place, found: describeRest(text, start) });
        while (at < text.length && text[at] !== "\n") at++;
        tokens = [];
        break;
      }
      endColumn = at - lineStart + 1;
    }
    flush(opcode, endColumn);
    at++;
    number++;
    lineStart = at;
  }
  return { lines, errors };
}

function describeRest(text: string, at: number): string {
  const word = /^[^\s;,()[\]]+/.exec(text.slice(at, at + 40))?.[0];
  return word ?? text[at] ?? "";
}
