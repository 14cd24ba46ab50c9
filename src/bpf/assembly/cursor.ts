/**
 * Reading one line's tokens with one token of look-ahead. A mismatch throws Mismatch, which never leaves
 * the assembler: assemble() turns it into an error value. Expectations are phrases a person reads.
 */
import type { Line, Token } from "./lexer.ts";

export type AssemblyError = {
  readonly line: number;
  readonly column: number;
  /** What stands there, as written; "end of line" where nothing does. */
  readonly found: string;
  readonly expected: string;
  /** The three above as one sentence, without file name. */
  readonly message: string;
};

export class Mismatch extends Error {
  readonly error: AssemblyError;
  constructor(error: AssemblyError) {
    super(error.message);
    this.error = error;
  }
}

export function assemblyError(line: number, column: number, found: string, expected: string): AssemblyError {
  return { line, column, found, expected, message: `expected ${expected}, found ${found}` };
}

export class Cursor {
  readonly line: Line;
  #at = 0;

  constructor(line: Line) {
    this.line = line;
  }

  peek(ahead = 0): Token | undefined {
    return this.line.tokens[this.#at + ahead];
  }

  isAt(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token !== undefined && token.kind !== "string" && token.text === text;
  }

  atEnd(): boolean {
    return this.peek() === undefined;
  }

  next(expected: string): Token {
    const token = this.peek();
    if (!token) throw this.mismatch(expected);
    this.#at++;
    return token;
  }

  accept(text: string): boolean {
    if (!this.isAt(text)) return false;
    this.#at++;
    return true;
  }

  expect(text: string): void {
    if (!this.accept(text)) throw this.mismatch(`'${text}'`);
  }

  word(expected: string): string {
    const token = this.peek();
    if (token?.kind !== "word") throw this.mismatch(expected);
    this.#at++;
    return token.text;
  }

  /** An integer with an optional sign, and whether it was written in hex. */
  integer(expected: string): { value: bigint; isHex: boolean } {
    const isNegative = this.isAt("-") && this.peek(1)?.kind === "number";
    const token = this.peek(isNegative ? 1 : 0);
    if (token?.kind !== "number") throw this.mismatch(expected);
    this.#at += isNegative ? 2 : 1;
    return { value: isNegative ? -token.value : token.value, isHex: /^0x/i.test(token.text) };
  }

  /** An integer within bounds, both inclusive. */
  bounded(min: number, max: number, what: string): number {
    const start = this.peek();
    const expected = `${what} (${min}..${max})`;
    const { value } = this.integer(expected);
    if (value < BigInt(min) || value > BigInt(max)) throw this.mismatch(expected, start, String(value));
    return Number(value);
  }

  end(): void {
    if (!this.atEnd()) throw this.mismatch("end of line");
  }

  /** The error "expected …" at a token; without one, at the current token or the end of the line. */
  mismatch(expected: string, at: Token | undefined = this.peek(), found?: string): Mismatch {
    const what = found ?? at?.text;
    return new Mismatch(
      assemblyError(
        this.line.number,
        at?.column ?? this.line.endColumn,
        what === undefined ? "end of line" : `'${what}'`,
        expected,
      ),
    );
  }
}
