/** How a figure and a text appear in a report. */
export type Cell = string | number;

/** Numbers with as many digits as their size deserves; what was not measured is a dash. */
export function formatCell(cell: Cell): string {
  if (typeof cell === "string") return cell;
  if (!Number.isFinite(cell)) return "–";
  if (Number.isInteger(cell)) return cell.toLocaleString("en-US");
  const size = Math.abs(cell);
  if (size >= 100) return Math.round(cell).toLocaleString("en-US");
  return cell.toFixed(size >= 10 ? 1 : size >= 0.1 ? 2 : 3);
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
}
