/** SIGTERM and SIGINT for long-running commands: the first asks to end in good order, the second ends at once. */

/**
 * A repetition within this time is the same wish: Ctrl-C reaches a process both from the terminal and from a parent that
 * passes it on.
 */
export const SAME_SIGNAL_MS = 150;

export interface SignalOptions {
  /** The first signal. */
  first(signal: NodeJS.Signals): void;
  /** Another one, later than {@link SAME_SIGNAL_MS} after the one before. */
  again(signal: NodeJS.Signals): void;
}

/** Calls back from now on. @returns takes the handlers away again */
export function onEndSignals(options: SignalOptions): () => void {
  let last: number | undefined;
  const handle = (signal: NodeJS.Signals): void => {
    const now = performance.now();
    const before = last;
    last = now;
    if (before === undefined) options.first(signal);
    else if (now - before > SAME_SIGNAL_MS) options.again(signal);
  };
  const signals: NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, handle);
  return () => {
    for (const signal of signals) process.off(signal, handle);
  };
}

const SIGNAL_NUMBERS: Partial<Record<NodeJS.Signals, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

/** The exit code that shells give to a process that a signal ended. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return 128 + (SIGNAL_NUMBERS[signal] ?? 0);
}
