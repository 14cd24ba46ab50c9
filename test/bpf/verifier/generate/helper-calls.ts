/**
 * Idioms around helpers: look-ups with their null check, updates, spin locks, socket references, tail calls,
 * packets that move, memory with a bounded length. Every call costs r1..r5: `refill` makes them numbers again.
 */
import type { ProgramType } from "../../../../src/bpf/program.ts";
import { ADDRESS, type Builder, FRAME, IMMEDIATES, NUMBERS, SIZES } from "./builder.ts";
import type { FuzzMapName } from "./maps.ts";
import { FUZZ_MAPS } from "./maps.ts";
import { touch } from "./memory.ts";
import { arithmetic, bound } from "./numbers.ts";

/** Bytes of the frame helpers are given: a key, a value, a buffer. */
const KEY = -40;
const ELEMENT = -72;
const BUFFER = -32;

export function refill(b: Builder, from = 1): void {
  const r = b.random;
  const region = b.scope.regions[0];
  for (const reg of NUMBERS.slice(from)) {
    if (region && r.chance(60)) b.load(r.pick(SIZES), reg, region.reg, 8 * r.below(region.bytes / 8));
    else b.set(reg, r.pick(IMMEDIATES));
  }
}

/** A key on the stack, of a bounded number or a constant; sometimes half of it unwritten. */
function writeKey(b: Builder, name: FuzzMapName): void {
  const r = b.random;
  const { keyBytes } = FUZZ_MAPS[name];
  const reg = r.chance(60) ? r.pick(NUMBERS) : null;
  if (reg !== null) b.alu("and", reg, null, 3);
  const written = keyBytes === 8 && r.chance(96) ? 8 : 4;
  if (written < keyBytes) b.comparable = false;
  b.store(written, FRAME, KEY, reg, r.below(4));
}

function lookUp(b: Builder, name: FuzzMapName): void {
  writeKey(b, name);
  b.map(1, name);
  const right = b.random.chance(97);
  if (!right) b.comparable = false;
  b.frame(2, right ? KEY : KEY + 4);
  b.helper("map_lookup_elem");
}

const LOOKED_UP: readonly FuzzMapName[] = ["hash", "slots", "percpu", "array", "locked"];

/** Looks up an element, checks the answer in one of several ways, and works on it. */
export function lookUpElement(b: Builder): void {
  const r = b.random;
  const name = r.pick(LOOKED_UP);
  lookUp(b, name);
  const missing = b.fresh();
  // Checked through a copy: both get the verdict by their common id.
  const copied = r.chance(30);
  if (copied) b.move(ADDRESS, 0);
  if (!r.chance(5)) b.branch("eq", 0, null, 0, missing);
  if (!copied) b.move(ADDRESS, 0);
  b.set(0, r.below(64));
  refill(b);
  const { valueBytes } = FUZZ_MAPS[name];
  const bytes = r.pick(SIZES);
  if (r.chance(50)) {
    const reg = r.pick(NUMBERS);
    const end = b.fresh();
    const outer = b.scope;
    b.scope = { ...outer, out: end };
    bound(b, reg, valueBytes - bytes);
    b.scope = outer;
    b.alu("add", ADDRESS, reg);
    touch(b, bytes, 0);
    b.label(end);
  } else touch(b, bytes, r.chance(90) ? r.below(valueBytes - bytes + 1) : valueBytes - bytes + 1);
  const done = b.fresh();
  b.jump(done);
  b.label(missing);
  b.set(0, 77);
  refill(b);
  b.label(done);
}

export function changeElement(b: Builder): void {
  const r = b.random;
  const name = r.pick(["hash", "slots", "locked"] as const);
  writeKey(b, name);
  if (r.chance(35)) {
    b.map(1, name);
    b.frame(2, KEY);
    b.helper("map_delete_elem");
    refill(b);
    return;
  }
  const words = FUZZ_MAPS[name].valueBytes / 8 - (r.chance(6) ? 1 : 0);
  for (let i = 0; i < words; i++)
    b.store(8, FRAME, ELEMENT + 8 * i, r.chance(50) ? r.pick(NUMBERS) : null, i);
  if (words < FUZZ_MAPS[name].valueBytes / 8) b.comparable = false;
  b.map(1, name);
  b.frame(2, KEY);
  b.frame(3, ELEMENT);
  b.set(4, r.pick([0, 0, 0, 1, 2, 7]));
  b.helper("map_update_elem");
  refill(b);
}

/** A critical section: right, or with the lock kept, taken twice, a helper or a way out within, or touched. */
export function lockElement(b: Builder): boolean {
  const r = b.random;
  if (b.type === "socket_filter" && !r.chance(10)) return false;
  const name = r.pick(["locked", "lockedLate"] as const);
  const at = FUZZ_MAPS[name].spinLockOffset;
  const saved = 16;
  lookUp(b, name);
  const missing = b.fresh();
  b.branch("eq", 0, null, 0, missing);
  b.store(8, FRAME, -saved * 6, 0);
  const point = (): void => {
    b.load(8, 1, FRAME, -saved * 6);
    const off = r.chance(97) ? at : r.pick([4, 12]);
    if (off !== 0) b.alu("add", 1, null, off);
  };
  point();
  b.helper("spin_lock");
  b.load(8, ADDRESS, FRAME, -saved * 6);
  b.set(0, 1);
  refill(b);
  const section = r.below(100);
  if (section < 70) {
    const bytes = r.pick(SIZES);
    const off = r.chance(90) ? 16 + r.below(16 - bytes + 1) : r.below(32 - bytes + 1);
    touch(b, bytes, off);
    if (r.chance(30)) arithmetic(b);
  } else if (section < 76) b.helper("ktime_get_ns");
  else if (section < 82) {
    point();
    b.helper("spin_lock");
  } else if (section < 88) b.branch("eq", r.pick(NUMBERS), null, 5, b.scope.out);
  if (!r.chance(5)) {
    point();
    b.helper("spin_unlock");
  }
  b.label(missing);
  b.set(0, r.below(9));
  refill(b);
  return true;
}

