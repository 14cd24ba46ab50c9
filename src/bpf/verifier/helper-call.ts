/**
 * Calls of helper functions: is the helper known here, does every argument fit its prototype, what is known
 * of the result, and what the call does to locks, references and packet pointers.
 */
import { helperName } from "../helpers/names.ts";
import { MAP_FLAG } from "../maps/shapes.ts";
import type { MapDef, MapTypeName } from "../program.ts";
import { forgetCallerSaved, forgetPackets } from "./forget.ts";
import { enterCallback, returnAsOther } from "./function-call.ts";
import { whyRefused } from "./helpers-elsewhere.ts";
import { isGplCompatible } from "./license.ts";
import { type VerifierArg, type VerifierHelper, verifierHelper } from "./linux-helpers.ts";
import { checkMapFits } from "./map-helpers-fit.ts";
import { checkRegion, checkUnmodifiedContext, rangeValue } from "./memory-access.ts";
import { checkNicHelper } from "./nic.ts";
import { markPrecise } from "./precision.ts";
import { isConstant } from "./scalar.ts";
import { constantU32OnStack, helperStackAccess, MAX_VARIABLE_OFFSET, stackSpan } from "./stack-access.ts";
import { formatTnum } from "./tnum.ts";
import { UNPRIVILEGED_HELPERS } from "./unprivileged-helpers.ts";
import {
  isNull,
  isPacketKind,
  isSocketKind,
  pointer,
  typeName,
  UNINIT,
  UNKNOWN_VALUE,
  type Value,
} from "./value.ts";
import type { Walk } from "./walk.ts";

/** What checking the arguments found, for later arguments and for the result. */
type Found = {
  map: MapDef | null;
  /** Reference that ends with the call. */
  ref: number;
  /** Reference of a socket the result is another view of. */
  viewed: number;
  callback: Value | null;
  key: number | null;
  /** Bytes of the memory asked for. */
  bytes: number;
};

/** @returns the next instruction */
export function stepHelper(w: Walk, id: number): number {
  const helper = verifierHelper(id);
  if (!helper) {
    w.reject("unknown-helper", whyRefused(id, helperName(id), w.program.type));
  }
  const isOffered = !w.unprivileged || UNPRIVILEGED_HELPERS.has(helper.name);
  if (!isOffered || !helper.types.includes(w.program.type)) {
    w.reject("unknown-helper", `program of this type cannot use helper bpf_${helper.name}#${helper.id}`);
  }
  checkNicHelper(w, helper);
  if (helper.gplOnly && !isGplCompatible(w.program.license)) {
    w.reject("license", "cannot call GPL-restricted function from non-GPL compatible program");
  }
  if (w.state.lock && !helper.underLock) {
    w.reject("spin-lock", "function calls are not allowed while holding a lock");
  }
  const found: Found = { map: null, ref: 0, viewed: 0, callback: null, key: null, bytes: 0 };
  helper.args.forEach((kind, index) => {
    checkArgument(w, helper, kind, index, found);
  });
  if (found.map) checkMapFits(w, helper, found.map);

  if (helper.name === "tail_call") w.checkNoReference("tail_call");
  if (found.ref !== 0) w.releaseReference(found.ref);
  if (found.callback) {
    enterCallback(w, helper, found.callback, found.map);
  }
  const isTailCall = helper.name === "tail_call";
  // A tail call that falls through has run nothing.
  if (helper.movesPacket && !isTailCall) forgetPackets(w);
  forgetCallerSaved(w);
  w.frame.regs[0] = resultOf(w, helper, found);
  return isTailCall && w.state.depth > 0 ? returnAsOther(w) : w.insn + 1;
}

const ARRAYS = new Set<MapTypeName>(["array", "percpu_array"]);

/** It has an element for every index below its size, so a known key cannot miss. */
function isAlwaysFull({ type, flags }: MapDef): boolean {
  // BPF_F_INNER_MAP: what stands in an outer map may be of another size.
  return ARRAYS.has(type) && (flags & MAP_FLAG.innerMap) === 0;
}

function resultOf(w: Walk, helper: VerifierHelper, { map, key, viewed, bytes }: Found): Value {
  if (helper.ret === "void") return UNINIT;
  if (helper.ret === "integer") {
    return helper.range ? rangeValue(helper.range[0], helper.range[1]) : UNKNOWN_VALUE;
  }
  // A known key of an array cannot miss: no NULL, and nothing to tell one look-up from another by.
  const isCertain = helper.ret === "map_value_or_null" && map && key !== null && key < map.maxEntries;
  if (isCertain && map.spinLockOffset === undefined) return pointer("map_value", { map });
  let id = w.newId();
  // A reference has a number of its own, which the pointer then goes by.
  const ref = helper.acquires || holdsSockets(map) ? w.newId() : 0;
  if (ref) {
    id = ref;
    w.state.refs = [...w.state.refs, { id: ref, insn: w.insn }];
  }
  switch (helper.ret) {
    case "map_value_or_null":
      return pointer("map_value", { orNull: !isCertain, id, ref, map });
    case "ringbuf_mem_or_null":
      return pointer("ringbuf_mem", { orNull: true, id, ref, size: bytes });
    case "sock_or_null":
      return pointer("sock", { orNull: true, id, ref: ref || viewed });
    case "sock_common_or_null":
      return pointer("sock_common", { orNull: true, id, ref });
    case "tcp_sock_or_null":
      return pointer("tcp_sock", { orNull: true, id, ref: ref || viewed });
  }
}

