/** A grouped horizontal bar chart as an SVG string: each bar carries its value, so that no axis is needed. */
import { escapeHtml, formatCell } from "./format.ts";

export type Plot = {
  readonly title: string;
  readonly unit: string;
  readonly series: readonly string[];
  /** One group a row; a value per series. */
  readonly groups: readonly { readonly label: string; readonly values: readonly number[] }[];
};

const COLOURS = ["#2563eb", "#d97706", "#059669", "#9333ea"] as const;
const BAR_HEIGHT = 16;
const GROUP_GAP = 10;
const LABEL_WIDTH = 190;
const BAR_WIDTH = 430;
const VALUE_WIDTH = 100;
const TOP = 44;

export function barChart(plot: Plot): string {
  const largest = Math.max(...plot.groups.flatMap((g) => g.values.filter(Number.isFinite)), Number.MIN_VALUE);
  const groupHeight = plot.series.length * BAR_HEIGHT + GROUP_GAP;
  const width = LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH;
  const height = TOP + plot.groups.length * groupHeight;
  const parts = [
    `<svg viewBox="0 0 ${width} ${height}" width="${width}" role="img" aria-label="${escapeHtml(plot.title)}">`,
    `<text x="0" y="14" style="font-weight:600">${escapeHtml(plot.title)} (${escapeHtml(plot.unit)})</text>`,
  ];
  plot.series.forEach((name, s) => {
    const x = LABEL_WIDTH + s * 150;
    parts.push(`<rect x="${x}" y="22" width="10" height="10" fill="${COLOURS[s % COLOURS.length]}"/>`);
    parts.push(`<text x="${x + 14}" y="31">${escapeHtml(name)}</text>`);
  });
  plot.groups.forEach((group, g) => {
    const top = TOP + g * groupHeight;
    parts.push(`<text x="0" y="${top + BAR_HEIGHT - 4}">${escapeHtml(group.label)}</text>`);
    group.values.forEach((value, s) => {
      const y = top + s * BAR_HEIGHT;
      const length = Number.isFinite(value) ? Math.max(1, (value / largest) * BAR_WIDTH) : 0;
      parts.push(
        `<rect x="${LABEL_WIDTH}" y="${y}" width="${length.toFixed(1)}" height="${BAR_HEIGHT - 2}" fill="${COLOURS[s % COLOURS.length]}"/>`,
        `<text x="${(LABEL_WIDTH + length + 5).toFixed(1)}" y="${y + BAR_HEIGHT - 4}">${formatCell(value)}</text>`,
      );
    });
  });
  parts.push("</svg>");
  return parts.join("");
}
