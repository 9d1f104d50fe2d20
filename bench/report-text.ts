/** The report for a terminal. */
import { barCells, cells, type Report, type Section } from "./report.ts";

export function formatReport({ about, sections }: Report): string {
  const facts = Object.entries(about).map(([name, value]) => `${name.padEnd(9)} ${value}`);
  const bars = barCells(sections);
  const summary = bars.length === 1 ? [] : [["All bars", ...align(bars, 0)].join("\n")];
  return `${[facts.join("\n"), ...sections.map(formatSection), ...summary].join("\n\n")}\n`;
}

function formatSection(section: Section): string {
  const { title, columns, intervals = [], notes } = section;
  const lines = section.rows.length === 0 ? [] : align(cells(section), columns.length + intervals.length);
  return [title, ...lines, ...notes.map((note) => `  ${note}`)].join("\n");
}

/** The first column to the left, the `numbers` columns after it to the right, the rest to the left again. */
function align(lines: readonly (readonly string[])[], numbers: number): string[] {
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? [];
  return lines.map((line) =>
    `  ${line
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 || column > numbers ? cell.padEnd(width) : cell.padStart(width);
      })
      .join("  ")}`.trimEnd(),
  );
}
