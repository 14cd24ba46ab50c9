/** What a lecturer turns: the load, offload on or off, the profile, the dilation, and a fresh start. */
import { useEffect, useState } from "preact/hooks";
import { changeSettings, clearTiers, getSession, type Session, startLoad, stopLoad } from "../api.ts";
import { formatBytes, formatCount, formatPercent } from "../format.ts";
import { Choice } from "../parts/choice.tsx";
import { Slider } from "../parts/slider.tsx";
import type { LoadSettings, Snapshot } from "./snapshot.ts";

/** 0 is off; 1,000 makes 38 ns a step one can see. */
const SCALES = ["0", "1", "10", "100", "1000"] as const;

export function Controls({ snapshot }: { snapshot: Snapshot }) {
  const [session, setSession] = useState<Session | null>(null);
  const [load, setLoad] = useState<LoadSettings>(snapshot.load.settings);
  const [problem, setProblem] = useState<string | null>(null);
  const report = (error: unknown) => setProblem(error instanceof Error ? error.message : String(error));
  useEffect(() => {
    getSession().then(setSession, report);
  }, []);

  const act = (call: Promise<void>) => {
    setProblem(null);
    call.catch(report);
  };
  const set = (change: Partial<LoadSettings>) => setLoad({ ...load, ...change });
  const scale = SCALES.find((s) => Number(s) === snapshot.costsScale) ?? String(snapshot.costsScale);
  const scales = [...new Set([...SCALES, scale])].map((s) => ({
    value: s,
    title: s === "0" ? "off" : `× ${s}`,
  }));

  return (
    <section class="panel controls" aria-label="Controls">
      <div class="control-row">
        <button
          type="button"
          aria-pressed={snapshot.offload === "on"}
          onClick={() => act(changeSettings({ offload: snapshot.offload === "on" ? "off" : "on" }))}
        >
          Offload is {snapshot.offload}
        </button>
        <Choice
          label="Profile"
          value={snapshot.profile}
          options={(session?.profiles ?? [snapshot.profile]).map((name) => ({ value: name, title: name }))}
          onChange={(profile) => act(changeSettings({ profile }))}
        />
        <Choice
          label="Dilation"
          value={scale}
          options={scales}
          onChange={(value) => act(changeSettings({ costsScale: Number(value) }))}
        />
        <button type="button" onClick={() => act(clearTiers())}>
          Clear both tiers
        </button>
      </div>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          act(snapshot.load.running ? stopLoad() : startLoad(load));
        }}
      >
        <Slider
          label="Rate"
          value={load.ratePerSecond}
          min={100}
          max={session?.limits.maxRatePerSecond ?? 5_000}
          step={100}
          format={(n) => `${formatCount(n)}/s`}
          onInput={(ratePerSecond) => set({ ratePerSecond })}
        />
        <Slider
          label="Keys"
          value={load.keys}
          min={10}
          max={session?.limits.maxKeys ?? 10_000}
          step={10}
          format={formatCount}
          onInput={(keys) => set({ keys })}
        />
        <Slider
          label="Zipf skew"
          value={load.skew}
          min={0}
          max={2}
          step={0.05}
          format={(n) => n.toFixed(2)}
          onInput={(skew) => set({ skew })}
        />
        <Slider
          label="Value size"
          value={load.valueBytes}
          min={16}
          max={session?.limits.maxValueBytes ?? 4_096}
          step={16}
          format={formatBytes}
          onInput={(valueBytes) => set({ valueBytes })}
        />
        <Slider
          label="Writes"
          value={load.writeShare}
          min={0}
          max={1}
          step={0.01}
          format={formatPercent}
          onInput={(writeShare) => set({ writeShare })}
        />
        <p class="control-row">
          <button type="submit" class="primary">
            {snapshot.load.running ? "Stop the load" : "Start the load"}
          </button>
          <span class="mono">
            {snapshot.load.running
              ? `${formatCount(snapshot.load.achievedPerSecond)}/s achieved`
              : "no load running"}
          </span>
        </p>
      </form>
      <p role="alert" class="bad problem">
        {problem}
      </p>
    </section>
  );
}
