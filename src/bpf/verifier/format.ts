/**
 * States as text, in the notation of the Linux verifier's log, so that eyes and tools used to it read ours:
 * `R1=ctx() R2=pkt(r=34) R3=scalar(smin=umin=0,smax=umax=255,var_off=(0x0; 0xff)) R10=fp0 fp-8=mmmmmmmm`.
 */
import { isConstant, S32_MAX, S32_MIN, S64_MAX, S64_MIN, type Scalar, U32_MAX } from "./scalar.ts";
import {
  BYTE_LETTERS,
  byteType,
  holdsSpill,
  isFullSpill,
  SLOT_BYTES,
  SLOT_INVALID,
  type Slot,
} from "./stack-slot.ts";
import type { Frame, State } from "./state.ts";
import { formatTnum, U64_MAX } from "./tnum.ts";
import { isPacketKind, KIND_NAMES, typeName, type Value } from "./value.ts";

/** Small numbers read best in decimal, the rest in hexadecimal; the limits are the kernel's. */
const MAX_DECIMAL_UNSIGNED = 0xffffn;
const MAX_DECIMAL_SIGNED = 0x7fffn;
const MIN_DECIMAL_SIGNED = -0x8000n;

function unsigned(x: bigint): string {
  return x <= MAX_DECIMAL_UNSIGNED ? x.toString() : hex64(x);
}

function signed(x: bigint): string {
  return x >= MIN_DECIMAL_SIGNED && x <= MAX_DECIMAL_SIGNED ? x.toString() : hex64(x);
}

function hex64(x: bigint): string {
  return `0x${BigInt.asUintN(64, x).toString(16)}`;
}

type Bound = { readonly name: string; readonly number: bigint; readonly omit: boolean };

/** Signed 32-bit bounds too large for decimal are shown, and compared, as 32-bit words. */
function low32(x: number): bigint {
  return x >= MIN_DECIMAL_SIGNED && x <= MAX_DECIMAL_SIGNED ? BigInt(x) : BigInt(x >>> 0);
}

/** Ranges worth telling; minima of one value share one `=`, and so do maxima. */
export function formatRanges(s: Scalar): string[] {
  const bounds: Bound[] = [
    { name: "smin", number: s.smin, omit: s.smin === S64_MIN },
    { name: "smax", number: s.smax, omit: s.smax === S64_MAX },
    { name: "umin", number: s.umin, omit: s.umin === 0n },
    { name: "umax", number: s.umax, omit: s.umax === U64_MAX },
    { name: "smin32", number: low32(s.s32min), omit: s.s32min === S32_MIN },
    { name: "smax32", number: low32(s.s32max), omit: s.s32max === S32_MAX },
    { name: "umin32", number: BigInt(s.u32min), omit: s.u32min === 0 },
    { name: "umax32", number: BigInt(s.u32max), omit: s.u32max === U32_MAX },
  ];
  const parts: string[] = [];
  const done = new Set<Bound>();
  bounds.forEach((bound, i) => {
    if (bound.omit || done.has(bound)) return;
    const same = bounds.filter(
      (b, j) => j >= i && j % 2 === i % 2 && !b.omit && !done.has(b) && b.number === bound.number,
    );
    for (const b of same) done.add(b);
    const text = bound.name.startsWith("s") ? signed(bound.number) : unsigned(bound.number);
    parts.push(`${same.map((b) => b.name).join("=")}=${text}`);
  });
  return parts;
}

export function formatScalar(s: Scalar): string {
  if (isConstant(s)) return signed(s.smin);
  const parts = formatRanges(s);
  if (s.tnum.mask !== U64_MAX) parts.push(`var_off=${formatTnum(s.tnum)}`);
  return `scalar(${parts.join(",")})`;
}

