/** What commands print: tables for people, JSON for programs, colour where a person sees it. */
import { stripVTControlCharacters, styleText } from "node:util";
import type { Io, TextOutput } from "./io.ts";

export type Style = Parameters<typeof styleText>[0];

/** Colours text, or leaves it as it is. */
export type Paint = (style: Style, text: string) => string;

export const plain: Paint = (_style, text) => text;

const coloured: Paint = (style, text) => styleText(style, text, { validateStream: false });

/** Colour only on a terminal that can, and never against the wish of NO_COLOR (no-color.org), which `--no-color` sets. */
export function painter(output: TextOutput, io: Io): Paint {
  const { NO_COLOR, FORCE_COLOR, TERM } = io.env;
  if (NO_COLOR !== undefined && NO_COLOR !== "") return plain;
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== "" && FORCE_COLOR !== "0") return coloured;
  return output.isTTY === true && TERM !== "dumb" ? coloured : plain;
}

export interface Column {
  readonly title: string;
  readonly align: "left" | "right";
}

/** Spaces between columns, as linkerd prints them. */
const GAP = "   ";

/** A table with a line of titles. Cells may be coloured; every line ends with a newline. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const lines = [columns.map((column) => column.title), ...rows.map((row) => row.map(harmless))];
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => visibleLength(line[index] ?? ""))));
  return lines
    .map((line) => {
      const cells = columns.map((column, index) => pad(line[index] ?? "", widths[index] ?? 0, column.align));
      return `${cells.join(GAP).trimEnd()}\n`;
    })
    .join("");
}

/** A name is what somebody says it is: of what a terminal obeys only colours are left. */
function harmless(cell: string): string {
  // oxlint-disable-next-line no-control-regex
  const parts = cell.split(/(\x1b\[[0-9;]*m)/);
  return parts.map((part, index) => (index % 2 === 1 ? part : printable(part))).join("");
}

function pad(text: string, width: number, align: "left" | "right"): string {
  const space = " ".repeat(Math.max(0, width - visibleLength(text)));
  return align === "left" ? text + space : space + text;
}

function visibleLength(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** Somebody else's text for a terminal, which it must not command, and in one line, so that it cannot pass for another one. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, (one) => {
    return `\\u${(one.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
  });
}

/** One JSON document, indented, with a newline at its end. */
export function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** 0.9987 → "99.87%"; nothing measured → "-". */
export function formatRatio(ratio: number | null): string {
  return ratio === null ? "-" : `${(ratio * 100).toFixed(2)}%`;
}

export function formatRate(perSecond: number): string {
  return `${perSecond.toFixed(1)}rps`;
}

/** Whole milliseconds: the histogram's buckets are no finer. */
export function formatMilliseconds(milliseconds: number | null): string {
  return milliseconds === null ? "-" : `${Math.round(milliseconds)}ms`;
}

export function formatByteRate(bytesPerSecond: number): string {
  return `${bytesPerSecond.toFixed(1)}B/s`;
}
