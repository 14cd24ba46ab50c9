/**
 * Functions: static ones with pointers to the caller's stack, to map values and into the packet, global ones
 * with a prototype, callbacks of bpf_loop and bpf_for_each_map_elem. Bodies are made of the same idioms.
 */
import type { FuncArg } from "../../../../src/bpf/program.ts";
import { type Builder, FRAME, IMMEDIATES, NUMBERS, type Region, type Scope } from "./builder.ts";
import { refill, reloadPacket } from "./helper-calls.ts";
import { FUZZ_MAPS } from "./maps.ts";
import { SPILL_SLOTS } from "./memory.ts";
import { bound } from "./numbers.ts";

/** Calls nest this deep at most: each frame takes up to 96 bytes of the 512. */
const MAX_DEPTH = 3;
const SHARED_BYTES = 32;

type Body = (b: Builder, idioms: number) => void;

/** Zeroes what the body may read, so that a run does not depend on what the stack held before. */
export function clearSpills(b: Builder): void {
  // And one more: an index that may be -1 reads below them, and what Linux finds there is anybody's.
  for (let slot = 1; slot <= SPILL_SLOTS + 1; slot++) b.store(8, FRAME, -8 * slot, null, 0);
}

/** How a body ends: r0 is a number; what gave up returns 0. */
export function finish(b: Builder): void {
  b.move(0, b.random.pick(NUMBERS));
  b.add({ kind: "exit" });
  if (!b.isWanted(b.scope.out)) return;
  b.label(b.scope.out);
  b.set(0, 0);
  b.add({ kind: "exit" });
}

export function callStatic(b: Builder, body: Body): boolean {
  const r = b.random;
  const { scope } = b;
  if (scope.depth >= MAX_DEPTH) return false;
  const name = b.fresh("static");
  const pointer = r.pick(["stack", "region", "none"] as const);
  const region = scope.regions.length > 0 ? r.pick(scope.regions) : null;
  const bytes = pointer === "stack" || !region ? SHARED_BYTES : region.bytes;
  const withPacket = scope.packet !== null && scope.ctx !== null && r.chance(40);

  b.move(2, r.pick(NUMBERS));
  if (r.chance(40)) bound(b, 2, 15);
  if (pointer === "stack" || !region) {
    clearSpills(b);
    b.frame(1, -SHARED_BYTES);
  } else b.move(1, region.reg);
  if (withPacket && scope.packet && scope.ctx !== null) {
    b.move(3, scope.ctx);
    b.move(4, scope.packet.data);
    b.move(5, scope.packet.end);
  }
  b.call(name);
  if (withPacket && r.chance(50)) reloadPacket(b);
  refill(b, r.chance(90) ? 1 : 0);

  const inner: Scope = {
    regions: pointer === "none" ? [] : [{ reg: 9, bytes }],
    ctx: withPacket ? 6 : null,
    packet: withPacket ? { data: 7, end: 8 } : null,
    out: b.fresh("out"),
    depth: scope.depth + 1,
  };
  b.function(name, null, inner, () => {
    if (pointer !== "none") b.move(9, 1);
    if (withPacket)
      for (const [to, from] of [
        [6, 3],
        [7, 4],
        [8, 5],
      ] as const)
        b.move(to, from);
    clearSpills(b);
    b.move(0, 2);
    for (const reg of NUMBERS.slice(1)) if (reg !== 2) b.set(reg, r.pick(IMMEDIATES));
    body(b, 1 + r.below(4));
    finish(b);
  });
  return true;
}

/** What a global function may be declared to take. */
type Prototype = { readonly args: readonly FuncArg[]; readonly bytes: number };

