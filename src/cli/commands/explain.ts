import { failures, type Failure } from "../../proxy/failure.ts";
import { defineCommand } from "../command.ts";
import { json } from "../output.ts";

const ALL: readonly Failure[] = Object.values(failures);

export const explain = defineCommand({
  name: "explain",
  description: `Says what an error code of Heddle means, why it happens and what to look at. Every answer that a sidecar makes itself
carries its code in the header heddle-error, and in heddle-hop which sidecar made it. Without a code it lists all.`,
  positionals: { form: "[CODE]", max: 1, choices: ALL.map(({ code }) => code) },
  flags: {
    output: { type: "string", short: "o", choices: ["text", "json"], default: "text", help: "Form of the output" },
  },
  examples: [
    { does: "What a code means", line: "heddle explain HED1005" },
    { does: "All codes", line: "heddle explain" },
  ],
  async run({ flags, positionals, io }) {
    const [asked] = positionals;
    if (asked === undefined) {
      const lines = ALL.map(({ code, status, summary }) => `${code}  ${status}  ${summary}`);
      io.stdout.write(flags.output === "json" ? json(ALL) : `${lines.join("\n")}\n`);
      return 0;
    }
    // The positional's choices leave nothing else.
    const failure = ALL.find(({ code }) => code === asked) as Failure;
    io.stdout.write(flags.output === "json" ? json(failure) : text(failure));
    return 0;
  },
});

function text({ code, kind, status, grpcStatus, summary, advice }: Failure): string {
  return `${code} ${kind} (HTTP ${status}, gRPC ${grpcStatus})\n\n${summary}\n${advice}\n`;
}
