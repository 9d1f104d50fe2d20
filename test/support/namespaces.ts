/** Network namespaces for tests: what runs in them cannot touch the machine's own network. */
import type { TestContext } from "node:test";

import { Namespace } from "../../src/cli/up/transparent/namespace.ts";
import { needs } from "./peers.ts";

/** Options for a test that makes namespaces: it is skipped for users who may not, and where a program is missing. */
export function needsRoot(...programs: readonly string[]): { skip: string | false } {
  if (process.getuid?.() !== 0) return { skip: "takes root" };
  return needs("ip", "nsenter", "unshare", ...programs);
}

/** A namespace of its own for one test, with a loopback interface. */
export async function namespace(context: TestContext): Promise<Namespace> {
  const made = await Namespace.create();
  context.after(() => made.close());
  await made.shell("ip link set lo up");
  return made;
}

/** @throws Error with what it said, if it does not end with 0 */
export async function outputIn(place: Namespace, command: readonly string[], input = ""): Promise<string> {
  const { code, stdout, stderr } = await place.run(command, input);
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}: ${stderr}${stdout}`);
  return stdout;
}
