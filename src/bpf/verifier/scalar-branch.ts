/**
 * What a conditional jump teaches of two scalars: whether it is decided already, and what holds of both
 * operands on either side. A side that contradicts itself cannot be reached (`null`).
 */
import type { JumpOp, Width } from "../isa.ts";
import { least, most } from "./bigint-order.ts";
import { isConstant, isConstant32, type Knowledge, type Scalar, tryScalar } from "./scalar.ts";
import { tnumDisjoint, tnumIntersect, tnumLow32, tnumWithLow32 } from "./tnum.ts";

/** The relation that holds where the jump was not taken; `set` has none among the jumps. */
export type Relation = JumpOp | "unset";

export const NEGATED: Readonly<Record<Relation, Relation>> = {
  eq: "ne",
  ne: "eq",
  gt: "le",
  le: "gt",
  ge: "lt",
  lt: "ge",
  sgt: "sle",
  sle: "sgt",
  sge: "slt",
  slt: "sge",
  set: "unset",
  unset: "set",
};

/** b R' a says the same as a R b. */
export const FLIPPED: Readonly<Record<JumpOp, JumpOp>> = {
  eq: "eq",
  ne: "ne",
  set: "set",
  gt: "lt",
  lt: "gt",
  ge: "le",
  le: "ge",
  sgt: "slt",
  slt: "sgt",
  sge: "sle",
  sle: "sge",
};

type Ends<T> = { umin: T; umax: T; smin: T; smax: T };

function ends(s: Scalar, width: Width): Ends<bigint> | Ends<number> {
  return width === 64 ? s : { umin: s.u32min, umax: s.u32max, smin: s.s32min, smax: s.s32max };
}

/** @returns whether every pair of values takes the jump (true), none does (false), or it depends (null) */
export function decide(op: JumpOp, width: Width, a: Scalar, b: Scalar): boolean | null {
  const x = ends(a, width);
  const y = ends(b, width);
  const constant = width === 64 ? isConstant : isConstant32;
  switch (op) {
    case "eq":
      return areEqual(x, y, a, b, width, constant(a) && constant(b));
    case "ne": {
      const equal = areEqual(x, y, a, b, width, constant(a) && constant(b));
      return equal === null ? null : !equal;
    }
    case "set": {
      const [one, other] = constant(b) ? [a, b] : [b, a];
      if (!constant(other)) return null;
      const bits = width === 64 ? other.tnum.value : tnumLow32(other.tnum).value;
      if ((one.tnum.value & bits) !== 0n) return true;
      return ((one.tnum.value | one.tnum.mask) & bits) === 0n ? false : null;
    }
    case "gt":
      return x.umin > y.umax ? true : x.umax <= y.umin ? false : null;
    case "ge":
      return x.umin >= y.umax ? true : x.umax < y.umin ? false : null;
    case "lt":
      return x.umax < y.umin ? true : x.umin >= y.umax ? false : null;
    case "le":
      return x.umax <= y.umin ? true : x.umin > y.umax ? false : null;
    case "sgt":
      return x.smin > y.smax ? true : x.smax <= y.smin ? false : null;
    case "sge":
      return x.smin >= y.smax ? true : x.smax < y.smin ? false : null;
    case "slt":
      return x.smax < y.smin ? true : x.smin >= y.smax ? false : null;
    case "sle":
      return x.smax <= y.smin ? true : x.smin > y.smax ? false : null;
  }
}

function areEqual(
  x: Ends<bigint> | Ends<number>,
  y: Ends<bigint> | Ends<number>,
  a: Scalar,
  b: Scalar,
  width: Width,
  bothConstant: boolean,
): boolean | null {
  if (bothConstant) return x.umin === y.umin;
  if (x.umin > y.umax || x.umax < y.umin || x.smin > y.smax || x.smax < y.smin) return false;
  const apart =
    width === 64 ? tnumDisjoint(a.tnum, b.tnum) : tnumDisjoint(tnumLow32(a.tnum), tnumLow32(b.tnum));
  return apart ? false : null;
}

export type Refined = { readonly a: Scalar; readonly b: Scalar } | null;

/** Both operands where `a relation b` holds; null where it never does. */
export function refine(relation: Relation, width: Width, a: Scalar, b: Scalar): Refined {
  switch (relation) {
    case "gt":
      return swap(refine("lt", width, b, a));
    case "ge":
      return swap(refine("le", width, b, a));
    case "sgt":
      return swap(refine("slt", width, b, a));
    case "sge":
      return swap(refine("sle", width, b, a));
    case "eq":
      return width === 64 ? equal64(a, b) : equal32(a, b);
    case "ne":
      return notEqual(a, b, width);
    case "set":
    case "unset":
      return bits(relation, a, b, width);
    case "lt":
      return width === 64
        ? settle(a, { umax: least(a.umax, b.umax - 1n) }, b, { umin: most(b.umin, a.umin + 1n) })
        : settle(a, { u32max: Math.min(a.u32max, b.u32max - 1) }, b, {
            u32min: Math.max(b.u32min, a.u32min + 1),
          });
    case "le":
      return width === 64
        ? settle(a, { umax: least(a.umax, b.umax) }, b, { umin: most(b.umin, a.umin) })
        : settle(a, { u32max: Math.min(a.u32max, b.u32max) }, b, { u32min: Math.max(b.u32min, a.u32min) });
    case "slt":
      return width === 64
        ? settle(a, { smax: least(a.smax, b.smax - 1n) }, b, { smin: most(b.smin, a.smin + 1n) })
        : settle(a, { s32max: Math.min(a.s32max, b.s32max - 1) }, b, {
            s32min: Math.max(b.s32min, a.s32min + 1),
          });
    case "sle":
      return width === 64
        ? settle(a, { smax: least(a.smax, b.smax) }, b, { smin: most(b.smin, a.smin) })
        : settle(a, { s32max: Math.min(a.s32max, b.s32max) }, b, { s32min: Math.max(b.s32min, a.s32min) });
  }
}

