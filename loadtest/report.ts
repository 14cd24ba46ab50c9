/**
 * A report as tables and plots, independent of what was measured: the HTTP and the memcached load tests
 * both fill it. Written as Markdown and HTML for people and as JSON with everything in it.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { barChart, type Plot } from "./bar-chart.ts";
import { type Cell, escapeHtml, formatCell } from "./format.ts";

export type Table = {
  readonly caption: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
};
export type Section = {
  readonly title: string;
  readonly text: string;
  readonly tables: readonly Table[];
  readonly plots: readonly Plot[];
};
export type Report = {
  readonly title: string;
  /** Facts about the run: machine, command, date, settings. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly sections: readonly Section[];
  /** Everything measured, for machines. */
  readonly data: unknown;
};

/** @returns the paths written */
export function writeReport(directory: string, name: string, report: Report): string[] {
  mkdirSync(directory, { recursive: true });
  const files = [
    [`${name}.md`, markdown(report)],
    [
      `${name}.json`,
      `${JSON.stringify({ title: report.title, facts: report.facts, data: report.data }, null, 1)}\n`,
    ],
    [`${name}.html`, html(report)],
  ] as const;
  return files.map(([file, text]) => {
    const path = join(directory, file);
    writeFileSync(path, text);
    return path;
  });
}

export function markdown(report: Report): string {
  const lines = [`# ${report.title}`, "", ...report.facts.map(([name, value]) => `- ${name}: ${value}`), ""];
  for (const section of report.sections) {
    lines.push(`## ${section.title}`, "", section.text, "");
    for (const table of section.tables) {
      lines.push(`**${table.caption}**`, "");
      lines.push(`| ${table.columns.join(" | ")} |`, `|${table.columns.map(() => " --- ").join("|")}|`);
      for (const row of table.rows) lines.push(`| ${row.map(formatCell).join(" | ")} |`);
      lines.push("");
    }
  }
  return `${lines.join("\n")}\n`;
}

export function html(report: Report): string {
  const facts = report.facts
    .map(([name, value]) => `<li>${escapeHtml(name)}: ${escapeHtml(value)}</li>`)
    .join("");
  const sections = report.sections.map((section) => {
    const tables = section.tables.map((table) => {
      const head = table.columns.map((c) => `<th scope="col">${escapeHtml(c)}</th>`).join("");
      const body = table.rows
        .map((row) => `<tr>${row.map((cell) => `<td>${escapeHtml(formatCell(cell))}</td>`).join("")}</tr>`)
        .join("");
      return `<table><caption>${escapeHtml(table.caption)}</caption><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table>`;
    });
    return `<section><h2>${escapeHtml(section.title)}</h2><p>${escapeHtml(section.text)}</p>${section.plots.map(barChart).join("")}${tables.join("")}</section>`;
  });
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(report.title)}</title><style>${STYLE}</style></head><body><main><h1>${escapeHtml(report.title)}</h1><ul>${facts}</ul>${sections.join("")}</main></body></html>\n`;
}

const STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
caption { text-align: left; font-weight: 600; }
th, td { border-bottom: 1px solid #8886; padding: .2rem .6rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
svg { max-width: 100%; height: auto; }
svg text { fill: currentColor; font: 12px system-ui, sans-serif; }
`;
