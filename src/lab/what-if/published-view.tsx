/** A published experiment beside its simulation, under the preset that is about it. */
import { useEffect, useState } from "preact/hooks";
import { formatCount, formatPercent } from "../format.ts";
import { Curves } from "./curves.tsx";
import type { PublishedName, PublishedRun } from "./published.ts";

const micros = (us: number) => `${Number(us.toPrecision(3))} µs`;
const percentile = (q: number) => `p${Math.round(q * 100)}`;

export function PublishedView({ name }: { readonly name: PublishedName }) {
  const [run, setRun] = useState<PublishedRun | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    setRun(null);
    setProblem("");
    const worker = new Worker(new URL("./published-worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = (event: MessageEvent<PublishedRun>) => setRun(event.data);
    worker.onerror = (event) => setProblem(`the simulator failed: ${event.message}`);
    worker.postMessage(name);
    return () => worker.terminate();
  }, [name]);
  const isShare = run?.xAxis === "share";
  return (
    <section
      class="panel what-if-published"
      aria-label="The published experiment, simulated"
      aria-busy={!run}
    >
      {problem && <p class="bad">{problem}</p>}
      {!run && !problem && <p>Simulating the published experiment…</p>}
      {run && (
        <>
          <Curves
            title={run.title}
            curve={run.curve}
            points={run.points}
            mark={null}
            formatX={isShare ? formatPercent : percentile}
            formatY={isShare ? formatCount : micros}
          />
          <p class="why">
            Lines: simulated with the settings of the experiment, not of the sliders. Dots: published.{" "}
            {run.note}
          </p>
        </>
      )}
    </section>
  );
}