export function callGlobal(b: Builder, body: Body): boolean {
  const r = b.random;
  const { scope } = b;
  if (scope.depth >= MAX_DEPTH) return false;
  const name = b.fresh("global");
  const takesCtx = scope.ctx !== null && r.chance(40);
  const bytes = r.pick([4, 8, 16, 32]);
  const { args } = prototype(b, takesCtx, bytes);
  b.move(2, r.pick(NUMBERS));
  clearSpills(b);
  b.frame(1, -SHARED_BYTES + (r.chance(94) ? 0 : SHARED_BYTES - 1));
  if (scope.ctx !== null) b.move(3, scope.ctx);
  if (r.chance(6)) b.set(1, 0);
  b.call(name);
  if (scope.packet && r.chance(70)) reloadPacket(b);
  refill(b);
  const inner: Scope = {
    regions: [{ reg: 9, bytes }],
    ctx: takesCtx ? 6 : null,
    packet: null,
    out: b.fresh("out"),
    depth: scope.depth + 1,
  };
  b.function(name, args, inner, () => {
    // The pointer may be NULL: the prototype does not say otherwise.
    if (!r.chance(5)) b.branch("eq", 1, null, 0, inner.out);
    b.move(9, 1);
    if (takesCtx) b.move(6, 3);
    clearSpills(b);
    b.move(0, 2);
    for (const reg of NUMBERS.slice(1)) if (reg !== 2) b.set(reg, r.pick(IMMEDIATES));
    body(b, 1 + r.below(3));
    finish(b);
  });
  return true;
}

function prototype(b: Builder, takesCtx: boolean, bytes: number): Prototype {
  const number: FuncArg = { kind: "scalar", bytes: b.random.pick([4, 8]) };
  const memory: FuncArg = { kind: "pointer", pointeeBytes: bytes, typeName: "region" };
  return { args: [memory, number, ...(takesCtx ? [{ kind: "ctx" } as const] : [])], bytes };
}

/** What bpf_loop's and bpf_for_each_map_elem's callbacks return: go on (0) or stop (1), or something else. */
function finishCallback(b: Builder): void {
  const r = b.random;
  b.set(0, r.chance(95) ? r.below(2) : 2);
  if (r.chance(25)) {
    b.move(0, r.pick(NUMBERS.slice(1)));
    b.alu("and", 0, null, r.chance(90) ? 1 : 3);
  }
  b.add({ kind: "exit" });
  if (!b.isWanted(b.scope.out)) return;
  b.label(b.scope.out);
  b.set(0, 1);
  b.add({ kind: "exit" });
}

export function callLoop(b: Builder, body: Body): boolean {
  const r = b.random;
  if (b.scope.depth >= MAX_DEPTH - 1) return false;
  const name = b.fresh("turn");
  clearSpills(b);
  const count = r.pick(NUMBERS);
  if (r.chance(60)) {
    // Unbounded turns would be long runs: the verdict asks for no bound, the machine does.
    b.alu("and", count, null, 15);
    b.move(1, count);
  } else b.set(1, r.pick([0, 1, 5, 20, 100]));
  b.callback(2, name);
  const withCtx = r.chance(85);
  if (withCtx) b.frame(3, -SHARED_BYTES);
  else b.set(3, 0);
  b.set(4, r.chance(95) ? 0 : 1);
  b.helper("loop");
  refill(b);
  const inner = calledBack(b, withCtx ? [{ reg: 9, bytes: SHARED_BYTES }] : []);
  b.function(name, null, inner, () => {
    if (withCtx) b.move(9, 2);
    clearSpills(b);
    b.move(0, 1);
    for (const reg of NUMBERS.slice(2)) b.set(reg, r.pick(IMMEDIATES));
    body(b, 1 + r.below(3));
    finishCallback(b);
  });
  return true;
}

/** Where a callback begins: its own frame, the caller's beneath it. */
function calledBack(b: Builder, regions: readonly Region[]): Scope {
  return { regions, ctx: null, packet: null, out: b.fresh("out"), depth: b.scope.depth + 1 };
}

export function forEachElement(b: Builder, body: Body): boolean {
  const r = b.random;
  if (b.scope.depth >= MAX_DEPTH - 1) return false;
  const name = b.fresh("each");
  const over = r.pick(["hash", "slots", "array"] as const);
  clearSpills(b);
  b.map(1, over);
  b.callback(2, name);
  b.frame(3, -SHARED_BYTES);
  b.set(4, r.chance(95) ? 0 : 1);
  b.helper("for_each_map_elem");
  refill(b);
  const inner = calledBack(b, [
    { reg: 9, bytes: SHARED_BYTES },
    { reg: 8, bytes: FUZZ_MAPS[over].valueBytes },
  ]);
  b.function(name, null, inner, () => {
    b.move(9, 4);
    b.move(8, 3);
    b.load(4, 0, 2, 0);
    clearSpills(b);
    for (const reg of NUMBERS.slice(1)) b.set(reg, r.pick(IMMEDIATES));
    body(b, 1 + r.below(3));
    finishCallback(b);
  });
  return true;
}