function swap(refined: Refined): Refined {
  return refined && { a: refined.b, b: refined.a };
}

/** Narrows both; a fact that changes nothing keeps the very object, so that pruning sees it unchanged. */
function settle(a: Scalar, aKnown: Knowledge, b: Scalar, bKnown: Knowledge): Refined {
  const x = narrow(a, aKnown);
  if (x === null) return null;
  const y = narrow(b, bKnown);
  return y && { a: x, b: y };
}

function narrow(s: Scalar, known: Knowledge): Scalar | null {
  let changed = false;
  for (const key in known) {
    if (known[key as keyof Knowledge] !== s[key as keyof Scalar]) changed = true;
  }
  return changed ? tryScalar({ ...s, ...known }) : s;
}

/** What both know of the one number they are; each keeps what it alone knew of its low half. */
function equal64(a: Scalar, b: Scalar): Refined {
  if (tnumDisjoint(a.tnum, b.tnum)) return null;
  const both = {
    tnum: tnumIntersect(a.tnum, b.tnum),
    umin: most(a.umin, b.umin),
    umax: least(a.umax, b.umax),
    smin: most(a.smin, b.smin),
    smax: least(a.smax, b.smax),
  };
  const x = tryScalar({ ...a, ...both });
  const y = x && tryScalar({ ...b, ...both });
  return x && y && { a: x, b: y };
}

function equal32(a: Scalar, b: Scalar): Refined {
  const lowA = tnumLow32(a.tnum);
  const lowB = tnumLow32(b.tnum);
  if (tnumDisjoint(lowA, lowB)) return null;
  const low = tnumIntersect(lowA, lowB);
  const known = {
    u32min: Math.max(a.u32min, b.u32min),
    u32max: Math.min(a.u32max, b.u32max),
    s32min: Math.max(a.s32min, b.s32min),
    s32max: Math.min(a.s32max, b.s32max),
  };
  const x = tryScalar({ ...a, ...known, tnum: tnumWithLow32(a.tnum, low) });
  const y = x && tryScalar({ ...b, ...known, tnum: tnumWithLow32(b.tnum, low) });
  return x && y && { a: x, b: y };
}

/** Only a constant teaches by inequality, and only at the ends of the other's ranges. */
function notEqual(a: Scalar, b: Scalar, width: Width): Refined {
  const constant = width === 64 ? isConstant : isConstant32;
  if (constant(b)) {
    const x = withoutEnd(a, b, width);
    return x && { a: x, b };
  }
  if (constant(a)) {
    const y = withoutEnd(b, a, width);
    return y && { a, b: y };
  }
  return { a, b };
}

function withoutEnd(s: Scalar, c: Scalar, width: Width): Scalar | null {
  if (width === 64) {
    return narrow(s, {
      umin: s.umin === c.umin ? s.umin + 1n : s.umin,
      umax: s.umax === c.umin ? s.umax - 1n : s.umax,
      smin: s.smin === c.smin ? s.smin + 1n : s.smin,
      smax: s.smax === c.smin ? s.smax - 1n : s.smax,
    });
  }
  return narrow(s, {
    u32min: s.u32min === c.u32min ? s.u32min + 1 : s.u32min,
    u32max: s.u32max === c.u32min ? s.u32max - 1 : s.u32max,
    s32min: s.s32min === c.s32min ? s.s32min + 1 : s.s32min,
    s32max: s.s32max === c.s32min ? s.s32max - 1 : s.s32max,
  });
}

function bits(relation: "set" | "unset", a: Scalar, b: Scalar, width: Width): Refined {
  const constant = width === 64 ? isConstant : isConstant32;
  if (!constant(b)) {
    if (!constant(a)) return { a, b };
    return swap(bits(relation, b, a, width));
  }
  const mask = width === 64 ? b.tnum.value : tnumLow32(b.tnum).value;
  const { tnum } = a;
  if (relation === "unset") {
    // Linux forgets the ranges before it narrows the known bits here.
    if ((tnum.value & mask) !== 0n) return null;
    const x = tryScalar({ tnum: { value: tnum.value, mask: tnum.mask & ~mask } });
    return x && { a: x, b };
  }
  // One bit under the mask must be the set one; several say only that some is.
  if (mask === 0n || ((tnum.value | tnum.mask) & mask) === 0n) return null;
  if ((mask & (mask - 1n)) !== 0n) return { a, b };
  if ((tnum.value & mask) !== 0n) return { a, b };
  const x = tryScalar({ ...a, tnum: { value: tnum.value | mask, mask: tnum.mask & ~mask } });
  return x && { a: x, b };
}
