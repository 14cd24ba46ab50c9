/** The simulator under sliders: what offloading would give for this workload, and where it turns. */
import { useEffect, useRef, useState } from "preact/hooks";
import { formatBytes, formatCount, formatPercent } from "../format.ts";
import { Choice } from "../parts/choice.tsx";
import { Slider } from "../parts/slider.tsx";
import { PROFILES } from "../profiles.ts";
import type { Outcome, Question } from "../what-if/compute.ts";
import { Curves } from "../what-if/curves.tsx";
import { PRESETS, type Preset } from "../what-if/presets.ts";
import { PublishedView } from "../what-if/published-view.tsx";
import "../styles/what-if.css";

const AT_A_HOOK = [...PROFILES.values()]
  .filter(({ hook, prices }) => hook !== null && prices.hookReply.source !== "none")
  .map(({ name, title }) => ({ value: name, title }));
const START: Question = {
  rate: 200_000,
  hitRatio: 0.8,
  readRatio: 0.95,
  keyBytes: 16,
  valueBytes: 100,
  cores: 2,
};
const NONE = "own";
const WORDS = {
  solution: "Offloading is a solution here.",
  trap: "Offloading is a trap here.",
  depends: "It depends.",
} as const;
const micros = (us: number) =>
  us >= 1_000 ? `${Number((us / 1_000).toPrecision(3))} ms` : `${Number(us.toPrecision(3))} µs`;

export function WhatIf() {
  const [question, setQuestion] = useState(START);
  const [profile, setProfile] = useState("xdp-native");
  const [preset, setPreset] = useState<Preset | null>(null);
  const { outcome, problem } = useOutcome(question, profile);
  const set = (change: Partial<Question>) => setQuestion({ ...question, ...change });
  const choose = (title: string) => {
    const chosen = PRESETS.find((p) => p.title === title) ?? null;
    setPreset(chosen);
    if (!chosen) return;
    setQuestion(chosen.question);
    setProfile(chosen.profile);
  };
  return (
    <>
      <h1>What if</h1>
      <div class="what-if">
        <section class="panel what-if-controls" aria-label="Workload and machine">
          <Choice
            label="Published"
            value={preset?.title ?? NONE}
            options={[
              { value: NONE, title: "no points" },
              ...PRESETS.map(({ title }) => ({ value: title, title })),
            ]}
            onChange={choose}
          />
          <Choice label="Hook" value={profile} options={AT_A_HOOK} onChange={setProfile} />
          <Slider
            label="Rate"
            value={Math.log10(question.rate)}
            min={3}
            max={7}
            step={0.02}
            format={(x) => `${formatCount(10 ** x)}/s`}
            onInput={(x) => set({ rate: 10 ** x })}
          />
          <Slider
            label="Hit ratio"
            value={question.hitRatio}
            min={0}
            max={1}
            step={0.01}
            format={formatPercent}
            onInput={(hitRatio) => set({ hitRatio })}
          />
          <Slider
            label="Reads"
            value={question.readRatio}
            min={0}
            max={1}
            step={0.01}
            format={formatPercent}
            onInput={(readRatio) => set({ readRatio })}
          />
          <Slider
            label="Value"
            value={question.valueBytes}
            min={1}
            max={2_000}
            format={formatBytes}
            onInput={(valueBytes) => set({ valueBytes })}
          />
          <Slider label="Cores" value={question.cores} min={1} max={8} onInput={(cores) => set({ cores })} />
          {preset && (
            <p class="why">
              Dots: [{preset.source}]. {preset.note}
            </p>
          )}
          <p class="legend">
            <span class="tier-cold">- - without</span> <span class="tier-hot">— with the program</span>{" "}
            {preset && <span>● published</span>}
          </p>
        </section>
        <section class="panel what-if-verdict" aria-label="The advisor's verdict" aria-live="polite">
          {problem && <p class="bad">{problem}</p>}
          {outcome ? <Told outcome={outcome} /> : <p>Simulating…</p>}
        </section>
        {outcome && (
          <section class="panel what-if-curves" aria-label="Curves">
            <Curves
              title="Requests/s the cores can serve, over the hit ratio"
              curve={outcome.overHits}
              points={preset?.hits ?? []}
              mark={breakEven(outcome)}
              formatX={formatPercent}
              formatY={formatCount}
            />
            <Curves
              title="Slowest hundredth (p99), over the offered rate"
              curve={outcome.overRate}
              points={[]}
              mark={{ x: question.rate, text: "the rate chosen" }}
              formatX={formatCount}
              formatY={micros}
            />
            <Curves
              title="Requests/s, over the number of cores"
              curve={outcome.overCores}
              points={preset?.cores ?? []}
              mark={null}
              formatX={(x) => (Number.isInteger(x) ? String(x) : "")}
              formatY={formatCount}
            />
          </section>
        )}
        {preset?.experiment && <PublishedView name={preset.experiment} />}
      </div>
    </>
  );
}

function breakEven({ advice }: Outcome): { x: number; text: string } | null {
  const even = advice.breakEvenHitRatio;
  return even === null ? null : { x: even, text: `break-even at ${formatPercent(even)}` };
}

function Told({ outcome }: { outcome: Outcome }) {
  const { advice } = outcome;
  const side = (s: typeof advice.off) =>
    `${formatCount(s.capacity)}/s, ${s.all ? `p50 ${micros(s.all.p50)}, p99 ${micros(s.all.p99)}` : "overloaded at this rate"}`;
  const even = advice.breakEvenHitRatio;
  return (
    <>
      <h2 class={advice.verdict === "solution" ? "good" : advice.verdict === "trap" ? "bad" : undefined}>
        {WORDS[advice.verdict]}
      </h2>
      <ul>
        {advice.reasons.map((reason) => (
          <li key={reason}>{reason}</li>
        ))}
      </ul>
      <p>
        <span class="tier-cold">Without:</span> {side(advice.off)}
        <br />
        <span class="tier-hot">With:</span> {side(advice.on)}
      </p>
      <p>
        {even === null
          ? "No hit ratio makes up for what the program costs here."
          : `It pays from a hit ratio of ${formatPercent(even)} on.`}{" "}
        Simulated, inside the server, without the wire.
      </p>
    </>
  );
}

/** Asks the simulator's worker; the answer to the newest question wins. */
function useOutcome(
  question: Question,
  profile: string,
): { outcome: Outcome | null; problem: string | null } {
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const worker = useRef<Worker | null>(null);
  const asked = useRef(0);
  useEffect(() => {
    const made = new Worker(new URL("../what-if/worker.ts", import.meta.url), { type: "module" });
    made.onmessage = (event: MessageEvent<{ id: number; outcome: Outcome }>) => {
      setProblem(null);
      setOutcome(event.data.outcome);
    };
    made.onerror = (event) => setProblem(`the simulator failed: ${event.message}`);
    worker.current = made;
    return () => made.terminate();
  }, []);
  useEffect(() => {
    worker.current?.postMessage({ id: ++asked.current, question, profile });
  }, [question, profile]);
  return { outcome, problem };
}
