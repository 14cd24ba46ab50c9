/** One operation as a memcached command, classic or meta, and its answer read back. */
import type { Heard, Request } from "./client.ts";
import type { Answer, Operation, WriteAnswer } from "./model.ts";
import { namesIn } from "./values.ts";

type Write = (request: Request) => string;

const block = (head: string, body: string): string => `${head}\r\n${body}\r\n`;
const storing =
  (name: string): Write =>
  ({ key, body, ttlSeconds }) =>
    block(`${name} ${key} 0 ${ttlSeconds} ${body.length}`, body);

const CLASSIC: Readonly<Partial<Record<Operation["kind"], Write>>> = {
  read: ({ key, cas }) => (cas === undefined ? `get ${key}\r\n` : `gets ${key}\r\n`),
  "get-and-touch": ({ key }) => `gat 0 ${key}\r\n`,
  set: storing("set"),
  add: storing("add"),
  replace: storing("replace"),
  append: storing("append"),
  prepend: storing("prepend"),
  cas: ({ key, body, ttlSeconds, cas }) => block(`cas ${key} 0 ${ttlSeconds} ${body.length} ${cas}`, body),
  delete: ({ key }) => `delete ${key}\r\n`,
  incr: ({ key, operation }) => `incr ${key} ${(operation as { by: number }).by}\r\n`,
};

const META: Readonly<Partial<Record<Operation["kind"], Write>>> = {
  read: ({ key }) => `mg ${key} v\r\n`,
  set: ({ key, body, ttlSeconds }) => block(`ms ${key} ${body.length} T${ttlSeconds}`, body),
  append: ({ key, body }) => block(`ms ${key} ${body.length} MA`, body),
  delete: ({ key }) => `md ${key}\r\n`,
  incr: ({ key, operation }) => `ma ${key} D${(operation as { by: number }).by} v\r\n`,
};

export const MEMCACHED_SAYS: ReadonlySet<Operation["kind"]> = new Set(
  Object.keys(CLASSIC) as Operation["kind"][],
);

/** @param meta whether to use the meta command where there is one */
export function command(request: Request, meta: boolean): string {
  const { kind } = request.operation;
  const write = (meta && request.cas === undefined ? META[kind] : undefined) ?? CLASSIC[kind];
  if (write === undefined) throw new Error(`memcached has no command for ${kind}`);
  return write(request);
}

const wrote = (did: WriteAnswer["wrote"]): Answer => ({ wrote: did });
const LINES: Readonly<Record<string, Answer>> = {
  STORED: wrote("stored"),
  NOT_STORED: wrote("not-stored"),
  EXISTS: wrote("exists"),
  NOT_FOUND: wrote("not-found"),
  DELETED: wrote("deleted"),
  END: null,
  EN: null,
  NS: wrote("not-stored"),
  NF: wrote("not-found"),
};
/** What HD, meta's "done", says of each. */
const DONE: Readonly<Partial<Record<Operation["kind"], Answer>>> = {
  set: wrote("stored"),
  append: wrote("stored"),
  delete: wrote("deleted"),
};

/** @returns the answer once it is whole. @throws Error on one that no memcached gives */
export function answerIn(came: Buffer, { operation }: Request): Heard | null {
  const end = came.indexOf("\r\n");
  if (end < 0) return null;
  const line = came.toString("latin1", 0, end);
  const value = /^(?:VALUE \S+ \d+ (\d+)(?: (\d+))?|VA (\d+))$/.exec(line);
  if (value) {
    const [, classic, cas, meta] = value;
    const length = Number(classic ?? meta);
    const from = end + 2;
    const tail = classic === undefined ? "\r\n" : "\r\nEND\r\n";
    if (came.length < from + length + tail.length) return null;
    const closing = came.toString("latin1", from + length, from + length + tail.length);
    if (closing !== tail)
      throw new Error(`a value of ${length} bytes is followed by ${JSON.stringify(closing)}`);
    const answer = namesIn(came.toString("latin1", from, from + length));
    return { outcome: "answered", answer, ...(cas !== undefined && { cas }) };
  }
  if (line.startsWith("SERVER_ERROR")) return { outcome: "lost", why: line };
  if (/^\d+$/.test(line)) return { outcome: "answered", answer: line };
  const answer = line === "HD" ? DONE[operation.kind] : LINES[line];
  if (answer === undefined) throw new Error(`${operation.kind} was answered ${JSON.stringify(line)}`);
  return { outcome: "answered", answer };
}
