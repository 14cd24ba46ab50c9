/**
 * Reads of an accepted socket straight into one shared buffer, past the stream machinery: no buffer is
 * allocated per read, no 'data' event, no tick scheduled. Node offers this as the `onread` option of
 * net.Socket, but to connecting sockets only; an accepted one gets it here by the same three properties
 * the option sets. Where this Node has them not, the caller listens for 'data' instead.
 *
 * Bytes in the buffer are good until the callback returns. pause(), resume(), 'end' and timeouts work as
 * documented for `onread`.
 */
import { Socket } from "node:net";

const BUFFER_BYTES = 65_536;

type Handle = { useUserBuffer?: (buffer: Buffer) => void; _consumed?: boolean };
type Rigged = Socket & { [property: symbol]: unknown; _handle?: Handle | null };

export const sharedReadBuffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);

/** @returns false when it cannot be done: nothing is changed then */
export function readIntoShared(socket: Socket, onRead: (bytes: number) => void): boolean {
  const rigged = socket as Rigged;
  const handle = rigged._handle;
  if (SYMBOLS === null || !handle || typeof handle.useUserBuffer !== "function") return false;
  rigged[SYMBOLS.buffer] = sharedReadBuffer;
  rigged[SYMBOLS.generator] = null;
  rigged[SYMBOLS.callback] = onRead;
  handle.useUserBuffer(sharedReadBuffer);
  // Node's HTTP server must not put its own reader on top.
  handle._consumed = true;
  return true;
}

const SYMBOLS = findSymbols();

function findSymbols() {
  const probe = new Socket({
    onread: { buffer: Buffer.alloc(0), callback: () => true },
  } as ConstructorParameters<typeof Socket>[0]);
  const all = Object.getOwnPropertySymbols(probe);
  const named = (name: string) => all.find((symbol) => symbol.description === name);
  const buffer = named("kBuffer");
  const callback = named("kBufferCb");
  const generator = named("kBufferGen");
  probe.destroy();
  return buffer && callback && generator ? { buffer, callback, generator } : null;
}
