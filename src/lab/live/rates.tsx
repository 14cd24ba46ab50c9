/** Requests per second by tier over the last two minutes. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatCount } from "../format.ts";
import { between, type Snapshot } from "./snapshot.ts";

const HEIGHT = 180;

export function Rates({ snapshots }: { snapshots: readonly Snapshot[] }) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const style = getComputedStyle(element);
    const ink = () => style.getPropertyValue("--ink-soft");
    const grid = { stroke: () => style.getPropertyValue("--line"), width: 1 };
    const made = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { time: false }, y: { range: (_plot, _min, max) => [0, Math.max(10, max * 1.1)] } },
        axes: [
          { stroke: ink, grid, values: (_plot, ticks) => ticks.map((t) => (t === 0 ? "now" : `${t} s`)) },
          { stroke: ink, grid, size: 64, values: (_plot, ticks) => ticks.map((t) => `${formatCount(t)}/s`) },
        ],
        series: [
          {},
          { label: "hot", stroke: () => style.getPropertyValue("--hot"), width: 2 },
          { label: "cold", stroke: () => style.getPropertyValue("--cold"), width: 2 },
        ],
      },
      [[], [], []],
      element,
    );
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
    };
  }, []);

  useEffect(() => {
    plot.current?.setData(series(snapshots));
  }, [snapshots]);

  const last = series(snapshots);
  const at = (index: 1 | 2) => formatCount(last[index].at(-1) ?? 0);
  return (
    <figure class="rates">
      <figcaption>
        <span class="tier-hot">hot {at(1)}/s</span> <span class="tier-cold">cold {at(2)}/s</span>
      </figcaption>
      <div ref={host} role="img" aria-label={`Requests per second: hot ${at(1)}, cold ${at(2)}`} />
    </figure>
  );
}

function series(snapshots: readonly Snapshot[]): [number[], number[], number[]] {
  const nowMs = snapshots.at(-1)?.atMs ?? 0;
  const times: number[] = [];
  const hot: number[] = [];
  const cold: number[] = [];
  for (let i = 1; i < snapshots.length; i++) {
    const before = snapshots[i - 1];
    const after = snapshots[i];
    const window = before && after ? between(before, after) : null;
    if (!window || !after) continue;
    times.push((after.atMs - nowMs) / 1000);
    hot.push(window.perSecond.hot);
    cold.push(window.perSecond.cold);
  }
  return [times, hot, cold];
}
