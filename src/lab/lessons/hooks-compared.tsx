/** Lesson 3: the same program at XDP and at SK_SKB. */
import { useState } from "preact/hooks";
import { costNs } from "../../costs/ledger.ts";
import { formatNs } from "../format.ts";
import { Choice } from "../parts/choice.tsx";
import { CostBar } from "../parts/cost-bar.tsx";
import { PROFILES, profile } from "../profiles.ts";
import type { Lesson } from "./lesson.ts";
import { coldGet, hotGet } from "./request-model.ts";

const VALUE_BYTES = 100;
const AT_A_HOOK = [...PROFILES.values()].filter((p) => p.hook !== null);

function Text() {
  return (
    <>
      <p>
        Where a program sits decides what it may know and what has been paid already. At <strong>XDP</strong>{" "}
        it sees a raw frame, before the kernel has even built an skb: 38 ns to enter and leave [DEM Table 1].
        But TCP is not there yet: no order, no retransmission, no byte stream.
      </p>
      <p>
        At <strong>SK_SKB</strong> the program gets the byte stream of a socket, in order. The price is what
        came before: 1,072 ns to reach it through the stack and 1,350 ns to prepare its context under the
        socket's lock [DEM Table 1], together 2.4 µs, "the same order as reaching userspace".
      </p>
      <p>
        So the same cache, with the same hits, is a big win at one hook and a small one at the other. Measured
        as an echo round trip: 44.3 µs at the user socket, 43.1 µs at SK_SKB, 38.5 µs at tc, 37.8 µs at XDP
        [DEM Fig. 3].
      </p>
      <p>
        This service answers HTTP, which is TCP, so its hook is an sk_skb pair: a stream parser that frames
        requests and a verdict program that answers them. Its memcached port does the same over UDP at XDP.
      </p>
      <p class="try">
        <strong>Try:</strong> go from xdp-native to xdp-generic to sk_skb and watch which stage grows. Then
        find the hook at which a hit costs more than half of the stack's way.
      </p>
    </>
  );
}

function Controls() {
  const [left, setLeft] = useState("xdp-native");
  const [right, setRight] = useState("sk_skb");
  const stack = profile("userspace-only");
  const stackNs = costNs(stack, coldGet(VALUE_BYTES, false));
  const fullNs = Math.max(
    stackNs,
    ...[left, right].map((name) => costNs(profile(name), hotGet(VALUE_BYTES))),
  );
  const options = AT_A_HOOK.map((p) => ({ value: p.name, title: p.title }));
  return (
    <>
      <Choice label="First hook" value={left} options={options} onChange={setLeft} />
      <CostBar title={`Hit at ${left}`} profile={profile(left)} facts={hotGet(VALUE_BYTES)} fullNs={fullNs} />
      <Choice label="Second hook" value={right} options={options} onChange={setRight} />
      <CostBar
        title={`Hit at ${right}`}
        profile={profile(right)}
        facts={hotGet(VALUE_BYTES)}
        fullNs={fullNs}
      />
      <CostBar title="No hook at all" profile={stack} facts={coldGet(VALUE_BYTES, false)} fullNs={fullNs} />
      <p>The last bar, {formatNs(stackNs)}, is what both are up against.</p>
    </>
  );
}

export const hooksCompared: Lesson = {
  title: "XDP against SK_SKB",
  summary: "The same program at two hooks: 38 ns to enter one, 2.4 µs to reach the other.",
  Text,
  Controls,
};