/** A socket found in a map is held, and must be released. */
function holdsSockets(map: MapDef | null): boolean {
  return map?.type === "sockmap" || map?.type === "sockhash";
}

/** Types an argument may have, in the kernel's order and words. */
const EXPECTED: Readonly<Partial<Record<VerifierArg, string>>> = {
  ctx: "ctx",
  const_map_ptr: "map_ptr",
  map_key: "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_",
  map_value: "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_",
  mem_rdonly: "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_",
  mem_rdonly_or_null: "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_",
  mem_write: "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_",
  mem_write_init: "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_",
  out_u64: "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_",
  spin_lock: "map_value, ptr_",
  callback: "func",
  stack_or_null: "fp",
  sock: "sock_common, sock, tcp_sock, xdp_sock, ptr_, trusted_ptr_",
  sock_common: "sock_common, sock, tcp_sock, xdp_sock",
  map_value_out: "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_",
  sock_release: "sock_common, sock, tcp_sock, xdp_sock, ptr_, trusted_ptr_",
  ringbuf_mem: "ringbuf_mem",
  size: "scalar",
  size_or_zero: "scalar",
};

const MEMORY_KINDS = new Set([
  "stack",
  "packet",
  "packet_meta",
  "map_key",
  "map_value",
  "mem",
  "ringbuf_mem",
]);

function checkArgument(
  w: Walk,
  helper: VerifierHelper,
  kind: VerifierArg,
  index: number,
  found: Found,
): void {
  const reg = index + 1;
  const v = w.read(reg);
  if (kind === "anything") {
    if (w.leaks(v)) w.reject("pointer-leak", `R${reg} leaks addr into helper function`);
    return;
  }
  if (isPacketKind(v.kind) && !v.orNull && !helper.packetMemory) {
    w.reject("helper-argument", "helper access to the packet is not allowed");
  }
  const wrong = (): never =>
    w.reject(
      v.orNull ? "null-pointer" : "helper-argument",
      `R${reg} type=${typeName(v)} expected=${EXPECTED[kind] ?? kind}`,
    );
  switch (kind) {
    case "ctx":
      if (v.kind !== "ctx" || v.orNull) wrong();
      checkUnmodifiedContext(w, reg, v);
      return;
    case "const_map_ptr":
      if (v.kind !== "map_ptr") wrong();
      found.map = v.map;
      return;
    case "map_key":
    case "map_value":
    case "map_value_out": {
      const { map } = found;
      if (!map) {
        wrong();
        return;
      }
      const isSocketValue = kind !== "map_key" && holdsSockets(map);
      if (isSocketValue) {
        if (!isSocketKind(v.kind) || v.orNull) {
          w.reject("helper-argument", `R${reg} type=${typeName(v)} expected=${EXPECTED.sock}`);
        }
        return;
      }
      if (!MEMORY_KINDS.has(v.kind) || v.orNull) wrong();
      if (kind === "map_key" && map.keyBytes === 0) w.reject("helper-size", "invalid zero-sized read");
      memory(
        w,
        reg,
        v,
        kind === "map_key" ? map.keyBytes : map.valueBytes,
        kind === "map_value_out" && map.type !== "bloom_filter" ? FILLS : READS,
      );
      if (kind === "map_key" && !w.unprivileged && helper.name === "map_lookup_elem" && isAlwaysFull(map)) {
        found.key = constantU32OnStack(w, v);
      }
      return;
    }
    case "mem_rdonly":
    case "mem_write":
    case "mem_write_init":
      if (!MEMORY_KINDS.has(v.kind) || v.orNull) wrong();
      return;
    case "mem_rdonly_or_null":
      if (!isNull(v) && (!MEMORY_KINDS.has(v.kind) || v.orNull)) wrong();
      return;
    case "size":
    case "size_or_zero":
      checkSize(w, reg, v, kind === "size_or_zero", helper.args[index - 1]!);
      return;
    case "alloc_size":
      if (v.kind !== "scalar") wrong();
      if (!isConstant(v.scalar)) w.reject("helper-size", `R${reg} is not a known constant'`);
      found.bytes = Number(BigInt.asUintN(32, v.scalar.tnum.value));
      markPrecise(w, reg);
      return;
    case "ringbuf_mem":
      if (v.kind !== "ringbuf_mem" || v.orNull) wrong();
      checkRecord(w, reg, v);
      found.ref = v.ref;
      return;
    case "out_u64":
      if (!MEMORY_KINDS.has(v.kind) || v.orNull) wrong();
      if (v.kind === "stack" && (v.off % 8 !== 0 || !isConstant(v.scalar))) {
        w.reject(
          "misaligned-access",
          `misaligned stack access off ${formatTnum(v.scalar.tnum)}+${v.off}+0 size 8`,
        );
      }
      memory(w, reg, v, 8, FILLS);
      return;
    case "spin_lock":
      if (v.kind !== "map_value" || v.orNull) wrong();
      spinLock(w, reg, v, helper.name === "spin_lock");
      return;
    case "callback":
      if (v.kind !== "func") wrong();
      found.callback = v;
      return;
    case "stack_or_null":
      if (!isNull(v) && (v.kind !== "stack" || v.orNull)) wrong();
      return;
    case "sock":
    case "sock_common":
    case "sock_release":
      if (!isSocketKind(v.kind) || v.orNull) wrong();
      if (helper.castsSocket) found.viewed = v.ref;
      if (kind === "sock_release") {
        if (v.ref === 0) {
          w.reject("reference-leak", `R${reg} must be referenced when passed to release function`);
        }
        found.ref = v.ref;
      }
      return;
  }
}

