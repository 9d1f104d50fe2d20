/** The help texts, made from the command table. */
import type { Command, CommandEntry, Flag } from "./command.ts";
import { COMMON_FLAGS, usage } from "./arguments.ts";

export function commandHelp(command: Command): string {
  const lines = [`Usage: heddle ${usage(command)}`, "", command.description];
  const flags = { ...command.flags, ...COMMON_FLAGS };
  lines.push(
    "",
    "Flags:",
    ...columns(Object.entries(flags).map(([name, flag]) => [flagForm(name, flag), flagHelp(flag)])),
  );
  lines.push("", "Examples:");
  for (const { line, does } of command.examples) lines.push(`  # ${does}`, `  ${line}`);
  return `${lines.join("\n")}\n`;
}

export function overview(commands: readonly CommandEntry[]): string {
  const lines = [
    "Heddle: a service mesh that runs where you are.",
    "",
    "Usage: heddle COMMAND [flags]",
    "",
    "Commands:",
    ...columns(commands.map(({ name, summary }) => [name, summary])),
    "",
    "Start with `heddle demo`. `heddle COMMAND --help` shows the flags and examples of a command.",
  ];
  return `${lines.join("\n")}\n`;
}

function flagForm(name: string, flag: Flag): string {
  const short = flag.short === undefined ? "    " : `-${flag.short}, `;
  const value = flag.type === "boolean" ? "" : ` ${flag.choices?.join("|") ?? flag.value ?? "VALUE"}`;
  return `${short}--${name}${value}`;
}

function flagHelp(flag: Flag): string {
  const notes = [];
  if (flag.multiple === true) notes.push("may be repeated");
  if (flag.default !== undefined) notes.push(`default ${flag.default}`);
  return notes.length === 0 ? flag.help : `${flag.help} (${notes.join("; ")})`;
}

/** A left column wider than this stands on a line of its own. */
const LEFT_COLUMN_MAX = 34;

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const fitting = rows.map(([left]) => left.length).filter((length) => length <= LEFT_COLUMN_MAX);
  const width = Math.max(0, ...fitting);
  return rows.flatMap(([left, right]) =>
    left.length <= width ? [`  ${left.padEnd(width)}  ${right}`] : [`  ${left}`, `  ${" ".repeat(width)}  ${right}`],
  );
}
