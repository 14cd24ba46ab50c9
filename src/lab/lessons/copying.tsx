/** Lesson 4: a program copies word by word; the kernel and userspace copy with wide registers. */
import { useState } from "preact/hooks";
import { costNs } from "../../costs/ledger.ts";
import { formatBytes, formatNs, formatPercent } from "../format.ts";
import { CostBar } from "../parts/cost-bar.tsx";
import { Slider } from "../parts/slider.tsx";
import { profile } from "../profiles.ts";
import type { Lesson } from "./lesson.ts";
import { coldGet, hotGet } from "./request-model.ts";

/** Advice of the source text: copies over 500 bytes belong in userspace. */
const AUDIT_THRESHOLD_BYTES = 500;

function Text() {
  return (
    <>
      <p>
        eBPF has no vector registers and, until recently, no memcpy of variable size: a program moves a value
        in a bounded loop, eight bytes at a time at best. Copying one kilobyte took <strong>340 ns</strong> in
        eBPF, <strong>32 ns</strong> in a kernel module and 29 ns in userspace with SIMD [DEM Table 6].
      </p>
      <p>
        For a 32-byte value that is nothing. For a kilobyte it is more than the rest of a hit at XDP together.
        The hook still wins there, because it saves the stack; but every byte eats a part of the gain, and on
        a cheaper stack the two meet.
      </p>
      <p>
        BMC drew a line: values up to 1,000 bytes are served in the kernel, all others go up. A rule of thumb
        says that copies over {AUDIT_THRESHOLD_BYTES} bytes belong in userspace. <code>bmc audit FILE.o</code>{" "}
        lists every copy a program can make with its greatest size, and marks those.
      </p>
      <p class="try">
        <strong>Try:</strong> at which size is half of a hit's time copying? And how many bytes would it take
        until a hit costs as much as the stack?
      </p>
    </>
  );
}

function Controls() {
  const [valueBytes, setValueBytes] = useState(100);
  const xdp = profile("xdp-native");
  const stack = profile("userspace-only");
  const hit = costNs(xdp, hotGet(valueBytes));
  const copyNs = hit - costNs(xdp, hotGet(0));
  const without = costNs(stack, coldGet(valueBytes, false));
  return (
    <>
      <Slider
        label="Value"
        value={valueBytes}
        min={0}
        max={32_768}
        step={64}
        format={formatBytes}
        onInput={setValueBytes}
      />
      <CostBar title="Hit at XDP" profile={xdp} facts={hotGet(valueBytes)} fullNs={Math.max(hit, without)} />
      <CostBar
        title="Through the stack"
        profile={stack}
        facts={coldGet(valueBytes, false)}
        fullNs={Math.max(hit, without)}
      />
      <p aria-live="polite">
        Copying is {formatNs(copyNs)}, <strong>{formatPercent(copyNs / hit)}</strong> of the hit.{" "}
        {valueBytes > AUDIT_THRESHOLD_BYTES
          ? "The audit would mark this copy."
          : "The audit would let it pass."}
      </p>
    </>
  );
}

export const copying: Lesson = {
  title: "Copying is not free",
  summary: "340 ns against 32 ns for a kilobyte: where a value is too big for the hook.",
  Text,
  Controls,
};
