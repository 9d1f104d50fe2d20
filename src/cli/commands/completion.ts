import { bashCompletion, fishCompletion, zshCompletion, type Completable } from "../completion.ts";
import { defineCommand } from "../command.ts";
import { UsageError } from "../errors.ts";

const SCRIPTS: Readonly<Record<string, (commands: readonly Completable[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

export const completion = defineCommand({
  name: "completion",
  description: "Prints a script that teaches your shell the commands and flags of heddle.",
  positionals: { form: "bash|zsh|fish", max: 1, choices: ["bash", "zsh", "fish"] },
  flags: {},
  examples: [
    { does: "bash: for this shell", line: "source <(heddle completion bash)" },
    { does: "zsh: for every new shell", line: 'heddle completion zsh > "${fpath[1]}/_heddle"' },
    { does: "fish: for every new shell", line: "heddle completion fish > ~/.config/fish/completions/heddle.fish" },
  ],
  async run({ positionals, io, commands }) {
    const script = SCRIPTS[positionals[0] ?? ""];
    if (script === undefined)
      throw new UsageError("completion: which shell?", "Usage: heddle completion bash|zsh|fish");
    const loaded = await Promise.all(
      commands.map(async (entry) => ({ summary: entry.summary, command: await entry.load() })),
    );
    io.stdout.write(script(loaded));
    return 0;
  },
});
