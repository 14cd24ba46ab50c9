/**
 * What programs tell userspace beside their verdict, mirrored from src/programs/hot_map.h: why the last
 * run decided as it did (map `run_info`), and the counters (map `stats`). A test compares with the header.
 */
import type { Crossing } from "../crossing.ts";

/** Word offsets in struct run_info. */
export const RUN_INFO_WORD = { reason: 0, slot: 1, hash: 2, generation: 3, valueLen: 5, headLen: 6 } as const;

/** `crossing`: what a pass for this reason is called; absent where the request did not pass for it. */
export const RUN_REASONS = [
  { code: 0, name: "NONE", crossing: "unsupported" },
  { code: 1, name: "HIT" },
  { code: 2, name: "NEED_MORE" },
  { code: 3, name: "FRAMED" },
  { code: 16, name: "COLD", crossing: "miss" },
  { code: 17, name: "COLLISION", crossing: "collision" },
  { code: 18, name: "MISPREDICTION", crossing: "collision" },
  { code: 19, name: "EXPIRED", crossing: "expired" },
  { code: 20, name: "RACED", crossing: "invalidated" },
  { code: 21, name: "WRITE", crossing: "method" },
  { code: 22, name: "METHOD", crossing: "method" },
  { code: 23, name: "ROUTE", crossing: "unsupported" },
  { code: 24, name: "QUERY", crossing: "unsupported" },
  { code: 25, name: "ESCAPED_KEY", crossing: "unsupported" },
  { code: 26, name: "KEY_TOO_LONG", crossing: "key-too-long" },
  { code: 27, name: "KEY_BYTES", crossing: "unsupported" },
  { code: 28, name: "HEADER", crossing: "unsupported" },
  { code: 29, name: "HOST", crossing: "unsupported" },
  { code: 30, name: "BODY", crossing: "unsupported" },
  { code: 31, name: "NO_ROOM", crossing: "unsupported" },
  { code: 32, name: "BAD_METHOD", crossing: "pinned" },
  { code: 33, name: "BAD_TARGET", crossing: "pinned" },
  { code: 34, name: "BAD_VERSION", crossing: "pinned" },
  { code: 35, name: "BAD_LINE_END", crossing: "pinned" },
  { code: 36, name: "BAD_BYTE", crossing: "pinned" },
  { code: 37, name: "BAD_HEADER_NAME", crossing: "pinned" },
  { code: 38, name: "BAD_CONTENT_LENGTH", crossing: "pinned" },
  { code: 39, name: "TRANSFER_ENCODING", crossing: "pinned" },
  { code: 40, name: "CONNECTION", crossing: "pinned" },
  { code: 41, name: "UPGRADE", crossing: "pinned" },
  { code: 42, name: "EXPECT", crossing: "pinned" },
  { code: 43, name: "HEAD_TOO_LONG", crossing: "pinned" },
  { code: 44, name: "NOT_LINEAR", crossing: "pinned" },
] as const satisfies readonly { code: number; name: string; crossing?: Crossing }[];

/** Reason names for metric labels and logs, by code: `connection`, `head-too-long`. */
export const REASON_NAMES: readonly string[] = Array.from({ length: 64 }, (_, code) => {
  const row = RUN_REASONS.find((reason) => reason.code === code);
  return row === undefined ? "unknown" : row.name.toLowerCase().replaceAll("_", "-");
});

/** Indices of u64 counters in the one value of `stats`. */
export const STATS = [
  { index: 0, name: "HTTP_GET" },
  { index: 1, name: "HTTP_HIT" },
  { index: 2, name: "HTTP_COLD" },
  { index: 3, name: "HTTP_COLLISION" },
  { index: 4, name: "HTTP_MISPREDICTION" },
  { index: 5, name: "HTTP_EXPIRED" },
  { index: 6, name: "HTTP_RACED" },
  { index: 7, name: "HTTP_UNSUPPORTED" },
  { index: 8, name: "HTTP_WRITE" },
  { index: 9, name: "HTTP_FRAMED" },
  { index: 10, name: "HTTP_UNFRAMED" },
  { index: 16, name: "MC_GET_RECV" },
  { index: 17, name: "MC_SET_RECV" },
  { index: 18, name: "MC_GET_RESP" },
  { index: 19, name: "MC_HIT" },
  { index: 20, name: "MC_MISS" },
  { index: 21, name: "MC_HIT_MISPREDICTION" },
  { index: 22, name: "MC_UPDATE" },
  { index: 23, name: "MC_INVALIDATION" },
  { index: 24, name: "MC_COLLISION" },
  { index: 25, name: "MC_EXPIRED" },
  { index: 26, name: "MC_PARTIAL" },
  { index: 27, name: "MC_TOO_BIG" },
  { index: 28, name: "MC_FILL_RACED" },
  { index: 29, name: "MC_MALFORMED" },
  { index: 30, name: "MC_UNKNOWN_STREAM" },
  { index: 31, name: "MC_UNSUPPORTED" },
  { index: 40, name: "MC_TCP_GET" },
  { index: 41, name: "MC_TCP_HIT" },
  { index: 42, name: "MC_TCP_MISS" },
  { index: 43, name: "MC_TCP_WRITE" },
  { index: 44, name: "MC_TCP_FRAMED" },
  { index: 45, name: "MC_TCP_UNFRAMED" },
  { index: 46, name: "MC_TCP_ANSWER" },
] as const;
export type StatName = (typeof STATS)[number]["name"];
/** First of the buckets of served value sizes: 0, 1, 2-3, 4-7 … 512-1000. */
export const STAT_VALUE_LOG2 = 48;
export const STAT_VALUE_BUCKETS = 11;
export const STAT_COUNT = 64;
