/** What a command sees of the world outside: injected, so that every command runs in a test as it runs in a terminal. */

/** Where a control plane, and the commands that change a mesh, find an API token that somebody gave. */
export const API_TOKEN_VARIABLE = "HEDDLE_API_TOKEN";

/** A stream to write text to. `process.stdout` and `process.stderr` are such. */
export interface TextOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  /** Width of the terminal in characters. */
  readonly columns?: number | undefined;
  /** Bytes that wait to be written. */
  readonly writableLength?: number;
}

export interface Io {
  /** Data: what the command was asked for. */
  readonly stdout: TextOutput;
  /** Talk: progress, greetings, warnings and errors. */
  readonly stderr: TextOutput;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What {@link API_TOKEN_VARIABLE} had, which is not in `env`: no program that a command starts inherits it. */
  readonly apiToken: string | undefined;
  /** The folder that relative paths start from; absolute. */
  readonly directory: string;
}

/** The world of this process. */
export function processIo(): Io {
  const apiToken = process.env[API_TOKEN_VARIABLE];
  delete process.env[API_TOKEN_VARIABLE];
  return { stdout: process.stdout, stderr: process.stderr, env: process.env, apiToken, directory: process.cwd() };
}
