/**
 * Why a request crossed into userspace, as one table: the word in `Cache-Status` and in metric labels, and
 * the forward reason RFC 9211 §2.2 has for it. Programs report the first group by number
 * (src/programs/hot_map.h), hooks and the control plane the rest.
 */
export const CROSSINGS = [
  { name: "miss", fwd: "uri-miss", help: "nothing in the key's slot" },
  { name: "collision", fwd: "uri-miss", help: "another key holds the slot" },
  { name: "invalidated", fwd: "uri-miss", help: "the key was written since it was filled" },
  { name: "expired", fwd: "stale", help: "the hot entry outlived its time to live" },
  { name: "unsupported", fwd: "bypass", help: "a request the program does not answer" },
  { name: "method", fwd: "method", help: "not a GET" },
  { name: "ordered", fwd: "bypass", help: "an earlier request of the connection was still in userspace" },
  { name: "pinned", fwd: "bypass", help: "the connection stays in userspace for its life" },
  { name: "partial", fwd: "bypass", help: "the rest of the request did not come in time" },
  { name: "not-admitted", fwd: "uri-miss", help: "not asked for often enough to be filled" },
  { name: "too-big", fwd: "uri-miss", help: "value over the hot tier's limit" },
  { name: "key-too-long", fwd: "uri-miss", help: "key over the hot tier's limit" },
  { name: "no-program", fwd: "bypass", help: "no program is attached" },
  { name: "fault", fwd: "bypass", help: "the program failed and was detached" },
] as const satisfies readonly { name: string; fwd: string; help: string }[];

export type Crossing = (typeof CROSSINGS)[number]["name"];

export const CROSSING_INDEX: Readonly<Record<Crossing, number>> = Object.fromEntries(
  CROSSINGS.map(({ name }, index) => [name, index]),
) as Record<Crossing, number>;
