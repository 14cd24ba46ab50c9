/**
 * Walks a program's paths as the verifier does and keeps account of each: instructions, look-ups, calls, and
 * every byte it copies. A copy is a value loaded from memory (packet, map value, stack buffer) and stored to
 * memory again, or a helper that moves bytes. Sites are loops (all their copying together), helper calls, or
 * source lines of straight code; a loop is a backward jump and what lies between.
 *
 * A path that the verifier cuts short, because an equal state was walked before, takes the rest of the walk
 * from the last time a path came by that instruction: exact outside loops, close inside them. The program is
 * walked twice: first to see which loops copy, since their bytes are priced whole, instructions included.
 */
import { decode } from "../bpf/codec.ts";
import { SK_ACTION, TC_ACTION, XDP_ACTION } from "../bpf/context.ts";
import type { Instruction } from "../bpf/isa.ts";
import type { MapTypeName, Program } from "../bpf/program.ts";
import { analyseShape, type Shape } from "../bpf/verifier/control-flow.ts";
import { explore } from "../bpf/verifier/explore.ts";
import { LineTable } from "../bpf/verifier/line-table.ts";
import { type VerifierHelper, verifierHelper } from "../bpf/verifier/linux-helpers.ts";
import { LogBook } from "../bpf/verifier/log.ts";
import type { State } from "../bpf/verifier/state.ts";
import type { Kind } from "../bpf/verifier/value.ts";
import { Walk } from "../bpf/verifier/walk.ts";
import type { Profile } from "../costs/profile.ts";

/** Copies above this belong in userspace (the source text's advice). */
export const LARGE_COPY = 500;

export type CopySite = {
  readonly kind: "loop" | "helper" | "straight";
  /** `file.c:42`, or `insn 17` without line information. */
  readonly where: string;
  readonly insn: number;
  readonly what: string;
  /** Greatest size on one path. */
  readonly bytes: number;
  readonly ns: number;
  readonly large: boolean;
};

export type VerdictTime = {
  readonly verdict: string;
  /** Paths walked to this verdict, or joined to one that was. */
  readonly paths: number;
  readonly minNs: number;
  readonly maxNs: number;
  /** Of the slowest path. */
  readonly instructions: number;
  readonly copiedBytes: number;
  readonly copyShare: number;
};

export type Audit = {
  readonly program: string;
  readonly type: Program["type"];
  readonly profile: string;
  readonly walked: number;
  readonly copies: readonly CopySite[];
  readonly verdicts: readonly VerdictTime[];
};

/** Sums of a path: modelled ns, the part of it that is copying, bytes copied, instructions outside copy loops. */
const SUMS = 4;
const [NS, COPY_NS, BYTES, INSTRUCTIONS] = [0, 1, 2, 3] as const;

/** Account of one path, cloned where paths part. */
class Account {
  readonly sums: Float64Array;
  /** Bytes by copy site. */
  readonly bytes: Float64Array;
  /** Bytes the register was loaded with from memory; 0: something computed. */
  readonly loaded: Uint8Array;
  /** Sums when the path last came by each meeting point (NaN: never), and behind them those of the start. */
  readonly at: Float64Array;

  constructor(sites: number, points: number, from?: Account) {
    this.sums = from ? from.sums.slice() : new Float64Array(SUMS);
    this.bytes = from ? from.bytes.slice() : new Float64Array(sites);
    this.loaded = from ? from.loaded.slice() : new Uint8Array(11);
    if (from) this.at = from.at.slice();
    else {
      this.at = new Float64Array((points + 1) * SUMS).fill(Number.NaN);
      this.at.fill(0, points * SUMS); // every path comes by the start
    }
  }
}

/**
 * For one verdict, the longest and the shortest way to it from each meeting point and, behind the last, from
 * the program's start. Below 0 and infinite where no path was walked.
 */
type Rest = { paths: number; readonly longest: Float64Array; readonly shortestNs: Float64Array };

type Site = { readonly kind: CopySite["kind"]; readonly insn: number; readonly loop: number; what: string };
type Loop = { readonly start: number; readonly end: number };

/** Helpers that move bytes: the argument that says how many, and whether that is all of a map's value. */
const COPYING: Readonly<Record<string, number>> = {
  skb_load_bytes: 4,
  skb_store_bytes: 4,
  xdp_load_bytes: 4,
  xdp_store_bytes: 4,
  ringbuf_output: 3,
  perf_event_output: 5,
};