/** A socket looked up in the packet's or the stack's tuple, and given back, or not. */
export function socketReference(b: Builder): boolean {
  const r = b.random;
  if (b.scope.ctx === null || b.type === "socket_filter") return false;
  const finder = r.pick(["sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp"]);
  for (const off of [BUFFER, BUFFER + 8]) b.store(8, FRAME, off, null, 0);
  b.move(1, b.scope.ctx);
  b.frame(2, BUFFER);
  b.set(3, 12);
  b.set(4, -1);
  b.set(5, 0);
  b.helper(finder);
  const none = b.fresh();
  const op = r.chance(95) ? "eq" : "ne";
  b.branch(op, 0, null, 0, none);
  if (r.chance(40)) {
    b.store(8, FRAME, -96, 0);
    if (r.chance(20)) b.branch("eq", 0, null, 0, b.scope.out);
    b.load(8, 0, FRAME, -96);
  }
  if (r.chance(30)) b.load(4, 2, 0, r.pick([0, 4, 8, 24, 60, 80]));
  b.move(1, 0);
  if (!r.chance(6)) b.helper("sk_release");
  if (r.chance(5)) b.load(4, 2, 0, 4);
  b.label(none);
  b.set(0, 3);
  refill(b);
  return true;
}

export function tailCall(b: Builder): boolean {
  const r = b.random;
  if (b.scope.ctx === null) return false;
  const index = r.pick(NUMBERS);
  b.move(3, index);
  b.move(1, r.chance(97) ? b.scope.ctx : FRAME);
  b.map(2, r.chance(96) ? "programs" : "slots");
  b.helper("tail_call");
  b.set(0, r.below(5));
  // A tail-called program may have moved the packet before the caller goes on.
  if (b.scope.packet && r.chance(90)) reloadPacket(b);
  refill(b);
  return true;
}

const DATA_FIELDS: Readonly<Partial<Record<ProgramType, readonly [data: number, end: number]>>> = {
  xdp: [0, 4],
  tc: [76, 80],
  sk_skb: [76, 80],
};

export function reloadPacket(b: Builder): void {
  const fields = DATA_FIELDS[b.type];
  if (!fields || !b.scope.packet || b.scope.ctx === null) return;
  b.load(4, b.scope.packet.data, b.scope.ctx, fields[0]);
  b.load(4, b.scope.packet.end, b.scope.ctx, fields[1]);
}

/** Helpers that move the packet: [name, number of arguments behind the context, values of the first]. */
const MOVERS: Readonly<
  Partial<Record<ProgramType, readonly (readonly [string, number, readonly number[]])[]>>
> = {
  xdp: [
    ["xdp_adjust_head", 1, [-14, -4, 0, 4, 14]],
    ["xdp_adjust_tail", 1, [-8, 0, 8]],
    ["xdp_adjust_meta", 1, [-8, -4, 0]],
  ],
  tc: [
    ["skb_pull_data", 1, [0, 14, 20]],
    ["skb_change_tail", 2, [20, 40, 60]],
  ],
  sk_skb: [
    ["skb_pull_data", 1, [0, 14]],
    ["skb_change_head", 2, [4, 14]],
  ],
};

export function movePacket(b: Builder): boolean {
  const r = b.random;
  const movers = MOVERS[b.type];
  if (!movers || b.scope.ctx === null) return false;
  const [name, args, values] = r.pick(movers);
  b.move(1, b.scope.ctx);
  b.set(2, r.pick(values));
  if (args > 1) b.set(3, 0);
  b.helper(name);
  if (r.chance(85)) reloadPacket(b);
  refill(b);
  return true;
}

const COPIERS: Readonly<Record<ProgramType, readonly string[]>> = {
  xdp: ["xdp_load_bytes", "xdp_store_bytes"],
  tc: ["skb_load_bytes", "skb_store_bytes"],
  sk_skb: ["skb_load_bytes"],
  socket_filter: ["skb_load_bytes"],
};

/** Packet bytes to the stack or back, with a constant length or a bounded one. */
export function copyBytes(b: Builder): boolean {
  const r = b.random;
  if (b.scope.ctx === null) return false;
  const name = r.pick(COPIERS[b.type]);
  if (r.chance(60)) {
    const reg = r.pick(NUMBERS);
    bound(b, reg, 32);
    if (r.chance(70)) b.branch("eq", reg, null, 0, b.scope.out);
    b.move(4, reg);
  } else b.set(4, r.chance(90) ? 1 + r.below(32) : r.pick([0, 33, -1]));
  b.set(2, r.below(24));
  b.frame(3, BUFFER);
  b.move(1, b.scope.ctx);
  b.set(5, 0);
  b.helper(name);
  if (name === "skb_store_bytes" && r.chance(90)) reloadPacket(b);
  refill(b);
  return true;
}

export function checksum(b: Builder): boolean {
  const r = b.random;
  if (b.type !== "xdp" && b.type !== "tc") return false;
  const reg = r.pick(NUMBERS);
  if (r.chance(50)) bound(b, reg, 32);
  else b.set(reg, r.pick([4, 8, 32, 36]));
  b.alu("and", reg, null, r.chance(85) ? 0x3c : 0x7c);
  b.move(4, reg);
  b.set(1, 0);
  b.set(2, 0);
  b.frame(3, BUFFER);
  b.set(5, r.below(100));
  b.helper("csum_diff");
  refill(b);
  return true;
}
