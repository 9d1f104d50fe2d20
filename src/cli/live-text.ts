/** Text that changes in place on a terminal; elsewhere each version follows the one before. No alternate screen, no bar. */
import type { TextOutput } from "./io.ts";

const ERASE_TO_END = "\x1b[0J";

export class LiveText {
  readonly #output: TextOutput;
  #lines = 0;

  constructor(output: TextOutput) {
    this.#output = output;
  }

  /** @param text whole lines, each with its newline; lines wider than the terminal are cut there */
  show(text: string): void {
    if (this.#output.isTTY !== true) {
      this.#output.write(text);
      return;
    }
    this.clear();
    // Some terminals say 0.
    const width = this.#output.columns || 80;
    const lines = text.split("\n").slice(0, -1);
    this.#output.write(lines.map((line) => `${cut(line, width)}\n`).join(""));
    this.#lines = lines.length;
  }

  /** Takes the text away again, on a terminal. */
  clear(): void {
    if (this.#lines > 0) this.#output.write(`\x1b[${this.#lines}A\r${ERASE_TO_END}`);
    this.#lines = 0;
  }
}

/** A wrapped line would take two, and the next redraw would miss one. Colour codes are not counted. */
function cut(line: string, width: number): string {
  let visible = 0;
  let kept = "";
  // oxlint-disable-next-line no-control-regex
  for (const part of line.split(/(\x1b\[[0-9;]*m)/)) {
    if (part.startsWith("\x1b[")) kept += part;
    else {
      kept += part.slice(0, width - visible);
      visible = Math.min(width, visible + part.length);
    }
  }
  return kept;
}
