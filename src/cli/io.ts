/** What a command sees of the world outside: injected, so that every command runs in a test as it runs in a terminal. */

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
  /** The folder that relative paths start from; absolute. */
  readonly directory: string;
}

/** The world of this process. */
export function processIo(): Io {
  return { stdout: process.stdout, stderr: process.stderr, env: process.env, directory: process.cwd() };
}
