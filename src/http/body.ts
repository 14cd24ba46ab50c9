/**
 * Reads a request body up to a bound. A body over it is still read and dropped, up to a few times the
 * bound, so that the client, which is busy sending, gets to see its 413 instead of a reset connection;
 * past that the connection is closed on it.
 */
import type { Readable } from "node:stream";

const DRAIN_FACTOR = 16;

export class BodyTooLarge extends Error {
  readonly statusCode = 413;
}

export function collectBody(
  contentLength: string | undefined,
  payload: Readable,
  maxBytes: number,
  done: (error: Error | null, body?: Buffer) => void,
): void {
  const declared = contentLength === undefined ? null : Number(contentLength);
  const chunks: Buffer[] = [];
  let received = 0;
  let settled = false;
  const finish = (error: Error | null, body?: Buffer) => {
    if (settled) return;
    settled = true;
    payload.removeListener("data", onData);
    done(error, body);
  };
  const tooLarge = () => new BodyTooLarge(`value is over ${maxBytes} bytes`);
  const onData = (chunk: Buffer) => {
    received += chunk.length;
    if (received <= maxBytes) {
      chunks.push(chunk);
      return;
    }
    chunks.length = 0;
    if (received > maxBytes * DRAIN_FACTOR) finish(tooLarge());
  };
  if (declared !== null && declared > maxBytes * DRAIN_FACTOR) {
    finish(tooLarge());
    return;
  }
  payload.on("data", onData);
  payload.on("end", () => {
    if (received > maxBytes) finish(tooLarge());
    else finish(null, chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
  });
  payload.on("error", (error) => finish(error));
}
