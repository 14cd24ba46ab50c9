/** A whole answer as bytes, for where there is no response object to write it with. */
import type { Problem } from "./problem.ts";

/** @param fields further header fields, each `Name: value` */
export function rawAnswer(problem: Problem, fields: readonly string[]): Buffer {
  const body = JSON.stringify(problem);
  const head = [
    `HTTP/1.1 ${problem.statusCode} ${problem.error}`,
    ...fields,
    "Content-Type: application/json; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
}