/** Maps whose look-up costs a hash; those of any other type are indexed. */
const HASHES: ReadonlySet<MapTypeName> = new Set([
  "hash",
  "percpu_hash",
  "sockhash",
  "hash_of_maps",
  "devmap_hash",
]);
const LRU_HASHES: ReadonlySet<MapTypeName> = new Set(["lru_hash", "lru_percpu_hash"]);

/** @throws Rejection when the program is not accepted: verify it first for the reason */
export function auditProgram(program: Program, profile: Profile): Audit {
  const decoded = decode(program.bytecode);
  if (!decoded.ok) throw new Error(decoded.error.message);
  const shape = analyseShape(program, decoded.slots, false);
  let copyLoops: ReadonlySet<number> = new Set();
  for (let pass = 0; ; pass++) {
    const watcher = new Watcher(program, shape, profile, copyLoops);
    const walk = new Walk(program, shape, {}, watcher);
    explore(walk);
    if (pass === 1) return watcher.result(walk.stats.insnsProcessed);
    copyLoops = watcher.copyLoops();
  }
}

/** Sees each step of the walk where a log would. */
class Watcher extends LogBook {
  readonly #program: Program;
  readonly #profile: Profile;
  readonly #slots: readonly (Instruction | null)[];
  readonly #lines: LineTable;
  readonly #loops: readonly Loop[];
  /** Innermost loop of each instruction, 0 for none. */
  readonly #loopOf: Int32Array;
  readonly #copyLoops: ReadonlySet<number>;
  readonly #sites: Site[] = [];
  readonly #siteOf: Int32Array;
  /** Meeting points: where the verifier compares states. Index by instruction, -1 elsewhere. */
  readonly #pointOf: Int32Array;
  readonly #points: number;
  readonly #waiting = new Map<State, Account>();
  #account: Account;
  readonly #greatest: Float64Array;
  readonly #verdicts = new Map<string, Rest>();

  constructor(program: Program, shape: Shape, profile: Profile, copyLoops: ReadonlySet<number>) {
    super(2, new LineTable([]));
    const { slots, prunePoint } = shape;
    this.#program = program;
    this.#profile = profile;
    this.#slots = slots;
    this.#copyLoops = copyLoops;
    this.#lines = new LineTable(program.lines);
    this.#loops = findLoops(slots);
    this.#loopOf = new Int32Array(slots.length);
    // Outer loops first, so that the innermost stays.
    const bySize = this.#loops
      .map((loop, i) => ({ ...loop, i }))
      .sort((a, b) => b.end - b.start - (a.end - a.start));
    for (const { start, end, i } of bySize) this.#loopOf.fill(i + 1, start, end + 1);
    this.#siteOf = new Int32Array(slots.length).fill(-1);
    this.#findSites();
    let points = 0;
    this.#pointOf = Int32Array.from(prunePoint, (is) => (is === 1 ? points++ : -1));
    this.#points = points;
    this.#greatest = new Float64Array(this.#sites.length);
    this.#account = this.#fresh();
  }

  #fresh(): Account {
    return new Account(this.#sites.length, this.#points);
  }

