/** The entry of the command line: finds the command, parses its arguments, runs it, and says in words what went wrong. */
import { didYouMean, parseArguments } from "./arguments.ts";
import type { Command, Flags, Invocation } from "./command.ts";
import { EXIT_FAILURE, EXIT_USAGE, Failure, UsageError } from "./errors.ts";
import { commandHelp, overview } from "./help.ts";
import { processIo, type Io } from "./io.ts";
import { endWithParent } from "./lifeline.ts";
import { suggest } from "./suggest.ts";
import { COMMANDS } from "./table.ts";

/** Runs this process's command line; what bin/heddle calls. */
export async function runProcess(): Promise<void> {
  endWithParent();
  // A reader that has seen enough (`heddle stat -w | head`) is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    process.stderr.write(`heddle: cannot write the output: ${error.message}\n`);
    process.exit(EXIT_FAILURE);
  });
  process.exitCode = await runCommandLine(process.argv.slice(2), processIo());
}

/**
 * @param words the command line without "heddle"
 * @returns the exit code: 0, 1 for a failure, 2 for a wrong command line, or what the command says
 */
export async function runCommandLine(words: readonly string[], io: Io): Promise<number> {
  try {
    return await dispatch(words, io);
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof Failure)) throw error;
    io.stderr.write(`heddle: ${error.message}\n`);
    if (error.hint !== "") io.stderr.write(`${error.hint.replaceAll(/^/gm, "  ")}\n`);
    return error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE;
  }
}

async function dispatch(words: readonly string[], io: Io): Promise<number> {
  const [first, ...others] = words;
  if (first === undefined) {
    io.stderr.write(overview(COMMANDS));
    return EXIT_USAGE;
  }
  if (first === "help" && others[0] !== undefined) {
    io.stdout.write(commandHelp(await find(others[0])));
    return 0;
  }
  if (first === "help" || first === "--help" || first === "-h") {
    io.stdout.write(overview(COMMANDS));
    return 0;
  }
  const command = await find(first === "--version" || first === "-V" ? "version" : first);
  const parsed = parseArguments(command, others);
  if (parsed.flags["help"] === true) {
    io.stdout.write(commandHelp(command));
    return 0;
  }
  const env = parsed.flags["no-color"] === true ? { ...io.env, NO_COLOR: "1" } : io.env;
  return command.run({ ...parsed, io: { ...io, env }, commands: COMMANDS } as Invocation<Flags>);
}

async function find(name: string): Promise<Command> {
  const entry = COMMANDS.find((candidate) => candidate.name === name);
  if (entry !== undefined) return entry.load();
  const what = name.startsWith("-") ? `unknown flag ${name} before the command` : `unknown command "${name}"`;
  const near = didYouMean(
    suggest(
      name,
      COMMANDS.map((candidate) => candidate.name),
    ),
  );
  throw new UsageError(what, [near, "All commands: heddle help"].filter((line) => line !== "").join("\n"));
}
