/**
 * Programs for the differential and soundness tests: structured, not random bytes. Each looks up a map value,
 * has the packet at hand where its type may see it, and a body of idioms (bounded indexes, packet checks,
 * spills, loops, calls, locks, references), each with a chance of being off by one or of lacking its check.
 * Same seed, same program.
 */
import type { Program, ProgramType } from "../../../src/bpf/program.ts";
import { Builder, FRAME, IMMEDIATES, type Item, NUMBERS, SIZES } from "./generate/builder.ts";
import {
  callGlobal,
  callLoop,
  callStatic,
  clearSpills,
  finish,
  forEachElement,
} from "./generate/functions.ts";
import {
  changeElement,
  checksum,
  copyBytes,
  lockElement,
  lookUpElement,
  movePacket,
  reloadPacket,
  socketReference,
  tailCall,
} from "./generate/helper-calls.ts";
import { VALUE_BYTES } from "./generate/maps.ts";
import {
  atomic,
  contextField,
  deepStack,
  indexPacket,
  indexRegion,
  legacyLoad,
  metadata,
  packetLength,
  spill,
  spillPointer,
  stackIndex,
} from "./generate/memory.ts";
import { arithmetic, extend, loop, skip } from "./generate/numbers.ts";
import { pickWeighted, Random, type Weighted } from "./generate/random.ts";

/** Writes a few instructions; answers false where the scope lacks what it needs */
type Idiom = (b: Builder) => unknown;

const IDIOMS: readonly Weighted<Idiom>[] = [
  { weight: 30, make: arithmetic },
  { weight: 14, make: skip },
  { weight: 18, make: indexRegion },
  { weight: 14, make: indexPacket },
  { weight: 10, make: spill },
  { weight: 5, make: stackIndex },
  { weight: 6, make: loop },
  { weight: 7, make: extend },
  { weight: 4, make: atomic },
  { weight: 2, make: metadata },
  { weight: 2, make: packetLength },
  { weight: 4, make: spillPointer },
  { weight: 1, make: deepStack },
  { weight: 3, make: contextField },
  { weight: 2, make: legacyLoad },
  { weight: 7, make: lookUpElement },
  { weight: 4, make: changeElement },
  { weight: 4, make: lockElement },
  { weight: 2, make: socketReference },
  { weight: 3, make: tailCall },
  { weight: 4, make: movePacket },
  { weight: 4, make: copyBytes },
  { weight: 2, make: checksum },
  { weight: 7, make: (b) => callStatic(b, body) },
  { weight: 3, make: (b) => callGlobal(b, body) },
  { weight: 4, make: (b) => callLoop(b, body) },
  { weight: 2, make: (b) => forEachElement(b, body) },
];

function body(b: Builder, idioms: number, from = IDIOMS): void {
  for (let i = 0; i < idioms; i++) {
    const make = pickWeighted(b.random, from);
    if (make(b) === false) arithmetic(b);
  }
}

/** What a program without privileges may be made of: no back-edges, no functions, nothing for sockets. */
const STRAIGHT: readonly Weighted<Idiom>[] = [
  { weight: 30, make: arithmetic },
  { weight: 14, make: skip },
  { weight: 18, make: indexRegion },
  { weight: 10, make: spill },
  { weight: 3, make: stackIndex },
  { weight: 7, make: extend },
  { weight: 4, make: atomic },
  { weight: 4, make: spillPointer },
  { weight: 1, make: deepStack },
  { weight: 3, make: contextField },
  { weight: 2, make: legacyLoad },
  { weight: 7, make: lookUpElement },
  { weight: 4, make: changeElement },
  { weight: 2, make: tailCall },
  { weight: 3, make: copyBytes },
];

/** What one function may be made of without locks and references: there our log is the kernel's, line by line. */
const ONE_FUNCTION: readonly Weighted<Idiom>[] = [
  { weight: 30, make: arithmetic },
  { weight: 14, make: skip },
  { weight: 18, make: indexRegion },
  { weight: 14, make: indexPacket },
  { weight: 10, make: spill },
  { weight: 5, make: stackIndex },
  { weight: 6, make: loop },
  { weight: 7, make: extend },
  { weight: 4, make: atomic },
  { weight: 2, make: packetLength },
  { weight: 4, make: spillPointer },
];

const SCOPES = { all: IDIOMS, "one function": ONE_FUNCTION, unprivileged: STRAIGHT } as const;
export type Scope = keyof typeof SCOPES;

const TYPES: readonly Weighted<ProgramType>[] = [
  { weight: 60, make: "xdp" },
  { weight: 26, make: "tc" },
  { weight: 9, make: "socket_filter" },
  { weight: 5, make: "sk_skb" },
];

const VALUE = 9;

export type Generated = {
  readonly program: Program;
  readonly items: readonly Item[];
  /** Do its runs depend on nothing but packet and maps? */
  readonly comparable: boolean;
};

export function generateWith(seed: number, scope: Scope = "all"): Generated {
  const random = new Random(seed);
  const type = scope === "unprivileged" ? "socket_filter" : pickWeighted(random, TYPES);
  const b = new Builder(random, type, {
    regions: [{ reg: VALUE, bytes: VALUE_BYTES }],
    ctx: 6,
    packet: type === "socket_filter" ? null : { data: 7, end: 8 },
    out: "out",
    depth: 0,
  });
  b.move(6, 1);
  if (random.chance(97)) clearSpills(b);
  else {
    b.comparable = false;
    b.store(4, FRAME, -4, null, 0);
  }
  b.frame(2, -4);
  b.map(1, "array");
  b.helper("map_lookup_elem");
  if (!random.chance(2)) b.branch("eq", 0, null, 0, "leave");
  b.move(VALUE, 0);
  reloadPacket(b);
  for (const reg of NUMBERS) {
    if (random.chance(85)) b.load(random.pick(SIZES), reg, VALUE, 8 * reg);
    else b.set(reg, random.pick(IMMEDIATES));
  }
  body(b, 2 + random.below(8), SCOPES[scope]);
  // What the numbers came to is seen from outside.
  if (random.chance(70)) for (const reg of NUMBERS) b.store(8, VALUE, 24 + 8 * reg, reg);
  finish(b);
  if (b.isWanted("leave")) {
    b.label("leave");
    b.add({ kind: "exit" });
  }
  return { program: b.program(`fuzz_${seed}`), items: b.all(), comparable: b.comparable };
}

export function generate(seed: number): Program {
  return generateWith(seed).program;
}
