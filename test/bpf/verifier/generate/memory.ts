/** Idioms on memory: map values, the packet and its metadata, the stack, spilled pointers, the context. */
import type { AtomicOp, Bytes } from "../../../../src/bpf/isa.ts";
import type { ProgramType } from "../../../../src/bpf/program.ts";
import { ADDRESS, type Builder, FRAME, IMMEDIATES, NUMBERS, SIZES } from "./builder.ts";
import { bound, compare } from "./numbers.ts";

/** A frame's bytes, by use: numbers that idioms spill, then pointers, then what helpers are given. */
export const SPILL_SLOTS = 4;
const POINTER_SLOTS = [-80, -88];

export function touch(b: Builder, bytes: Bytes, off: number): void {
  const r = b.random;
  if (r.chance(65)) b.load(bytes, r.pick(NUMBERS), ADDRESS, off, r.chance(15));
  else b.store(bytes, ADDRESS, off, r.chance(70) ? r.pick(NUMBERS) : null, r.below(1000));
}

/** @returns false where no memory is at hand */
export function indexRegion(b: Builder): boolean {
  const r = b.random;
  if (b.scope.regions.length === 0) return false;
  const region = r.pick(b.scope.regions);
  const bytes = r.pick(SIZES.filter((size) => size <= region.bytes));
  const room = region.bytes - bytes;
  b.move(ADDRESS, region.reg);
  if (r.chance(35)) {
    touch(b, bytes, r.chance(88) ? r.below(room + 1) : r.pick([room + 1, -1, region.bytes]));
    return true;
  }
  const off = r.chance(60) ? 0 : r.below(Math.min(16, room + 1));
  const reg = r.pick(NUMBERS);
  if (!r.chance(6)) bound(b, reg, room - off);
  if (r.chance(10)) b.alu("mul", reg, null, r.below(4));
  b.alu(r.chance(94) ? "add" : "sub", ADDRESS, reg);
  touch(b, bytes, off);
  return true;
}

export function indexPacket(b: Builder): boolean {
  const r = b.random;
  if (!b.scope.packet) return false;
  const bytes = r.pick(SIZES);
  const off = r.below(6);
  b.move(ADDRESS, b.scope.packet.data);
  if (r.chance(60)) {
    const reg = r.pick(NUMBERS);
    if (!r.chance(10)) bound(b, reg, r.pick([10, 40, 1000, 0xffff]));
    b.alu("add", ADDRESS, reg);
  }
  const end = r.pick(NUMBERS);
  b.move(end, ADDRESS);
  b.alu("add", end, null, off + bytes - (r.chance(10) ? 1 : 0));
  checkBelow(b, end, b.scope.packet.end);
  b.set(end, r.below(100));
  touch(b, bytes, off);
  return true;
}

/** Leaves unless `end` is not beyond `limit`, in any form; a form may be off by one on the safe side. */
function checkBelow(b: Builder, end: number, limit: number): void {
  const r = b.random;
  if (r.chance(25)) {
    // The access behind a jump that is taken, not behind one that falls through.
    const inside = b.fresh();
    if (r.chance(50)) b.branch(r.pick(["le", "lt"] as const), end, limit, 0, inside);
    else b.branch(r.pick(["ge", "gt"] as const), limit, end, 0, inside);
    b.jump(b.scope.out);
    b.label(inside);
  } else if (r.chance(50)) b.branch(r.pick(["gt", "gt", "ge"] as const), end, limit, 0, b.scope.out);
  else b.branch(r.pick(["lt", "lt", "le"] as const), limit, end, 0, b.scope.out);
}

const META_FIELD: Readonly<Partial<Record<ProgramType, number>>> = { xdp: 8, tc: 140 };

/** The bytes in front of the packet. Rarely there: what counts is the proof. */
export function metadata(b: Builder): boolean {
  const r = b.random;
  const field = META_FIELD[b.type];
  if (field === undefined || b.scope.ctx === null || !b.scope.packet) return false;
  const bytes = r.pick([1, 4] as const);
  b.load(4, ADDRESS, b.scope.ctx, field);
  const end = r.pick(NUMBERS);
  b.move(end, ADDRESS);
  b.alu("add", end, null, bytes - (r.chance(12) ? 1 : 0));
  checkBelow(b, end, r.chance(92) ? b.scope.packet.data : b.scope.packet.end);
  b.set(end, r.below(100));
  touch(b, bytes, 0);
  return true;
}

export function packetLength(b: Builder): boolean {
  if (!b.scope.packet) return false;
  const length = b.random.pick(NUMBERS);
  b.move(length, b.scope.packet.end);
  b.alu("sub", length, b.scope.packet.data);
  return true;
}

