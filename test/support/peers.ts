/** The real programs that whole-mesh tests talk to. */
import { execFileSync } from "node:child_process";

/**
 * Options for a test that needs programs which may not be installed: it is skipped with the reason, or, with
 * HEDDLE_REQUIRE_PEERS=1 as in continuous integration, fails.
 */
export function needs(...programs: readonly string[]): { skip: string | false } {
  const missing = programs.filter((program) => !isInstalled(program));
  if (missing.length === 0) return { skip: false };
  const reason = `not installed: ${missing.join(", ")}`;
  if (process.env.HEDDLE_REQUIRE_PEERS === "1") throw new Error(reason);
  return { skip: reason };
}

function isInstalled(program: string): boolean {
  try {
    execFileSync("/bin/sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
