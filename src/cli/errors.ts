/** Errors that a person can do something about. Whatever else is thrown is a defect and shows its stack. */

/** The command was called wrongly: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly hint: string;

  /** @param hint what to do about it, or "" */
  constructor(message: string, hint = "") {
    super(message);
    this.hint = hint;
  }
}

/** The command was called rightly and could not do its work: exit code 1. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly hint: string;

  /** @param hint what to do about it, or "" */
  constructor(message: string, hint = "") {
    super(message);
    this.hint = hint;
  }
}

export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;
