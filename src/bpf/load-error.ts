/** Why the kernel refused a program or a map. The code is stable; the message says what, where, what next. */
export const LOAD_ERROR_CODES = [
  "BAD_BYTECODE", // does not decode, or fails a load check
  "REJECTED", // the verifier said no; the message is its summary, `log` its whole log
  "BAD_MAP", // a map definition Linux would not create either
  "OUT_OF_MEMORY",
  "ENGINE", // the engine could not compile it
] as const;
export type LoadErrorCode = (typeof LOAD_ERROR_CODES)[number];

export class LoadError extends Error {
  readonly code: LoadErrorCode;
  readonly log: string;

  constructor(code: LoadErrorCode, message: string, log = "", cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.code = code;
    this.log = log;
  }
}
