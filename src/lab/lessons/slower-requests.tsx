/** Lesson 5: the 50 K + 5 K experiment simulated on the spot, its slow flow beside the published figures. */
import { useEffect, useState } from "preact/hooks";
import { formatCount } from "../format.ts";
import { Slider } from "../parts/slider.tsx";
import type { Lesson } from "./lesson.ts";
import type { SlowFlow } from "./slow-flow.ts";

const PUBLISHED_FAST = 50_000;

function Text() {
  return (
    <>
      <p>
        Fifty thousand requests a second can be answered at the hook, five thousand cannot: their values are
        too long. Everybody expects the fast ones to gain. What happens to the slow ones, whose way is the
        same as before?
      </p>
      <p>
        They wait longer. Measured, their median went from <strong>40.6 to 61.5 µs</strong>, half as much
        again, and their p99 rose by a tenth [DEM Fig. 6].
      </p>
      <p>
        The reason is where the work is done. Programs at XDP run in softirq, before any thread on that core,
        and a busy flow at the hook keeps it busy: packets of the slow flow queue behind the fast flow's
        programs, then pay for the program's look and for the whole stack as well.
      </p>
      <p>
        Read the figures with care. They come from one run of 20 seconds; over ten runs the slow median went
        from 63.7 to 76.5 µs, by a fifth, and its p99 fell [DEM-art]. And BMC cached the fast values only up
        to a line break, so its answers were shorter than memcached's.
      </p>
      <p class="try">
        <strong>Try:</strong> lower the fast flow. Where do slow requests stop to notice it?
      </p>
    </>
  );
}

function Controls() {
  const [fastRate, setFastRate] = useState(PUBLISHED_FAST);
  const { flow, busy } = useSlowFlow(fastRate);
  const isPublished = fastRate === PUBLISHED_FAST;
  return (
    <>
      <Slider
        label="Fast flow"
        value={fastRate}
        min={10_000}
        max={80_000}
        step={5_000}
        format={(rate) => `${formatCount(rate)}/s`}
        onInput={setFastRate}
      />
      <p role="status">{busy ? "Simulating…" : "Simulated: 5 K slow requests/s beside it."}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keys */}
      <section class="scroll" aria-label="Slow requests" tabIndex={0}>
        <table>
          <caption>Slow requests, µs, wire included</caption>
          <thead>
            <tr>
              <th scope="col">quantile</th>
              <th scope="col">without</th>
              <th scope="col">with BMC</th>
              <th scope="col">published without</th>
              <th scope="col">published with</th>
            </tr>
          </thead>
          <tbody>
            {(flow ?? []).map((row) => (
              <tr key={row.quantile}>
                <th scope="row">{row.quantile}</th>
                <td class="number">{row.off.toFixed(1)}</td>
                <td class={row.on > row.off ? "number bad" : "number good"}>{row.on.toFixed(1)}</td>
                <td class="number">{isPublished ? row.publishedOff.toFixed(1) : "–"}</td>
                <td class="number">{isPublished ? row.publishedOn.toFixed(1) : "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      <p class="why">
        The simulator's bursts and base were fitted to the column without; the column with is its prediction.
        Published quantiles are of the raw samples [DEM-art], at 50 K/s only.
      </p>
    </>
  );
}

function useSlowFlow(fastRate: number): { flow: readonly SlowFlow[] | null; busy: boolean } {
  const [flow, setFlow] = useState<readonly SlowFlow[] | null>(null);
  const [busy, setBusy] = useState(true);
  useEffect(() => {
    setBusy(true);
    // A fresh worker for each rate: ending it is the only way to stop a simulation that is out of date.
    const worker = new Worker(new URL("./slow-flow-worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = (event: MessageEvent<readonly SlowFlow[]>) => {
      setFlow(event.data);
      setBusy(false);
    };
    worker.postMessage(fastRate);
    return () => worker.terminate();
  }, [fastRate]);
  return { flow, busy };
}

export const slowerRequests: Lesson = {
  title: "The 5K that get slower",
  summary: "What the hook's work does to the requests it cannot answer.",
  Text,
  Controls,
};
