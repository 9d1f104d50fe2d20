/** An outside world for a command in a test: what it writes is kept. */
import { runCommandLine } from "../main.ts";
import type { Io, TextOutput } from "../io.ts";

export class CapturedOutput implements TextOutput {
  text = "";
  readonly isTTY: boolean;
  readonly columns = 80;
  writableLength = 0;

  constructor(isTTY = false) {
    this.isTTY = isTTY;
  }

  write(text: string): void {
    this.text += text;
  }
}

export interface CapturedIo extends Io {
  readonly stdout: CapturedOutput;
  readonly stderr: CapturedOutput;
}

export function capturedIo(env: Readonly<Record<string, string>> = {}, isTTY = false): CapturedIo {
  const { HEDDLE_API_TOKEN: apiToken, ...others } = env;
  const outputs = { stdout: new CapturedOutput(isTTY), stderr: new CapturedOutput(isTTY) };
  return { ...outputs, env: others, apiToken, directory: "/work/shop" };
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line in this process. */
export async function runCaptured(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  const io = capturedIo(env);
  const code = await runCommandLine(words, io);
  return { code, stdout: io.stdout.text, stderr: io.stderr.text };
}

/** A result as one text, for a golden file. */
export function transcript(words: readonly string[], result: CommandResult): string {
  return `$ heddle ${words.join(" ")}\n--- exit code\n${result.code}\n--- stdout\n${result.stdout}--- stderr\n${result.stderr}`;
}
