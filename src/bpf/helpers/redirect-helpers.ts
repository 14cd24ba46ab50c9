/** Redirects only note where to; the hook carries them out when the verdict says so. */
import { SK_ACTION, TC_ACTION, XDP_ACTION } from "../context.ts";
import { ProgramFault } from "../fault.ts";
import type { SocketMap } from "../maps/sockets.ts";
import type { Runtime } from "../runtime.ts";
import type { HelperTable } from "./implementation.ts";
import { mapOf } from "./map-helpers.ts";
import { asU32 } from "./packet.ts";

const INGRESS = 1n;

function socketMap(rt: Runtime, handle: number, type: "sockmap" | "sockhash"): SocketMap {
  const map = mapOf(rt, handle);
  if (map.def.type !== type) {
    throw new ProgramFault("helper", `map '${map.def.name}' is a ${map.def.type}, not a ${type}`);
  }
  return map as SocketMap;
}

function toSocket(rt: Runtime, map: SocketMap, key: number, flags: bigint): number {
  if ((flags & ~INGRESS) !== 0n) return SK_ACTION.drop;
  const handle = map.handleAt(key);
  if (handle === 0) return SK_ACTION.drop;
  rt.redirectTarget = handle;
  rt.redirectFlags = Number(flags);
  rt.redirectMap = map;
  return SK_ACTION.pass;
}

export const REDIRECT_HELPERS = {
  redirect: (rt, ifindex, flags) => {
    const isXdp = rt.programType === "xdp";
    const allowed = isXdp ? 0n : INGRESS;
    if ((flags & ~allowed) !== 0n) return isXdp ? XDP_ACTION.aborted : TC_ACTION.shot;
    rt.redirectTarget = asU32(ifindex);
    rt.redirectFlags = Number(flags);
    rt.redirectMap = null;
    return isXdp ? XDP_ACTION.redirect : TC_ACTION.redirect;
  },
  sk_redirect_map: (rt, _ctx, map, index, flags) =>
    toSocket(rt, socketMap(rt, map, "sockmap"), asU32(index), flags),
  sk_redirect_hash: (rt, _ctx, map, key, flags) => toSocket(rt, socketMap(rt, map, "sockhash"), key, flags),
} satisfies Partial<HelperTable>;