/** @param frame whose register it is: a pointer into its own stack needs no frame number */
export function formatValue(v: Value, precise = false, frame = 0): string {
  const mark = precise ? "P" : "";
  if (v.kind === "uninit") return "?";
  if (v.kind === "scalar") {
    if (isConstant(v.scalar)) return `${mark}${signed(v.scalar.smin)}`;
    const parts: string[] = [];
    if (v.id) parts.push(`id=${v.id}${v.linked ? (v.off < 0 ? `${v.off}` : `+${v.off}`) : ""}`);
    parts.push(...formatRanges(v.scalar));
    if (v.scalar.tnum.mask !== U64_MAX) parts.push(`var_off=${formatTnum(v.scalar.tnum)}`);
    return `${mark}scalar(${parts.join(",")})`;
  }
  if (v.kind === "stack" && isConstant(v.scalar)) {
    return `fp${v.frame !== frame ? `[${v.frame}]` : ""}${v.off + Number(v.scalar.smin)}`;
  }
  const parts: string[] = [];
  if (v.id) parts.push(`id=${v.id}`);
  if (v.ref) parts.push(`ref_obj_id=${v.ref}`);
  if (v.map) {
    if (v.map.name !== "") parts.push(`map=${v.map.name}`);
    parts.push(`ks=${v.map.keyBytes}`, `vs=${v.map.valueBytes}`);
  }
  if (v.off) parts.push(`off=${signed(BigInt(v.off))}`);
  if (isPacketKind(v.kind)) parts.push(`r=${v.range < 0 ? hex64(BigInt(v.range)) : v.range}`);
  if (v.kind === "mem" || v.kind === "ringbuf_mem") parts.push(`sz=${v.size}`);
  if (isConstant(v.scalar)) {
    if (v.scalar.smin !== 0n) parts.push(`imm=${signed(v.scalar.smin)}`);
  } else {
    parts.push(...formatRanges(v.scalar));
    if (v.scalar.tnum.mask !== U64_MAX) parts.push(`var_off=${formatTnum(v.scalar.tnum)}`);
  }
  const owner = v.kind === "stack" && v.frame !== frame ? `[${v.frame}]` : "";
  return `${typeName(v)}${owner}(${parts.join(",")})`;
}

function formatSlot(slot: Slot, frame: number): string {
  const { kind, ref, off } = slot.spilled;
  if (kind === "iter_active" || kind === "iter_drained") {
    return `${KIND_NAMES[kind]}(ref_id=${ref},state=${kind.slice("iter_".length)},depth=${off})`;
  }
  if (isFullSpill(slot)) return formatValue(slot.spilled, false, frame);
  let letters = "";
  for (let i = SLOT_BYTES - 1; i >= 0; i--) letters += BYTE_LETTERS[byteType(slot, i)];
  return holdsSpill(slot) ? `${letters.replaceAll("r", "") + formatValue(slot.spilled)}` : letters;
}

export function formatFrame(frame: Frame, regs: readonly number[], slots: readonly number[]): string {
  const parts: string[] = [];
  for (const reg of regs) {
    const v = frame.regs[reg]!;
    if (v.kind !== "uninit") parts.push(`R${reg}=${formatValue(v, false, frame.index)}`);
  }
  for (const index of slots) {
    const slot = frame.slot(index);
    if (slot !== SLOT_INVALID) parts.push(`fp-${SLOT_BYTES * (index + 1)}=${formatSlot(slot, frame.index)}`);
  }
  return parts.join(" ");
}

const ALL_REGS = Array.from({ length: 11 }, (_, i) => i);

/** Everything in one frame. */
export function formatWholeFrame(frame: Frame): string {
  return formatFrame(
    frame,
    ALL_REGS,
    frame.stack.map((_, i) => i),
  );
}

export function formatState(state: State): string {
  const { frame } = state;
  const where = frame.index > 0 ? ` frame${frame.index}:` : "";
  return `:${where} ${formatWholeFrame(frame)}${formatHeld(state, frame)}`;
}

/** What stands behind the registers and slots of a frame: references to release, and whether it is a callback's. */
export function formatHeld(state: State, frame: Frame): string {
  const ids = state.refs.map((ref) => ref.id);
  // A lock is held like a reference; nothing can be acquired behind it.
  if (state.lock) ids.push(state.lock.id);
  return `${ids.length > 0 ? ` refs=${ids.join(",")}` : ""}${frame.callback ? " cb" : ""}`;
}
