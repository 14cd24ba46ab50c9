/**
 * What a register or a stack slot holds: a scalar, or a pointer of one kind with a fixed and a variable
 * offset. Immutable and shared between registers, frames and saved states; changing one means making
 * another. All values have one object shape, which keeps the walk fast.
 */
import type { MapDef } from "../program.ts";
import { constant, isConstant, type Scalar, scalarEquals, UNKNOWN } from "./scalar.ts";

/** Kinds with the names the kernel prints for them. */
export const KIND_NAMES = {
  uninit: "?",
  scalar: "scalar",
  ctx: "ctx",
  map_ptr: "map_ptr",
  map_value: "map_value",
  map_key: "map_key",
  stack: "fp",
  packet: "pkt",
  packet_meta: "pkt_meta",
  packet_end: "pkt_end",
  sock: "sock",
  sock_common: "sock_common",
  tcp_sock: "tcp_sock",
  xdp_sock: "xdp_sock",
  mem: "mem",
  ringbuf_mem: "ringbuf_mem",
  func: "func",
  iter_active: "iter_num",
  iter_drained: "iter_num",
} as const;
export type Kind = keyof typeof KIND_NAMES;

/** Packet ranges below zero: known not to lie before the end of the packet. */
export const AT_PACKET_END = -1;
export const BEYOND_PACKET_END = -2;

export type Value = {
  readonly kind: Kind;
  /** It may be NULL instead: a null check is needed before any use. */
  readonly orNull: boolean;
  /** The number itself, or a pointer's variable offset. */
  readonly scalar: Scalar;
  /** Pointers: fixed offset in bytes. Scalars with `linked`: distance to the id's base. Iterators: rounds walked. */
  readonly off: number;
  /**
   * Values with one id know of each other. Scalars: the same number. Packets: the same variable offset.
   * Nullable: the same look-up. 0: nobody else.
   */
  readonly id: number;
  /** Scalars: `off` is the distance to others of this id (r2 = r1 + 4), by a sum this wide; 0: none. */
  readonly linked: 0 | 32 | 64;
  /** Reference that must be released, 0 for none. */
  readonly ref: number;
  /** Packet pointers: bytes from `id`'s base proved to be in the packet. */
  readonly range: number;
  readonly map: MapDef | null;
  /** Stack pointers: index of the frame that owns the stack. */
  readonly frame: number;
  /** `mem`, `ringbuf_mem`: bytes it points to. `func`: subprogram index. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Values of a map's direct (wide-load) pointers have no look-up identity. */
};

export const UNINIT: Value = {
  kind: "uninit",
  orNull: false,
  scalar: UNKNOWN,
  off: 0,
  id: 0,
  linked: 0,
  ref: 0,
  range: 0,
  map: null,
  frame: 0,
  size: 0,
  readOnly: false,
};

const ZERO = constant(0);

export function scalarValue(scalar: Scalar, id = 0): Value {
  return {
    kind: "scalar",
    orNull: false,
    scalar,
    off: 0,
    id,
    linked: 0,
    ref: 0,
    range: 0,
    map: null,
    frame: 0,
    size: 0,
    readOnly: false,
  };
}

export const UNKNOWN_VALUE: Value = scalarValue(UNKNOWN);
export const ZERO_VALUE: Value = scalarValue(ZERO);

export function constantScalar(x: bigint | number): Value {
  return scalarValue(constant(x));
}

export function pointer(kind: Kind, more: Partial<Value> = {}): Value {
  return { ...UNINIT, scalar: ZERO, kind, ...more };
}

export function isPointer(v: Value): boolean {
  return v.kind !== "scalar" && v.kind !== "uninit";
}

export function isPacketKind(kind: Kind): boolean {
  return kind === "packet" || kind === "packet_meta";
}

/** Also the packet's end, which may be compared and is lost with the packet, but not moved or read through. */
export function isOfPacket(kind: Kind): boolean {
  return isPacketKind(kind) || kind === "packet_end";
}

export function isSocketKind(kind: Kind): boolean {
  return kind === "sock" || kind === "sock_common" || kind === "tcp_sock" || kind === "xdp_sock";
}

/** A scalar zero: what a helper takes for NULL. */
export function isNull(v: Value): boolean {
  return v.kind === "scalar" && isConstant(v.scalar) && v.scalar.tnum.value === 0n;
}

/** The name a message gives a value's type. */
export function typeName(v: Value): string {
  const base = KIND_NAMES[v.kind];
  const prefix = v.readOnly && v.kind === "mem" ? "rdonly_" : "";
  return `${prefix}${base}${v.orNull ? "_or_null" : ""}`;
}

export function withScalar(v: Value, scalar: Scalar): Value {
  return v.scalar === scalar ? v : { ...v, scalar };
}

/** Equal in all but identity numbers, which the caller compares through a map. */
export function sameExceptIds(a: Value, b: Value): boolean {
  return (
    a.kind === b.kind &&
    a.orNull === b.orNull &&
    a.off === b.off &&
    a.linked === b.linked &&
    a.range === b.range &&
    a.map === b.map &&
    a.frame === b.frame &&
    a.size === b.size &&
    a.readOnly === b.readOnly &&
    scalarEquals(a.scalar, b.scalar)
  );
}
