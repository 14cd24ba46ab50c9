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

/** Small magnitudes read best in decimal, the rest in hexadecimal, as the kernel prints them. */
const DECIMAL_LIMIT = 0xffff_ffn;

function unsigned(x: bigint): string {
  return x <= DECIMAL_LIMIT ? x.toString() : `0x${x.toString(16)}`;
}

function signed(x: bigint, width: 32 | 64): string {
  if (x >= -DECIMAL_LIMIT && x <= DECIMAL_LIMIT) return x.toString();
  return `0x${BigInt.asUintN(width, x).toString(16)}`;
}

type Bound = {
  readonly name: string;
  readonly text: string;
  readonly omit: boolean;
  readonly number: bigint;
};

/** Ranges worth telling; those with one value share one `=`. */
export function formatRanges(s: Scalar): string[] {
  const bounds: Bound[] = [
    { name: "smin", number: s.smin, text: signed(s.smin, 64), omit: s.smin === S64_MIN },
    { name: "smax", number: s.smax, text: signed(s.smax, 64), omit: s.smax === S64_MAX },
    { name: "umin", number: s.umin, text: unsigned(s.umin), omit: s.umin === 0n },
    { name: "umax", number: s.umax, text: unsigned(s.umax), omit: s.umax === U64_MAX },
    {
      name: "smin32",
      number: BigInt(s.s32min),
      text: signed(BigInt(s.s32min), 32),
      omit: s.s32min === S32_MIN,
    },
    {
      name: "smax32",
      number: BigInt(s.s32max),
      text: signed(BigInt(s.s32max), 32),
      omit: s.s32max === S32_MAX,
    },
    {
      name: "umin32",
      number: BigInt(s.u32min),
      text: unsigned(BigInt(s.u32min)),
      omit: s.u32min === 0,
    },
    {
      name: "umax32",
      number: BigInt(s.u32max),
      text: unsigned(BigInt(s.u32max)),
      omit: s.u32max === U32_MAX,
    },
  ];
  const parts: string[] = [];
  const done = new Set<Bound>();
  for (const bound of bounds) {
    if (bound.omit || done.has(bound)) continue;
    const same = bounds.filter((b) => !b.omit && !done.has(b) && b.number === bound.number);
    for (const b of same) done.add(b);
    parts.push(`${same.map((b) => b.name).join("=")}=${bound.text}`);
  }
  return parts;
}

export function formatScalar(s: Scalar): string {
  if (isConstant(s)) return signed(s.smin, 64);
  const parts = formatRanges(s);
  if (s.tnum.mask !== U64_MAX) parts.push(`var_off=${formatTnum(s.tnum)}`);
  return `scalar(${parts.join(",")})`;
}

export function formatValue(v: Value, precise = false): string {
  const mark = precise ? "P" : "";
  if (v.kind === "uninit") return "?";
  if (v.kind === "scalar") {
    if (isConstant(v.scalar)) return `${mark}${signed(v.scalar.smin, 64)}`;
    const parts: string[] = [];
    if (v.id) parts.push(`id=${v.id}${v.linked ? (v.off < 0 ? `${v.off}` : `+${v.off}`) : ""}`);
    parts.push(...formatRanges(v.scalar));
    if (v.scalar.tnum.mask !== U64_MAX) parts.push(`var_off=${formatTnum(v.scalar.tnum)}`);
    return `${mark}scalar(${parts.join(",")})`;
  }
  if (v.kind === "stack" && isConstant(v.scalar)) {
    return `fp${v.frame > 0 ? `[${v.frame}]` : ""}${v.off + Number(v.scalar.smin)}`;
  }
  const parts: string[] = [];
  if (v.id) parts.push(`id=${v.id}`);
  if (v.ref) parts.push(`ref_obj_id=${v.ref}`);
  if (v.off) parts.push(`off=${v.off}`);
  if (isPacketKind(v.kind)) parts.push(`r=${v.range}`);
  if (v.map) {
    parts.push(`map=${v.map.name}`);
    parts.push(`ks=${v.map.keyBytes}`, `vs=${v.map.valueBytes}`);
  }
  if (v.kind === "mem") parts.push(`sz=${v.size}`);
  if (isConstant(v.scalar)) {
    if (v.scalar.smin !== 0n) parts.push(`imm=${signed(v.scalar.smin, 64)}`);
  } else {
    parts.push(...formatRanges(v.scalar), `var_off=${formatTnum(v.scalar.tnum)}`);
  }
  return `${typeName(v)}(${parts.join(",")})`;
}

function formatSlot(slot: Slot): string {
  const { kind, ref, off } = slot.spilled;
  if (kind === "iter_active" || kind === "iter_drained") {
    return `${KIND_NAMES[kind]}(ref_id=${ref},state=${kind.slice("iter_".length)},depth=${off})`;
  }
  if (isFullSpill(slot)) return formatValue(slot.spilled);
  let letters = "";
  for (let i = SLOT_BYTES - 1; i >= 0; i--) letters += BYTE_LETTERS[byteType(slot, i)];
  return holdsSpill(slot) ? `${letters.replaceAll("r", "") + formatValue(slot.spilled)}` : letters;
}

export function formatFrame(frame: Frame, regs: readonly number[], slots: readonly number[]): string {
  const parts: string[] = [];
  for (const reg of regs) {
    const v = frame.regs[reg]!;
    if (v.kind !== "uninit") parts.push(`R${reg}=${formatValue(v)}`);
  }
  for (const index of slots) {
    const slot = frame.slot(index);
    if (slot !== SLOT_INVALID) parts.push(`fp-${SLOT_BYTES * (index + 1)}=${formatSlot(slot)}`);
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
  const where = frame.index > 0 ? ` frame${frame.index}:` : ":";
  return `${where} ${formatWholeFrame(frame)}${formatReferences(state)}`;
}

export function formatReferences({ refs }: State): string {
  return refs.length > 0 ? ` refs=${refs.map(({ id }) => id).join(",")}` : "";
}
