import { readFileSync } from "node:fs";
import { join } from "node:path";
import { defineCommand } from "../command.ts";
import { CONTROL_FLAG, ControlClient } from "../control-client.ts";
import { json } from "../output.ts";

export const version = defineCommand({
  name: "version",
  description: `Prints the version of this program and of the control plane ("unavailable" if none answers).`,
  flags: {
    short: { type: "boolean", help: "Only the numbers, one per line" },
    output: { type: "string", short: "o", choices: ["text", "json"], default: "text", help: "Form of the output" },
    ...CONTROL_FLAG,
  },
  examples: [
    { does: "Both versions", line: "heddle version" },
    { does: "For a program", line: "heddle version -o json" },
  ],
  async run({ flags, io }) {
    const client = ownVersion();
    const control = ControlClient.from(flags.control, io);
    const server = (await control.about().catch(() => undefined))?.version;
    if (flags.output === "json") io.stdout.write(json({ client, server: server ?? null }));
    else if (flags.short) io.stdout.write(`${client}\n${server ?? "unavailable"}\n`);
    else io.stdout.write(`Client version: ${client}\nServer version: ${server ?? "unavailable"}\n`);
    return 0;
  },
});

/** The version in package.json. */
export function ownVersion(): string {
  const file = join(import.meta.dirname, "..", "..", "..", "package.json");
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
