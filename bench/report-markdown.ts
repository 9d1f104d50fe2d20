/**
 * The report as a page. What a run gives stands between two marks and is written anew each time; what people wrote around
 * the marks stays.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";

import { barCells, cells, type Report, type Section } from "./report.ts";

const BEGIN = "<!-- A run of the bench writes what is between these two marks. -->";
const END = "<!-- The end of what the bench writes. -->";

const AROUND = `# Results of the bench

How it is measured and how to read it: [README.md](README.md).

## Honest losses

Written by hand: where Heddle loses, and what these figures do not show.

${BEGIN}
${END}
`;

/** Writes the report into a page, which is made if it is not there. @throws Error if its marks are missing */
export function writeResults(path: string, report: Report, command: string): void {
  const page = existsSync(path) ? readFileSync(path, "utf8") : AROUND;
  writeFileSync(path, replaceGenerated(page, formatMarkdown(report, command)));
}

/** @throws Error unless `page` has both marks, in their order */
export function replaceGenerated(page: string, generated: string): string {
  const from = page.indexOf(BEGIN);
  const to = page.indexOf(END);
  if (from === -1 || to < from) throw new Error(`expected the lines "${BEGIN}" and "${END}" in the page`);
  return `${page.slice(0, from + BEGIN.length)}\n\n${generated}\n${page.slice(to)}`;
}

export function formatMarkdown({ about, sections }: Report, command: string): string {
  const facts = Object.entries({ Command: `\`${command}\``, ...about }).map(([name, value]) => [name, value]);
  const bars = barCells(sections);
  const parts = [
    "## The run\n",
    table([["", ""], ...facts]),
    ...(bars.length === 1 ? [] : ["## Bars\n", table(bars)]),
    "## Figures\n",
    ...sections.map(formatSection),
  ];
  return parts.join("\n");
}

function formatSection(section: Section): string {
  const notes = section.notes.map((note) => `- ${note}\n`).join("");
  const parts = [`### ${section.title}\n`, ...(section.rows.length === 0 ? [] : [table(cells(section))])];
  return [...parts, ...(notes === "" ? [] : [notes])].join("\n");
}

/** Columns of one width, as the formatter has them. */
function table(lines: readonly (readonly string[])[]): string {
  const escaped = lines.map((line) => line.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = escaped[0]?.map((_, column) => Math.max(3, ...escaped.map((line) => line[column]?.length ?? 0))) ?? [];
  const rows = escaped.map((line) => `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`);
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return `${[rows[0], rule, ...rows.slice(1)].join("\n")}\n`;
}