export function spill(b: Builder): void {
  const r = b.random;
  const slot = -8 * (1 + r.below(SPILL_SLOTS));
  const bytes = r.chance(65) ? 8 : r.pick(SIZES);
  b.store(bytes, FRAME, slot, r.chance(80) ? r.pick(NUMBERS) : null, r.pick(IMMEDIATES));
  if (r.chance(40)) compare(b, b.scope.out);
  const back = r.chance(65) ? bytes : r.pick(SIZES);
  b.load(back, r.pick(NUMBERS), FRAME, slot + (back < 8 && r.chance(25) ? back : 0));
}

export function stackIndex(b: Builder): void {
  const reg = b.random.pick(NUMBERS);
  bound(b, reg, 31);
  b.frame(ADDRESS, -32);
  b.alu("add", ADDRESS, reg);
  touch(b, 1, 0);
}

/** A pointer goes to the stack and back, sometimes with a byte of it overwritten. */
export function spillPointer(b: Builder): boolean {
  const r = b.random;
  const region = b.scope.regions.length > 0 ? r.pick(b.scope.regions) : null;
  if (!region) return false;
  const slot = r.pick(POINTER_SLOTS);
  b.store(8, FRAME, slot, region.reg);
  if (r.chance(40)) compare(b, b.scope.out);
  if (r.chance(8)) b.store(r.pick([1, 4] as const), FRAME, slot + r.pick([0, 4]), null, 0);
  b.load(r.chance(96) ? 8 : 4, ADDRESS, FRAME, slot);
  touch(b, 1, r.chance(90) ? r.below(region.bytes) : region.bytes);
  return true;
}

/** Far down the stack: frames share 512 bytes. */
export function deepStack(b: Builder): void {
  const r = b.random;
  const slot = -8 * r.pick([16, 24, 32, 48, 56, 64, 65]);
  b.store(8, FRAME, slot, r.chance(50) ? r.pick(NUMBERS) : null, r.below(9));
  b.load(8, r.pick(NUMBERS), FRAME, slot);
}

const ATOMICS: readonly AtomicOp[] = ["add", "or", "and", "xor", "xchg", "cmpxchg"];

export function atomic(b: Builder): boolean {
  const r = b.random;
  if (b.scope.regions.length === 0) return false;
  const region = r.pick(b.scope.regions);
  const bytes = r.pick([4, 8] as const);
  const room = region.bytes - bytes;
  const off = r.chance(90) ? r.below(Math.floor(room / bytes) + 1) * bytes : r.pick([room + bytes, 2]);
  const op = r.pick(ATOMICS);
  const fetch = op === "xchg" || op === "cmpxchg" || r.chance(50);
  b.add({ kind: "atomic", op, fetch, bytes, dst: region.reg, src: r.pick(NUMBERS), off });
  return true;
}

/** Fields that are the same in every test run, by type; any other offset is for the verdict only. */
const STEADY_FIELDS: Readonly<Record<ProgramType, readonly number[]>> = {
  xdp: [12, 16],
  tc: [0, 8, 12, 32, 48, 52, 56, 60, 64],
  sk_skb: [0],
  socket_filter: [0, 12, 32, 48, 52, 56, 60, 64],
};

export function contextField(b: Builder): boolean {
  const r = b.random;
  if (b.scope.ctx === null) return false;
  if (r.chance(75)) {
    b.load(4, r.pick(NUMBERS), b.scope.ctx, r.pick(STEADY_FIELDS[b.type]));
    return true;
  }
  if (r.chance(50)) {
    b.comparable = false;
    const reg = r.pick(NUMBERS);
    b.load(r.pick(SIZES), reg, b.scope.ctx, r.below(50) * 4);
    b.set(reg, r.below(64));
  } else b.store(4, b.scope.ctx, r.below(48) * 4, r.pick(NUMBERS));
  return true;
}

/** The deprecated packet loads: r6 has to be the context, and a miss ends the program with 0. */
export function legacyLoad(b: Builder): boolean {
  const r = b.random;
  if (b.scope.ctx !== 6 || b.scope.depth > 0 || (b.type === "xdp" && !r.chance(5))) return false;
  const src = r.chance(50) ? r.pick(NUMBERS) : null;
  b.add({ kind: "packet", bytes: r.pick([1, 2, 4] as const), src, imm: r.below(40) });
  for (const reg of NUMBERS.slice(1)) b.set(reg, r.pick(IMMEDIATES));
  return true;
}
