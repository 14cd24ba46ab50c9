/** Both parsers against anything: whole or cut, sense or nonsense, one answer, no fault, bounded memory. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { requestId } from "../../src/memcached/udp-frame.ts";
import { Conversation } from "./conversation.ts";
import { ask, frame, ourPeer, type Peer, random } from "./peers.ts";
import { commandStream } from "./streams.ts";

const PIECES = [
  "get ",
  "gets ",
  "gat 10 ",
  "set ",
  "add ",
  "cas ",
  "append ",
  "incr ",
  "delete ",
  "touch ",
  "flush_all",
  "mg ",
  "ms ",
  "md ",
  "ma ",
  "me ",
  "mn",
  "stats ",
  "verbosity ",
  "a",
  "b",
  " ",
  "  ",
  "0 0 3",
  "0 0 -1",
  "0 0 99999999999",
  "1048577",
  "\r\n",
  "\n",
  "\r",
  "\0",
  "abc\r\n",
  "noreply",
  " v k c t",
  " T30",
  " N30 R5",
  " b",
  "YQ==",
  "k".repeat(251),
  "\x80",
];
const nonsense = fc.oneof(
  fc
    .array(fc.constantFrom(...PIECES), { maxLength: 60 })
    .map((pieces) => Buffer.from(pieces.join(""), "latin1")),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
);

/** Fixed clocks: two runs of one stream must not straddle a second. */
const at = { now: () => 1_000_000_000_000 };

async function inPieces(stream: Buffer, cuts: readonly number[]): Promise<Conversation> {
  const conversation = new Conversation(at);
  let from = 0;
  const ends = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b);
  for (const end of [...ends, stream.length]) {
    // A copy each, overwritten after: nothing may be remembered by reference.
    const piece = Buffer.from(stream.subarray(from, end));
    await conversation.feed(piece).turns();
    piece.fill(0x2a);
    from = end;
  }
  return conversation;
}

describe("text protocol", () => {
  test("a stream is answered alike however it is cut", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.array(fc.nat(), { maxLength: 20 }), async (seed, cuts) => {
        const stream = Buffer.from(commandStream(random(seed), 12).join(""), "latin1");
        const whole = await inPieces(stream, []);
        const cut = await inPieces(stream, cuts);
        expect(cut.text).toBe(whole.text);
        expect([...whole.faults, ...cut.faults]).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  test("one byte at a time gives the same answers", async () => {
    for (const seed of [1, 2, 3]) {
      const stream = Buffer.from(commandStream(random(seed), 40).join(""), "latin1");
      const bytes = await inPieces(
        stream,
        Array.from({ length: stream.length }, (_, i) => i),
      );
      expect(bytes.text).toBe((await inPieces(stream, [])).text);
    }
  });

  test("nonsense neither faults nor piles up", async () => {
    await fc.assert(
      fc.asyncProperty(nonsense, fc.array(fc.nat(), { maxLength: 5 }), async (stream, cuts) => {
        const { faults, session, text } = await inPieces(stream, cuts);
        expect(faults).toEqual([]);
        // A line under way and the bytes of a block that came, with room to grow: never what was claimed.
        expect(session.parser.heldBytes).toBeLessThanOrEqual(16_384 + 4_096);
        expect(text).not.toContain("SERVER_ERROR internal");
      }),
      { numRuns: 600 },
    );
  });

  test("values come back as they were, whatever their bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2_000 }), fc.nat(2_000), async (value, cut) => {
        const stream = Buffer.concat([
          Buffer.from(`set k 9 0 ${value.length}\r\n`),
          value,
          Buffer.from("\r\nget k\r\n"),
        ]);
        const expected = `STORED\r\nVALUE k 9 ${value.length}\r\n${Buffer.from(value).toString("latin1")}\r\nEND\r\n`;
        expect((await inPieces(stream, [cut])).text).toBe(expected);
      }),
    );
  });
});

describe("datagrams", () => {
  let peer: Peer;
  beforeAll(async () => {
    peer = await ourPeer();
  });
  // close() throws what the server counted as its own fault.
  afterAll(() => peer.close());

  test("any bytes are a request or dropped", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const id = requestId(bytes);
        const isWhole = bytes.length > 8 && bytes[4] === 0 && bytes[5] === 1;
        expect(id).toBe(isWhole ? Buffer.from(bytes).readUInt16BE(0) : -1);
      }),
    );
  });

  test("after hundreds of broken datagrams the next request is answered", async () => {
    const draw = random(4);
    for (let i = 0; i < 300; i++) {
      const payload = Array.from(
        { length: Math.floor(draw() * 8) },
        () => PIECES[Math.floor(draw() * PIECES.length)],
      );
      const datagram = frame(i, payload.join(""), 0, draw() < 0.8 ? 1 : Math.floor(draw() * 5));
      await ask(peer.port, datagram.subarray(0, Math.floor(draw() * 300)), 1);
    }
    const [reply] = await ask(peer.port, frame(999, "mn\r\n"));
    expect(reply).toEqual(frame(999, "MN\r\n"));
  });
});
