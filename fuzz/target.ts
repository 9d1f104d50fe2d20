/** One parser under attack, with what must hold for every input. */
export interface Target {
  /** On the command line, and of the folder of its corpus. */
  readonly name: string;
  /** What the mutator puts in besides noise: one character per byte. */
  readonly tokens: readonly string[];
  /** Bytes of an input, at most. */
  readonly bytesMax: number;
  /**
   * Tries an input.
   *
   * @returns what kind of outcome this was, coarsely: an input with a kind of its own is kept to go on from
   * @throws Error when the input shows a defect
   */
  run(input: Buffer): string | Promise<string>;
}
