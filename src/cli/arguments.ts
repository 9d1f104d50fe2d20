/** Turns the words of a command line into the typed values of a command, or into an error that says what was wrong. */
import { parseArgs } from "node:util";
import type { Command, Flag, Flags } from "./command.ts";
import { UsageError } from "./errors.ts";
import { suggest } from "./suggest.ts";

/** Flags that every command has. */
export const COMMON_FLAGS: Flags = {
  help: { type: "boolean", short: "h", help: "Show this help" },
  "no-color": { type: "boolean", help: "Never colour the output (so does the variable NO_COLOR)" },
};

export interface ParsedArguments {
  readonly flags: Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
  readonly positionals: readonly string[];
  readonly rest: readonly string[] | undefined;
}

/** @throws UsageError */
export function parseArguments(command: Command, words: readonly string[]): ParsedArguments {
  const flags: Flags = { ...command.flags, ...COMMON_FLAGS };
  const terminator = words.indexOf("--");
  const own = terminator === -1 ? words : words.slice(0, terminator);
  const rest = terminator === -1 ? undefined : words.slice(terminator + 1);
  const { tokens } = parseArgs({
    args: [...own],
    // Not strict: the messages about what is wrong are made here.
    strict: false,
    tokens: true,
    allowPositionals: true,
    options: Object.fromEntries(Object.entries(flags).map(([name, flag]) => [name, parseArgsOption(flag)])),
  });
  const values: Record<string, string | boolean | string[] | undefined> = {};
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const flag = flags[token.name];
    if (flag === undefined) throw unknownFlag(command, flags, token.rawName);
    const value = flag.type === "boolean" ? booleanValue(token) : stringValue(flag, token);
    if (flag.multiple === true) values[token.name] = [...((values[token.name] as string[]) ?? []), value as string];
    else values[token.name] = value;
  }
  for (const [name, flag] of Object.entries(flags)) values[name] ??= absentValue(flag);
  if (values["help"] !== true) checkPositionals(command, positionals, rest);
  return { flags: values, positionals, rest };
}

interface OptionToken {
  readonly rawName: string;
  readonly value?: string | undefined;
  readonly inlineValue?: boolean | undefined;
}

function parseArgsOption(flag: Flag): { type: "string" | "boolean"; short?: string; multiple: boolean } {
  return {
    type: flag.type,
    multiple: flag.multiple === true,
    ...(flag.short === undefined ? {} : { short: flag.short }),
  };
}

function absentValue(flag: Flag): string | boolean | string[] | undefined {
  if (flag.type === "boolean") return false;
  return flag.multiple === true ? [] : flag.default;
}

function booleanValue(token: OptionToken): boolean {
  if (token.value !== undefined)
    throw new UsageError(`${token.rawName} takes no value, but "${token.value}" was given`);
  return true;
}

function stringValue(flag: Flag, token: OptionToken): string {
  const form = flag.choices?.join(", ") ?? flag.value ?? "VALUE";
  const { value } = token;
  const isNextFlag = token.inlineValue === false && value !== undefined && /^-./.test(value);
  if (value === undefined || isNextFlag) throw new UsageError(`${token.rawName} needs a value: ${form}`);
  if (flag.choices !== undefined && !flag.choices.includes(value)) {
    throw new UsageError(`${token.rawName}: "${value}" is none of ${form}`, didYouMean(suggest(value, flag.choices)));
  }
  return value;
}

function unknownFlag(command: Command, flags: Flags, rawName: string): UsageError {
  const known = Object.keys(flags).map((name) => `--${name}`);
  const near = rawName.startsWith("--") ? suggest(rawName, known) : undefined;
  return new UsageError(
    `${command.name}: unknown flag ${rawName}`,
    didYouMean(near) || `All flags: heddle ${command.name} --help`,
  );
}

function checkPositionals(command: Command, given: readonly string[], rest: readonly string[] | undefined): void {
  const { positionals } = command;
  const help = `Usage: heddle ${usage(command)}`;
  if (rest !== undefined && command.rest === undefined) {
    throw new UsageError(`${command.name} takes nothing after --`, help);
  }
  const surplus = given[positionals?.max ?? 0];
  if (surplus !== undefined) {
    const separate = command.rest === undefined ? "" : "Put -- before the program.\n";
    throw new UsageError(`${command.name}: unexpected argument "${surplus}"`, separate + help);
  }
  const { choices } = positionals ?? {};
  const wrong = choices === undefined ? undefined : given.slice(0, 1).find((value) => !choices.includes(value));
  if (choices === undefined || wrong === undefined) return;
  const near = didYouMean(suggest(wrong, choices));
  throw new UsageError(`${command.name}: "${wrong}" is none of ${choices.join(", ")}`, near);
}

/** `Did you mean "x"?`, or "". */
export function didYouMean(word: string | undefined): string {
  return word === undefined ? "" : `Did you mean "${word}"?`;
}

/** `stat [services|workloads] [flags]` */
export function usage(command: Command): string {
  const parts = [command.name];
  if (command.positionals !== undefined) parts.push(command.positionals.form);
  if (Object.keys(command.flags).length > 0) parts.push("[flags]");
  if (command.rest !== undefined) parts.push("--", command.rest);
  return parts.join(" ");
}
