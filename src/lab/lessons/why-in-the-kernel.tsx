/** Lesson 1: what a request pays on its way to userspace, and what the hook saves of it. */
import { useState } from "preact/hooks";
import { costNs } from "../../costs/ledger.ts";
import { formatCount, formatPercent } from "../format.ts";
import { CostBar } from "../parts/cost-bar.tsx";
import { Slider } from "../parts/slider.tsx";
import { profile } from "../profiles.ts";
import type { Lesson } from "./lesson.ts";
import { coldGet, hotGet } from "./request-model.ts";

const VALUE_BYTES = 64;

function Text() {
  return (
    <>
      <p>
        A memcached GET is a few hundred nanoseconds of work: hash the key, find the item, copy it out.
        Getting there costs ten times as much. The packet climbs the network stack, waits in a socket, wakes a
        thread, crosses into userspace; the answer makes the same way back.
      </p>
      <p>
        BMC (NSDI'21) put a small cache <em>below</em> all that. An eBPF program at the XDP hook, in the
        network driver, looks at the packet first. If the key is in its map it turns the packet round on the
        spot. If not, the packet goes on as if nothing had happened.
      </p>
      <p>
        On one core the published gain with every request a hit was 126.5 → 318 thousand requests/s, a factor
        of 2.51 [DEM Fig. 4]. The price list beside this text gives more: it has what each stage costs by
        itself, and a hit on that machine took another 2.2 µs which no stage explains. The upper bar is the
        way through the stack, the lower one the way through the hook; open the lines to see where each number
        comes from.
      </p>
      <p>
        Now move the hit ratio. A core's time is spent by whichever path takes longest, and the cold requests
        pay for the program's look too. That is why the curve is steep only at the right end.
      </p>
      <p class="try">
        <strong>Try:</strong> find the hit ratio where the hook stops paying. It is not zero: why?
      </p>
    </>
  );
}

function Controls() {
  const [hitRatio, setHitRatio] = useState(0.9);
  const stack = profile("userspace-only");
  const xdp = profile("xdp-native");
  const without = costNs(stack, coldGet(VALUE_BYTES, false));
  const hot = costNs(xdp, hotGet(VALUE_BYTES));
  const cold = costNs(xdp, coldGet(VALUE_BYTES, true));
  const mean = hitRatio * hot + (1 - hitRatio) * cold;
  const speedUp = without / mean;
  return (
    <>
      <CostBar title="Through the stack" profile={stack} facts={coldGet(VALUE_BYTES, false)} fullNs={cold} />
      <CostBar title="Answered at XDP" profile={xdp} facts={hotGet(VALUE_BYTES)} fullNs={cold} />
      <Slider
        label="Hit ratio"
        value={hitRatio}
        min={0}
        max={1}
        step={0.01}
        format={formatPercent}
        onInput={setHitRatio}
      />
      <p aria-live="polite">
        One core could serve <strong>{formatCount(1e9 / mean)}</strong> requests/s with the hook,{" "}
        {formatCount(1e9 / without)} without:{" "}
        <strong class={speedUp >= 1 ? "good" : "bad"}>{speedUp.toFixed(2)} ×</strong>. Modelled, not measured.
      </p>
    </>
  );
}

export const whyInTheKernel: Lesson = {
  title: "Why a cache in the kernel",
  summary: "What a request pays to reach userspace, and what a hook in front saves.",
  Text,
  Controls,
};
