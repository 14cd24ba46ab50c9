/** Two curves, without and with the program, and published points on the same axes. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Curve } from "./compute.ts";
import type { Point } from "./presets.ts";

const HEIGHT = 230;

type Props = {
  readonly title: string;
  readonly curve: Curve;
  readonly points: readonly Point[];
  /** A vertical line: the break-even, or where the slider stands. */
  readonly mark: { readonly x: number; readonly text: string } | null;
  readonly formatX: (x: number) => string;
  readonly formatY: (y: number) => string;
};

type Column = (number | null)[];

export function Curves({ title, curve, points, mark, formatX, formatY }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shownMark = useRef(mark);
  shownMark.current = mark;
  const formats = useRef({ formatX, formatY });
  formats.current = { formatX, formatY };

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const style = getComputedStyle(element);
    const colour = (name: string) => () => style.getPropertyValue(name);
    const grid = { stroke: colour("--line"), width: 1 };
    const line = (label: string, name: string, dash?: number[]) => {
      return { label, stroke: colour(name), width: 2, points: { show: false }, ...(dash && { dash }) };
    };
    const dots = (label: string, name: string) => {
      const points = { show: true, size: 9, fill: colour(name) };
      return { label, stroke: colour(name), width: 0, paths: () => null, points };
    };
    const made = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { time: false }, y: { range: (_plot, _min, max) => [0, (max || 1) * 1.1] } },
        axes: [
          {
            stroke: colour("--ink-soft"),
            grid,
            values: (_plot, ticks) => ticks.map((t) => formats.current.formatX(t)),
          },
          {
            stroke: colour("--ink-soft"),
            grid,
            size: 72,
            values: (_plot, ticks) => ticks.map((t) => formats.current.formatY(t)),
          },
        ],
        series: [
          {},
          line("without", "--cold", [6, 4]),
          line("with", "--hot"),
          dots("without, published", "--cold"),
          dots("with, published", "--hot"),
        ],
        hooks: { draw: [(u) => drawMark(u, shownMark.current, style)] },
      },
      [[], [], [], [], []],
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
    plot.current?.setData(columns(curve, points));
  }, [curve, points, mark]);

  return (
    <figure class="curves">
      <figcaption>{title}</figcaption>
      <div ref={host} role="img" aria-label={`${title}${mark ? `; ${mark.text}` : ""}`} />
    </figure>
  );
}

/** One column of x for all: curve and points have their own, and gaps where the others are. */
function columns(curve: Curve, points: readonly Point[]): [number[], Column, Column, Column, Column] {
  const [xs, without, withIt] = curve;
  const all = [...new Set([...xs, ...points.map((p) => p.x)])].sort((a, b) => a - b);
  const at = (ys: readonly (number | null)[]): Column => all.map((x) => ys[xs.indexOf(x)] ?? null);
  const dots = (series: Point["series"]): Column =>
    all.map((x) => points.find((p) => p.x === x && p.series === series)?.y ?? null);
  return [all, at(without), at(withIt), dots("without"), dots("with")];
}

function drawMark(u: uPlot, mark: Props["mark"], style: CSSStyleDeclaration): void {
  if (!mark) return;
  const { ctx, bbox } = u;
  const x = u.valToPos(mark.x, "x", true);
  if (!(x >= bbox.left && x <= bbox.left + bbox.width)) return;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = style.getPropertyValue("--ink-soft");
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  const isRight = x > bbox.left + bbox.width / 2;
  ctx.textAlign = isRight ? "right" : "left";
  ctx.fillText(mark.text, x + (isRight ? -6 : 6), bbox.top + 14 * devicePixelRatio);
  ctx.restore();
}
