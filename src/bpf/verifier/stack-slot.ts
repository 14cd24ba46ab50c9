/**
 * Eight bytes of a program's stack. Each byte has a type; a slot whose every byte is `spill` (or whose
 * upper bytes are, after a 4-byte fill) remembers the register spilled into it. Immutable.
 * Byte 0 is the lowest address of the slot; four bits a byte, packed into one int32.
 */
import { isConstant } from "./scalar.ts";
import { UNINIT, type Value } from "./value.ts";

/** Characters as the kernel prints them. */
export const BYTE = { invalid: 0, spill: 1, misc: 2, zero: 3, iter: 4 } as const;
export type ByteType = (typeof BYTE)[keyof typeof BYTE];
export const BYTE_LETTERS = "?rm0i";

export type Slot = {
  readonly bytes: number;
  /** The register spilled here, or the iterator; UNINIT where no byte is `spill` or `iter`. */
  readonly spilled: Value;
};

export const SLOT_BYTES = 8;

function filled(type: ByteType): Slot {
  return { bytes: Math.imul(0x1111_1111, type), spilled: UNINIT };
}

export const SLOT_INVALID = filled(BYTE.invalid);
export const SLOT_MISC = filled(BYTE.misc);
export const SLOT_ZERO = filled(BYTE.zero);
const ALL_SPILL = Math.imul(0x1111_1111, BYTE.spill);
const ALL_ITER = Math.imul(0x1111_1111, BYTE.iter);

export function byteType(slot: Slot, index: number): ByteType {
  return ((slot.bytes >>> (index * 4)) & 0xf) as ByteType;
}

export function spillSlot(value: Value): Slot {
  return { bytes: ALL_SPILL, spilled: value };
}

/** All eight bytes are the iterator's. */
export function iteratorSlot(iterator: Value): Slot {
  return { bytes: ALL_ITER, spilled: iterator };
}

/** A spill of the low `size` bytes: the bytes above keep what they held, as far as one still knows it. */
export function partialSpill(before: Slot, value: Value, size: number): Slot {
  let bytes = before.bytes;
  for (let i = 0; i < SLOT_BYTES; i++) {
    if (i < size) bytes = setByte(bytes, i, BYTE.spill);
    else if (isOwned(bytes, i)) bytes = setByte(bytes, i, BYTE.misc);
  }
  return { bytes, spilled: value };
}

/** Part of something that a write to its neighbour destroys. */
function isOwned(bytes: number, index: number): boolean {
  const type = (bytes >>> (index * 4)) & 0xf;
  return type === BYTE.spill || type === BYTE.iter;
}

function setByte(bytes: number, index: number, type: ByteType): number {
  return (bytes & ~(0xf << (index * 4))) | (type << (index * 4));
}

/** Bytes `from`..`from + size - 1` become `type`; a spilled register in the slot is forgotten. */
export function overwritten(before: Slot, from: number, size: number, type: ByteType): Slot {
  if (size === SLOT_BYTES)
    return type === BYTE.misc ? SLOT_MISC : type === BYTE.zero ? SLOT_ZERO : SLOT_INVALID;
  let { bytes } = before;
  if (isOwned(bytes, 0)) {
    for (let i = 0; i < SLOT_BYTES; i++) if (isOwned(bytes, i)) bytes = setByte(bytes, i, BYTE.misc);
  }
  for (let i = from; i < from + size; i++) bytes = setByte(bytes, i, type);
  if (bytes === SLOT_MISC.bytes) return SLOT_MISC;
  return { bytes, spilled: UNINIT };
}

export function holdsSpill(slot: Slot): boolean {
  // A 4-byte spill leaves the upper half to others; its lowest byte always is part of it.
  return byteType(slot, 0) === BYTE.spill;
}

export function isFullSpill(slot: Slot): boolean {
  return slot.bytes === ALL_SPILL;
}

/** Bytes from the slot's lowest address that belong to the spill. */
export function spillSize(slot: Slot): number {
  let size = 0;
  while (size < SLOT_BYTES && byteType(slot, size) === BYTE.spill) size++;
  return size;
}

/** Are these bytes known to be zero, whichever way they came to be? */
export function isZeroSpill(slot: Slot): boolean {
  const { spilled } = slot;
  return spilled.kind === "scalar" && isConstant(spilled.scalar) && spilled.scalar.tnum.value === 0n;
}

/** Nothing but numbers nobody knows: equal to any other such slot. */
export function isMiscOnly(slot: Slot): boolean {
  for (let i = 0; i < SLOT_BYTES; i++) {
    const type = byteType(slot, i);
    if (type !== BYTE.misc && type !== BYTE.invalid) return false;
  }
  return true;
}
