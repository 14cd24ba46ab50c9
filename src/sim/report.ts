/** A report as text a person reads, as CSV, and as JSON. */
import type { Cell, Report, Table } from "./experiment.ts";

const USE_NAMES = { fit: "fitted", predict: "predicted", show: "for comparison" } as const;

/** Digits that matter: whole numbers whole, others to about four figures. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) {
    return Math.abs(value) >= 10_000 ? String(value).replace(/\B(?=(\d{3})+(?!\d))/g, " ") : String(value);
  }
  const size = Math.abs(value);
  if (size >= 10_000) return formatNumber(Math.round(value));
  return value.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 0.1 ? 3 : 4);
}

const cell = (value: Cell): string => (typeof value === "number" ? formatNumber(value) : value);

export function renderTable({ title, columns, rows }: Table): string {
  const cells = rows.map((row) => row.map(cell));
  const numeric = columns.map((_, i) => rows.some((row) => typeof row[i] === "number"));
  const widths = columns.map((c, i) => Math.max(c.length, ...cells.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((text, i) => (numeric[i] ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd();
  return [title, "", line(columns), line(widths.map((w) => "-".repeat(w))), ...cells.map(line), ""].join(
    "\n",
  );
}

export function renderReport(report: Report): string {
  const parts = [
    `${report.experiment}: ${report.title}`,
    `source: ${report.source}`,
    ...(report.requestsPerPoint > 1
      ? [`seed ${report.seed}, ${formatNumber(report.requestsPerPoint)} requests a point after warm-up`]
      : []),
    ...(report.complete ? [] : ["STOPPED EARLY: what follows is what there was"]),
    "",
    ...report.tables.filter((t) => t.rows.length > 0).map(renderTable),
  ];
  if (report.comparisons.length > 0) {
    parts.push(
      renderTable({
        title: "Published and ours",
        columns: ["figure", "published", "ours", "unit", "error", "role", "source"],
        rows: report.comparisons.map((c) => [
          c.label,
          c.value,
          c.ours,
          c.unit,
          `${c.error >= 0 ? "+" : "−"}${Math.abs(c.error * 100).toFixed(1)} %`,
          USE_NAMES[c.use],
          c.source,
        ]),
      }),
    );
  }
  if (report.fitted.length > 0) {
    const rows = report.fitted.map((f) => [f.parameter, showParam(report.params[f.parameter]), f.on]);
    parts.push(
      renderTable({ title: "Fitted parameters", columns: ["parameter", "value", "fitted on"], rows }),
    );
  } else parts.push("No parameter was fitted.\n");
  if (report.notes.length > 0) parts.push("Notes", "", ...report.notes.map((n) => `- ${n}`), "");
  return parts.join("\n");
}

/** One record per line: tables first, then comparisons, each introduced by its own header line. */
export function renderCsv(report: Report): string {
  const lines: string[] = [];
  for (const { title, columns, rows } of report.tables) {
    lines.push(row(["table", ...columns]), ...rows.map((r) => row([title, ...r])), "");
  }
  lines.push(row(["comparison", "figure", "published", "ours", "unit", "error", "role", "source"]));
  for (const c of report.comparisons) {
    lines.push(row([c.id, c.label, c.value, c.ours, c.unit, c.error, c.use, c.source]));
  }
  return `${lines.join("\n")}\n`;
}

function row(cells: readonly Cell[]): string {
  return cells
    .map((c) => (typeof c === "string" && /[",\n]/.test(c) ? `"${c.replaceAll('"', '""')}"` : String(c)))
    .join(",");
}

function showParam(value: Report["params"][string] | undefined): Cell {
  return typeof value === "object" ? value.join(", ") : (value ?? "");
}