/** A record is given back by the address it was given out with. */
function checkRecord(w: Walk, reg: number, v: Value): void {
  if (v.ref === 0) w.reject("reference-leak", `R${reg} must be referenced when passed to release function`);
  if (v.off !== 0) {
    w.reject(
      "helper-argument",
      `R${reg} must have zero offset when passed to release func or trusted arg to kfunc`,
    );
  }
  if (!isConstant(v.scalar) || v.scalar.tnum.value !== 0n) {
    w.reject(
      "helper-argument",
      `variable ${typeName(v)} access var_off=${formatTnum(v.scalar.tnum)} disallowed`,
    );
  }
}

type Use = { readonly writes: boolean; readonly raw: boolean };
const READS: Use = { writes: false, raw: false };
const FILLS: Use = { writes: true, raw: true };
const CHANGES: Use = { writes: true, raw: false };

function memory(w: Walk, reg: number, v: Value, size: number, use: Use): void {
  if (v.kind === "stack") {
    helperStackAccess(w, reg, v, size, { clobber: use.writes, raw: use.raw });
    return;
  }
  checkRegion(w, { reg, value: v, off: 0, size, write: use.writes });
}

function checkSize(w: Walk, reg: number, v: Value, zeroAllowed: boolean, target: VerifierArg): void {
  if (v.kind !== "scalar") {
    w.reject("helper-argument", `R${reg} type=${typeName(v)} expected=scalar`);
  }
  const { scalar } = v;
  const memReg = reg - 1;
  const mem = w.read(memReg);
  if (scalar.smin < 0n) {
    w.reject("helper-size", `R${reg} min value is negative, either use unsigned or 'var &= const'`);
  }
  if (scalar.umin === 0n && !zeroAllowed) {
    w.reject("helper-size", `R${reg} invalid zero-sized read: u64=[${scalar.umin},${scalar.umax}]`);
  }
  if (scalar.umax >= MAX_VARIABLE_OFFSET) {
    w.reject("helper-size", `R${reg} unbounded memory access, use 'var &= const' or 'if (var < const)'`);
  }
  const exact = isConstant(scalar);
  const size = Number(scalar.umax);
  const use =
    target === "mem_write" ? (exact ? FILLS : CHANGES) : target === "mem_write_init" ? CHANGES : READS;
  if (isNull(mem)) {
    if (size !== 0) {
      w.reject("helper-argument", `R${memReg} type=scalar expected=fp`);
    }
  } else if (size === 0 && mem.kind === "stack") {
    stackSpan(w, memReg, mem, 0, 0, use.writes ? "write" : "read");
  } else {
    memory(w, memReg, mem, size, use);
  }
  markPrecise(w, reg);
}

function spinLock(w: Walk, reg: number, v: Value, isLock: boolean): void {
  const name = isLock ? "lock" : "unlock";
  const map = v.map!;
  if (!isConstant(v.scalar)) {
    w.reject(
      "spin-lock",
      `R${reg} doesn't have constant offset. bpf_spin_lock has to be at the constant offset`,
    );
  }
  if (map.spinLockOffset === undefined) {
    w.reject("spin-lock", `map '${map.name}' has no valid bpf_spin_lock`);
  }
  const at = v.off + Number(v.scalar.smin);
  if (at !== map.spinLockOffset) {
    w.reject(
      "spin-lock",
      `off ${at} doesn't point to 'struct bpf_spin_lock' that is at ${map.spinLockOffset}`,
    );
  }
  const { lock } = w.state;
  if (isLock) {
    if (lock) w.reject("spin-lock", "Locking two bpf_spin_locks are not allowed");
    w.state.lock = { id: v.id, map };
    return;
  }
  if (!lock) w.reject("spin-lock", `bpf_spin_${name} without taking a lock`);
  if (lock.id !== v.id || lock.map !== map) w.reject("spin-lock", `bpf_spin_${name} of different lock`);
  w.state.lock = null;
}
