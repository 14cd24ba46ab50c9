/** Small plots by hand: axes, lines, points. No dependency, no script; the same report gives the same bytes. */
import type { Plot, Series } from "./experiment.ts";
import { ln } from "./math.ts";

const WIDTH = 760;
const HEIGHT = 460;
const LEFT = 78;
const RIGHT = 20;
const TOP = 42;
const BOTTOM = 56;
const LEGEND_ROW = 17;
const COLOURS = ["#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#0e7490", "#bf3989", "#57606a"];

type Scale = { readonly at: (value: number) => number; readonly ticks: readonly number[] };

export function renderSvg(plot: Plot): string {
  const points = plot.series
    .flatMap((s) => s.points)
    .filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  const legendHeight = LEGEND_ROW * Math.ceil(plot.series.length / 2);
  const height = HEIGHT + legendHeight;
  const x = scale(
    points.map((p) => p[0]),
    plot.xLog === true,
    LEFT,
    WIDTH - RIGHT,
    false,
  );
  const y = scale(
    points.map((p) => p[1]),
    plot.yLog === true,
    HEIGHT - BOTTOM,
    TOP,
    plot.yLog !== true,
  );
  const out: string[] = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `<title>${xml(plot.title)}</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="${LEFT}" y="24" font-size="15" font-weight="600">${xml(plot.title)}</text>`,
  ];
  for (const tick of x.ticks) {
    const px = round(x.at(tick));
    out.push(
      `<line x1="${px}" y1="${TOP}" x2="${px}" y2="${HEIGHT - BOTTOM}" stroke="#eaeef2"/>`,
      `<text x="${px}" y="${HEIGHT - BOTTOM + 17}" text-anchor="middle" fill="#57606a">${label(tick)}</text>`,
    );
  }
  for (const tick of y.ticks) {
    const py = round(y.at(tick));
    out.push(
      `<line x1="${LEFT}" y1="${py}" x2="${WIDTH - RIGHT}" y2="${py}" stroke="#eaeef2"/>`,
      `<text x="${LEFT - 7}" y="${py + 4}" text-anchor="end" fill="#57606a">${label(tick)}</text>`,
    );
  }
  out.push(
    `<path d="M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}" fill="none" stroke="#57606a"/>`,
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 16}" text-anchor="middle">${xml(plot.x)}</text>`,
    `<text transform="translate(18 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">${xml(plot.y)}</text>`,
  );
  plot.series.forEach((series, i) => {
    // A published series takes the colour of the one before it: the model's own.
    const colour = COLOURS[colourOf(plot.series, i) % COLOURS.length] ?? "#000";
    out.push(...draw(series, colour, x, y));
    const lx = LEFT + (i % 2) * 340;
    const ly = HEIGHT + Math.floor(i / 2) * LEGEND_ROW;
    out.push(
      ...draw(
        {
          ...series,
          points: [
            [0, 0],
            [1, 0],
          ],
        },
        colour,
        { at: (v) => lx + v * 22, ticks: [] },
        { at: () => ly, ticks: [] },
      ),
      `<text x="${lx + 32}" y="${ly + 4}">${xml(series.name)}</text>`,
    );
  });
  out.push("</svg>", "");
  return out.join("\n");
}

function colourOf(all: readonly Series[], index: number): number {
  let colour = -1;
  for (let i = 0; i <= index; i++) if (all[i]?.style !== "published" || colour < 0) colour++;
  return colour;
}

function draw({ style, points }: Series, colour: string, x: Scale, y: Scale): string[] {
  const at = points
    .filter(([a, b]) => Number.isFinite(x.at(a)) && Number.isFinite(y.at(b)))
    .map(([a, b]) => [round(x.at(a)), round(y.at(b))] as const);
  if (style === "line" || style === "dashed") {
    const dash = style === "dashed" ? ' stroke-dasharray="5 4"' : "";
    const path = at.map(([a, b], i) => `${i === 0 ? "M" : "L"}${a} ${b}`).join("");
    return path === "" ? [] : [`<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"${dash}/>`];
  }
  const fill = style === "published" ? "#fff" : colour;
  return at.map(
    ([a, b]) => `<circle cx="${a}" cy="${b}" r="4" fill="${fill}" stroke="${colour}" stroke-width="1.8"/>`,
  );
}

function scale(values: readonly number[], log: boolean, from: number, to: number, zero: boolean): Scale {
  const usable = log ? values.filter((v) => v > 0) : values;
  let low = usable.length > 0 ? Math.min(...usable) : log ? 1 : 0;
  let high = usable.length > 0 ? Math.max(...usable) : log ? 10 : 1;
  if (log) {
    const decade = (v: number, up: boolean): number => {
      let d = 1;
      while (d > v) d /= 10;
      while (d * 10 <= v) d *= 10;
      return up && d < v ? d * 10 : d;
    };
    low = decade(low, false);
    high = decade(high, true);
    if (low === high) high = low * 10;
    const ticks: number[] = [];
    for (let d = low; d <= high * 1.0001; d *= 10) ticks.push(d);
    const span = ln(high / low);
    return { at: (v) => (v > 0 ? from + ((to - from) * ln(v / low)) / span : Number.NaN), ticks };
  }
  if (zero && low > 0) low = 0;
  if (low === high) high = low + 1;
  const step = niceStep((high - low) / 6);
  low = Math.floor(low / step + 1e-9) * step;
  high = Math.ceil(high / step - 1e-9) * step;
  const ticks: number[] = [];
  for (let i = 0; low + i * step <= high + step / 2; i++) ticks.push(low + i * step);
  return { at: (v) => from + ((to - from) * (v - low)) / (high - low), ticks };
}

/** 1, 2 or 5 times a power of ten, at least `raw`. */
function niceStep(raw: number): number {
  let power = 1;
  while (power > raw) power /= 10;
  while (power * 10 <= raw) power *= 10;
  return power * ([1, 2, 5, 10].find((m) => power * m >= raw * 0.999) ?? 10);
}

function label(value: number): string {
  const v = Number(value.toPrecision(6));
  const size = Math.abs(v);
  if (size >= 1e9) return `${Number((v / 1e9).toPrecision(3))}G`;
  if (size >= 1e6) return `${Number((v / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${Number((v / 1e3).toPrecision(3))}k`;
  return String(v);
}

function round(v: number): number {
  return Math.round(v * 10) / 10;
}

function xml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c] ?? c);
}
