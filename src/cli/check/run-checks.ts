/** Asks all checks, one after the other, and those that can still come true again and again. */
import type { Clock } from "../../net/clock.ts";
import { Failure } from "../errors.ts";
import { type Category, type Check, type CheckResult, hintOf } from "./check.ts";

/** Milliseconds between two attempts. */
export const RETRY_EVERY_MS = 500;

export interface RunOptions<Subject> {
  /** What the checks look at, as it is now. */
  readonly look: () => Subject;
  readonly clock: Clock;
  /** Milliseconds from now in which what fails may still come true. */
  readonly waitMs: number;
  readonly onResult: (result: CheckResult) => void;
  /** A check is about to be asked again. */
  readonly onRetry: (description: string, problems: readonly string[]) => void;
}

/** @returns whether no check failed; warnings are no failures */
export async function runChecks<Subject>(
  categories: readonly Category<Subject>[],
  options: RunOptions<Subject>,
): Promise<boolean> {
  const { look, clock, waitMs, onResult, onRetry } = options;
  const deadline = clock.now() + waitMs;
  let subject = look();
  let success = true;
  for (const { name: category, checks } of categories) {
    for (const check of checks) {
      let problems = await ask(check, subject);
      while (problems.length > 0 && check.retry === true && clock.now() < deadline) {
        onRetry(check.description, problems);
        await pause(clock, Math.min(RETRY_EVERY_MS, deadline - clock.now()));
        subject = look();
        problems = await ask(check, subject);
      }
      const { description, severity } = check;
      const result = problems.length === 0 ? "success" : severity;
      onResult({ category, description, result, problems, hint: hintOf(check) });
      if (result === "error") success = false;
      if (result === "error" && check.fatal === true) return success;
    }
  }
  return success;
}

async function ask<Subject>(check: Check<Subject>, subject: Subject): Promise<readonly string[]> {
  try {
    return await check.problems(subject);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return [error.message, ...error.hint.split("\n").filter((line) => line !== "")];
  }
}

/** Our clock does not keep the process alive by itself. */
async function pause(clock: Clock, ms: number): Promise<void> {
  const alive = setInterval(() => {}, 60_000);
  await new Promise<void>((resolve) => void clock.after(ms, resolve));
  clearInterval(alive);
}
