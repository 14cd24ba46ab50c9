/**
 * The way of a request, drawn: the width of each line is its share of the traffic in the last seconds.
 * Text for those who cannot see it is in the figure's label.
 */
import { formatCount, formatPercent } from "../format.ts";
import type { Snapshot, Window } from "./snapshot.ts";

const MAX_WIDTH = 26;
const MIN_WIDTH = 1.5;

type Box = { readonly x: number; readonly y: number; readonly title: string; readonly note: string };

export function PathDiagram({ snapshot, window }: { snapshot: Snapshot; window: Window | null }) {
  const hot = window?.perSecond.hot ?? 0;
  const cold = window?.perSecond.cold ?? 0;
  const total = hot + cold;
  const width = (rate: number) =>
    total === 0 || rate === 0 ? MIN_WIDTH : MIN_WIDTH + (MAX_WIDTH * rate) / total;
  const isAttached = snapshot.offload === "on";
  const boxes: readonly Box[] = [
    { x: 10, y: 95, title: "socket", note: "bytes arrive" },
    { x: 190, y: 95, title: "hook", note: isAttached ? "program attached" : "nothing attached" },
    {
      x: 400,
      y: 20,
      title: "hot map",
      note: `${formatCount(snapshot.hot.live)} of ${formatCount(snapshot.hot.entries)}`,
    },
    { x: 400, y: 170, title: "stack", note: "crossing" },
    { x: 590, y: 170, title: "Fastify", note: "userspace" },
    { x: 780, y: 170, title: "cold store", note: `${formatCount(snapshot.cold.items)} items` },
  ];
  const label = `${formatCount(total)} requests per second arrive; ${formatPercent(hot / total)} are answered at the hook, the others cross into userspace.`;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
    <figure class="path-diagram" tabIndex={0}>
      <svg viewBox="0 0 920 250" role="img" aria-label={label}>
        <line class="boundary" x1="375" y1="150" x2="920" y2="150" />
        <text class="boundary-text" x="915" y="143" text-anchor="end">
          kernel
        </text>
        <text class="boundary-text" x="915" y="163" text-anchor="end">
          userspace
        </text>
        <path class="flow" d="M130 125 H190" stroke-width={width(total)} />
        <path class="flow flow-hot" d="M310 118 C355 118 355 50 400 50" stroke-width={width(hot)} />
        <path class="flow flow-cold" d="M310 132 C355 132 355 200 400 200" stroke-width={width(cold)} />
        <path class="flow flow-cold" d="M520 200 H590 M710 200 H780" stroke-width={width(cold)} />
        {boxes.map((box) => (
          <g key={box.title} transform={`translate(${box.x} ${box.y})`}>
            <rect class="box" width="120" height="60" rx="8" />
            <text class="box-title" x="60" y="26" text-anchor="middle">
              {box.title}
            </text>
            <text class="box-note" x="60" y="46" text-anchor="middle">
              {box.note}
            </text>
          </g>
        ))}
        <text class="rate rate-hot" x="330" y="60" text-anchor="end">
          {formatCount(hot)}/s
        </text>
        <text class="rate rate-cold" x="330" y="205" text-anchor="end">
          {formatCount(cold)}/s
        </text>
      </svg>
    </figure>
  );
}
