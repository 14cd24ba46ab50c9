/**
 * Open-coded iterators (bpf_for): an iterator lives in 8 stack bytes that only its own kernel functions may
 * touch. `next` is where the walk splits: one path with an element, one at the end. How many rounds there
 * are does not matter, because a drained iterator stays drained; only states must repeat (widen.ts).
 */
import type { KfuncRow } from "../helpers/kfuncs.ts";
import { forgetCallerSaved } from "./forget.ts";
import { isConstant } from "./scalar.ts";
import { showSlot, slotOf, stackSpan } from "./stack-access.ts";
import { BYTE, byteType, iteratorSlot, SLOT_BYTES, SLOT_INVALID } from "./stack-slot.ts";
import { addSlot, type Frame, markSlotRead, type State } from "./state.ts";
import { isNull, pointer, UNKNOWN_VALUE, type Value, ZERO_VALUE } from "./value.ts";
import type { Walk } from "./walk.ts";
import { previousRound, widen } from "./widen.ts";

/** The s32 that `next` yields. */
const ELEMENT_BYTES = 4;

/** Checks r1 and does to the iterator, and to the registers, what the function does. */
export function callIterator(w: Walk, kfunc: KfuncRow): void {
  const v = w.frame.regs[1]!;
  if (isNull(v) || v.orNull) w.reject("null-pointer", "Possibly NULL pointer passed to trusted arg0");
  if (v.kind !== "stack") w.reject("iterator", "arg#0 expected pointer to an iterator on stack");
  STEPS[kfunc.iterator](w, v);
}

/** Does `v` name an iterator that may still yield an element? */
export function isActiveIterator(state: State, v: Value): boolean {
  if (v.kind !== "stack" || !isConstant(v.scalar)) return false;
  const slot = state.frames[v.frame]!.slot(slotOf(v.off + Number(v.scalar.smin)));
  return slot.spilled.kind === "iter_active";
}

const STEPS = {
  new: (w, v) => {
    const { frame, index } = slotNamed(w, v);
    if (byteType(frame.slot(index), 0) === BYTE.iter) {
      w.reject("iterator", "expected uninitialized iter_num as arg #0");
    }
    stackSpan(w, 1, v, 0, SLOT_BYTES, "write");
    const ref = w.newId();
    w.state.refs = [...w.state.refs, { id: ref, insn: w.insn }];
    frame.setSlot(index, iteratorSlot(pointer("iter_active", { ref })));
    showSlot(w, index);
    addSlot(w.state.marks[frame.index]!.written, index);
    forgetCallerSaved(w);
    w.frame.regs[0] = UNKNOWN_VALUE;
  },
  next: (w, v) => {
    const place = slotOfIterator(w, v);
    forgetCallerSaved(w);
    split(w, place);
  },
  destroy: (w, v) => {
    const { frame, index } = slotOfIterator(w, v);
    const { ref } = frame.slot(index).spilled;
    frame.setSlot(index, SLOT_INVALID);
    addSlot(w.state.marks[frame.index]!.written, index);
    w.releaseReference(ref);
    forgetCallerSaved(w);
  },
} as const satisfies Record<KfuncRow["iterator"], (w: Walk, v: Value) => void>;

type Place = { readonly frame: Frame; readonly index: number };

/** The slot a pointer names, which may lie outside the stack. */
function slotNamed(w: Walk, v: Value): Place {
  if (!isConstant(v.scalar)) w.reject("iterator", "iter has to be at a constant offset");
  const off = v.off + Number(v.scalar.smin);
  if (off % SLOT_BYTES !== 0 || off > 0) w.reject("iterator", `cannot pass in iter at an offset=${off}`);
  return { frame: w.state.frames[v.frame]!, index: slotOf(off) };
}

function slotOfIterator(w: Walk, v: Value): Place {
  const place = slotNamed(w, v);
  if (byteType(place.frame.slot(place.index), 0) !== BYTE.iter) {
    w.reject("iterator", "expected an initialized iter_num as arg #0");
  }
  markSlotRead(w.state, place.frame.index, place.index);
  return place;
}

/** The path with an element is put up for later; this one goes on with NULL and the iterator drained. */
function split(w: Walk, { frame, index }: Place): void {
  const { state } = w;
  const iterator = frame.slot(index).spilled;
  const id = w.newId();
  if (iterator.kind === "iter_active") {
    const round = state.fork();
    round.insn = w.insn + 1;
    round.previous = w.insn;
    round.frames[frame.index]!.setSlot(index, iteratorSlot({ ...iterator, off: iterator.off + 1 }));
    // The parent is this call's own checkpoint; the round before is further back.
    const earlier = previousRound(state.parent?.parent ?? null, state, w.insn);
    if (earlier) widen(round, earlier);
    round.frame.regs[0] = pointer("mem", { size: ELEMENT_BYTES, readOnly: true, id, ref: iterator.ref });
    w.enqueue(round);
  }
  frame.setSlot(index, iteratorSlot({ ...iterator, kind: "iter_drained" }));
  showSlot(w, index);
  state.frame.regs[0] = ZERO_VALUE;
}
