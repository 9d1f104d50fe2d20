/** What a command is. A command is data plus one function, so that help, completion and checks are made from the same table. */
import type { Io } from "./io.ts";

export interface Flag {
  readonly type: "string" | "boolean";
  /** One letter: `-o` for `--output`. */
  readonly short?: string;
  /** May be given more than once. */
  readonly multiple?: boolean;
  readonly default?: string;
  /** The form of the value as help shows it: "HOST:PORT". */
  readonly value?: string;
  /** The only values that it may have. */
  readonly choices?: readonly string[];
  /** The value is a file: completion offers file names. */
  readonly file?: boolean;
  readonly help: string;
}

export type Flags = Readonly<Record<string, Flag>>;

type FlagValue<F extends Flag> = F extends { type: "boolean" }
  ? boolean
  : F extends { multiple: true }
    ? readonly string[]
    : F extends { default: string }
      ? string
      : string | undefined;

/** The values of flags by name; a flag that was not given has its default. */
export type FlagValues<F extends Flags> = { readonly [Name in keyof F]: FlagValue<F[Name]> };

export interface Invocation<F extends Flags> {
  readonly flags: FlagValues<F>;
  readonly positionals: readonly string[];
  /** What came after `--`; undefined if there was no `--`. */
  readonly rest: readonly string[] | undefined;
  readonly io: Io;
  /** All commands, for the one that is about commands. */
  readonly commands: readonly CommandEntry[];
}

/** A command in the table: name and summary at hand, the code loaded only when it is run. */
export interface CommandEntry {
  readonly name: string;
  /** One line, for the list of commands. */
  readonly summary: string;
  load(): Promise<Command>;
}

export interface Positionals {
  /** As help shows it: "[SERVICE…]". */
  readonly form: string;
  readonly max: number;
  /** What the first one may be. */
  readonly choices?: readonly string[];
  /** They are files: completion offers file names. */
  readonly file?: boolean;
}

export interface CommandDefinition<F extends Flags> {
  readonly name: string;
  /** One paragraph or more, without a trailing newline. */
  readonly description: string;
  /** Absent: the command takes no positional arguments. */
  readonly positionals?: Positionals;
  /** The form of what comes after `--`, if anything may. */
  readonly rest?: string;
  readonly flags: F;
  readonly examples: readonly { readonly line: string; readonly does: string }[];
  /** @returns the process's exit code */
  run(invocation: Invocation<F>): Promise<number>;
}

/** A command whose flags' types are forgotten: what the table holds. */
export type Command = Omit<CommandDefinition<Flags>, "run"> & {
  run(invocation: Invocation<Flags>): Promise<number>;
};

/** Keeps the types of the flags for `run`, and forgets them for the table. */
export function defineCommand<const F extends Flags>(definition: CommandDefinition<F>): Command {
  return definition;
}