  /** One site for each loop that stores, each copying helper, each source line of straight code that stores. */
  #findSites(): void {
    const known = new Map<string, number>();
    this.#slots.forEach((insn, at) => {
      if (!insn) return;
      const helper = insn.kind === "call" && insn.target === "helper" ? verifierHelper(insn.id) : undefined;
      const copies = helper && (COPYING[helper.name] !== undefined || helper.name === "map_update_elem");
      if (!copies && !(insn.kind === "store" && insn.src !== null)) return;
      const loop = this.#loopOf[at]!;
      const line = this.#lines.at(at);
      const key = copies
        ? `helper ${at}`
        : loop > 0
          ? `loop ${loop}`
          : `line ${line ? `${line.file}:${line.line}` : at}`;
      let site = known.get(key);
      if (site === undefined) {
        site = this.#sites.length;
        known.set(key, site);
        this.#sites.push({
          kind: copies ? "helper" : loop > 0 ? "loop" : "straight",
          insn: loop > 0 && !copies ? this.#loops[loop - 1]!.start : at,
          loop: copies ? 0 : loop,
          what: helper ? `bpf_${helper.name}` : "",
        });
      }
      this.#siteOf[at] = site;
    });
  }

  override add(): void {}
  override start(): void {
    this.#account = this.#fresh();
  }
  override branch(state: State): void {
    this.#waiting.set(state, new Account(0, 0, this.#account));
  }
  override resume(w: Walk): void {
    this.#account = this.#waiting.get(w.state) ?? this.#fresh();
    this.#waiting.delete(w.state);
  }
  override safe(w: Walk): void {
    this.#remember();
    const point = this.#pointOf[w.insn]!;
    if (point < 0) return;
    const { sums } = this.#account;
    const base = point * SUMS;
    for (const [verdict, { longest, shortestNs }] of this.#verdicts) {
      if (longest[base]! < 0) continue;
      this.#end(
        verdict,
        sums.map((v, i) => v + longest[base + i]!),
        sums[NS]! + shortestNs[point]!,
      );
    }
  }
  override after(): void {}

  override before(w: Walk): void {
    const at = w.insn;
    const insn = this.#slots[at];
    if (!insn) return;
    const account = this.#account;
    const { sums } = account;
    const point = this.#pointOf[at]!;
    if (point >= 0) account.at.set(sums, point * SUMS);
    if (!this.#copyLoops.has(this.#loopOf[at]!)) {
      sums[INSTRUCTIONS]!++;
      sums[NS]! += this.#profile.ns.instruction;
    }
    switch (insn.kind) {
      case "load":
        account.loaded[insn.dst] = isBuffer(w, insn.src) ? insn.bytes : 0;
        break;
      case "store":
        if (insn.src !== null && insn.dst !== 10 && account.loaded[insn.src]! > 0) {
          this.#copied(at, insn.bytes, this.#profile.ns.ebpfByte);
        }
        break;
      case "alu":
        // A moved register is still what was loaded, and so is one shifted or masked at a buffer's edge.
        if (insn.op === "mov") account.loaded[insn.dst] = insn.src === null ? 0 : account.loaded[insn.src]!;
        break;
      case "movsx":
        account.loaded[insn.dst] = account.loaded[insn.src]!;
        break;
      case "wide":
        account.loaded[insn.dst] = 0;
        break;
      case "call":
        this.#call(w, insn, at);
        break;
      case "exit":
        if (w.state.depth === 0) this.#exit(w);
        break;
      default:
        break;
    }
  }

  #call(w: Walk, insn: Instruction & { kind: "call" }, at: number): void {
    const account = this.#account;
    account.loaded.fill(0, 0, 6);
    if (insn.target !== "helper") return;
    const helper = verifierHelper(insn.id);
    if (!helper) return;
    const map = w.frame.regs[1]?.map;
    account.sums[NS]! += this.#priceOf(helper, map?.type);
    const { nativeByte } = this.#profile.ns;
    const sizeArg = COPYING[helper.name];
    if (sizeArg !== undefined) this.#copied(at, Number(w.frame.regs[sizeArg]?.scalar.umax ?? 0n), nativeByte);
    else if (helper.name === "map_update_elem" && map)
      this.#copied(at, map.keyBytes + map.valueBytes, nativeByte);
  }

  #copied(at: number, bytes: number, perByte: number): void {
    const { sums } = this.#account;
    this.#account.bytes[this.#siteOf[at]!]! += bytes;
    sums[BYTES]! += bytes;
    sums[NS]! += bytes * perByte;
    sums[COPY_NS]! += bytes * perByte;
  }

  #priceOf(helper: VerifierHelper, map: MapTypeName | undefined): number {
    const { ns } = this.#profile;
    if (helper.name.startsWith("map_")) {
      if (map && LRU_HASHES.has(map)) return ns.lruLookup;
      return map && HASHES.has(map) ? ns.hashLookup : ns.arrayLookup;
    }
    if (helper.name === "tail_call") return ns.tailCall;
    if (helper.name === "ktime_get_ns") return ns.clockRead;
    if (helper.name === "spin_lock") return ns.lock; // the price is of taking and releasing
    return helper.name === "spin_unlock" ? 0 : ns.helperCall;
  }

  #remember(): void {
    const { bytes } = this.#account;
    for (let i = 0; i < bytes.length; i++) {
      if (bytes[i]! > this.#greatest[i]!) this.#greatest[i] = bytes[i]!;
    }
  }

  #exit(w: Walk): void {
    this.#remember();
    const r0 = w.frame.regs[0];
    const exact = r0 !== undefined && r0.kind === "scalar" && r0.scalar.smin === r0.scalar.smax;
    const verdict = verdictName(this.#program, exact ? Number(r0.scalar.smin) | 0 : null);
    const { sums } = this.#account;
    this.#end(verdict, sums, sums[NS]!);
  }

  /** A path came to this verdict: tell every meeting point it went by. */
  #end(verdict: string, sums: Float64Array, shortestNs: number): void {
    const rest = this.#restOf(verdict);
    rest.paths++;
    const { longest, shortestNs: shortest } = rest;
    const { at } = this.#account;
    for (let point = 0, base = 0; point <= this.#points; point++, base += SUMS) {
      const from = at[base]!;
      if (Number.isNaN(from)) continue;
      if (sums[NS]! - from > longest[base]!) {
        for (let i = 0; i < SUMS; i++) longest[base + i] = sums[i]! - at[base + i]!;
      }
      if (shortestNs - from < shortest[point]!) shortest[point] = shortestNs - from;
    }
  }

  #restOf(verdict: string): Rest {
    const known = this.#verdicts.get(verdict);
    if (known) return known;
    const rest = {
      paths: 0,
      longest: new Float64Array((this.#points + 1) * SUMS).fill(-1),
      shortestNs: new Float64Array(this.#points + 1).fill(Number.POSITIVE_INFINITY),
    };
    this.#verdicts.set(verdict, rest);
    return rest;
  }

  /** Loops with a copy of some size on any path. */
  copyLoops(): Set<number> {
    return new Set(
      this.#sites.filter((site, i) => site.loop > 0 && this.#greatest[i]! > 0).map((site) => site.loop),
    );
  }

  result(walked: number): Audit {
    const { ns } = this.#profile;
    const price = (kind: CopySite["kind"]) => (kind === "helper" ? ns.nativeByte : ns.ebpfByte);
    const copies = this.#sites
      .map((site, i): CopySite => {
        const bytes = this.#greatest[i]!;
        const line = this.#lines.at(site.insn);
        return {
          kind: site.kind,
          where: line
            ? `${line.file.slice(line.file.lastIndexOf("/") + 1)}:${line.line}`
            : `insn ${site.insn}`,
          insn: site.insn,
          what: site.what || (line?.text.trim() ?? ""),
          bytes,
          ns: bytes * price(site.kind),
          large: bytes > LARGE_COPY,
        };
      })
      .filter((site) => site.bytes > 0)
      .sort((a, b) => b.bytes - a.bytes || a.insn - b.insn);
    const hookNs = ns.hookReach + ns.hookEnter;
    const start = this.#points * SUMS;
    const verdicts = [...this.#verdicts].map(([verdict, { paths, longest, shortestNs }]): VerdictTime => {
      const maxNs = longest[start + NS]! + hookNs;
      return {
        verdict,
        paths,
        minNs: shortestNs[this.#points]! + hookNs,
        maxNs,
        instructions: longest[start + INSTRUCTIONS]!,
        copiedBytes: longest[start + BYTES]!,
        copyShare: maxNs === 0 ? 0 : longest[start + COPY_NS]! / maxNs,
      };
    });
    verdicts.sort((a, b) => b.maxNs - a.maxNs);
    const { name, type } = this.#program;
    return { program: name, type, profile: this.#profile.name, walked, copies, verdicts };
  }
}

/** Kinds of pointers to bytes worth copying. Context fields and sockets are not. */
const BUFFERS: ReadonlySet<Kind> = new Set([
  "packet",
  "packet_meta",
  "map_value",
  "map_key",
  "mem",
  "ringbuf_mem",
]);

/** A spill at r10 itself is no copy either. */
function isBuffer(w: Walk, reg: number): boolean {
  const kind = w.frame.regs[reg]?.kind;
  return kind !== undefined && (BUFFERS.has(kind) || (kind === "stack" && reg !== 10));
}

/** A backward jump and all between it and its target. */
function findLoops(slots: readonly (Instruction | null)[]): Loop[] {
  const ends = new Map<number, number>();
  slots.forEach((insn, at) => {
    if (insn?.kind !== "jump" && insn?.kind !== "branch") return;
    const target = at + 1 + insn.off;
    if (target <= at) ends.set(target, Math.max(at, ends.get(target) ?? at));
  });
  return [...ends].map(([start, end]) => ({ start, end }));
}

const VERDICTS: Readonly<Record<Program["type"], Readonly<Record<string, number>>>> = {
  xdp: XDP_ACTION,
  tc: TC_ACTION,
  sk_skb: SK_ACTION,
  socket_filter: {},
};
const PREFIX = { xdp: "XDP_", tc: "TC_ACT_", sk_skb: "SK_", socket_filter: "" } as const;

function verdictName(program: Program, value: number | null): string {
  if (value === null) return program.attach === "stream_parser" ? "a length or an error" : "computed";
  if (program.attach === "stream_parser") return `returns ${value}`;
  const found = Object.entries(VERDICTS[program.type]).find(([, v]) => v === value);
  return found ? `${PREFIX[program.type]}${found[0].toUpperCase()}` : `returns ${value}`;
}
