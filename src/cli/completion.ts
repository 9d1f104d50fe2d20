/** Completion scripts, made from the command table: what help shows is what the shell offers. */
import { COMMON_FLAGS } from "./arguments.ts";
import type { Command, Flag } from "./command.ts";

export interface Completable {
  readonly summary: string;
  readonly command: Command;
}

function flagsOf(command: Command): [string, Flag][] {
  return Object.entries({ ...command.flags, ...COMMON_FLAGS });
}

/** The words that select a flag: `--output`, `-o`. */
function spellings(name: string, flag: Flag): string[] {
  return flag.short === undefined ? [`--${name}`] : [`--${name}`, `-${flag.short}`];
}

/** Where a file may stand, what begins with a dash is a flag. */
const FILES = `
      if [[ $current != -* ]]; then COMPREPLY=($(compgen -f -- "$current")); return; fi`;

export function bashCompletion(commands: readonly Completable[]): string {
  const names = commands.map(({ command }) => command.name).join(" ");
  const cases = commands.map(({ command }) => {
    const words = flagsOf(command).flatMap(([name, flag]) => spellings(name, flag));
    const values = flagsOf(command).flatMap(([name, flag]) => bashValueCase(spellings(name, flag), flag));
    const choices = command.positionals?.choices?.join(" ") ?? "";
    const files = command.positionals?.file === true ? FILES : "";
    return `    ${command.name})
      case $previous in
${[...values, ""].join("\n")}      esac
      words="${[...words, choices].join(" ").trim()}"${files} ;;`;
  });
  return `# bash completion for heddle. Use it: source <(heddle completion bash)
_heddle() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} words=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${names} help" -- "$current"))
    return
  fi
  case \${COMP_WORDS[1]} in
    help) words="${names}" ;;
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _heddle heddle
`;
}

function bashValueCase(words: readonly string[], flag: Flag): string[] {
  if (flag.type === "boolean") return [];
  const pattern = words.join("|");
  if (flag.choices !== undefined) {
    const choices = flag.choices.join(" ");
    return [`        ${pattern}) COMPREPLY=($(compgen -W "${choices}" -- "$current")); return ;;`];
  }
  if (flag.file === true) return [`        ${pattern}) COMPREPLY=($(compgen -f -- "$current")); return ;;`];
  return [`        ${pattern}) return ;;`];
}

export function zshCompletion(commands: readonly Completable[]): string {
  const names = commands.map(({ summary, command }) => `    ${zshQuote(`${command.name}:${summary}`)}`);
  const cases = commands.map(({ command }) => {
    const specs = flagsOf(command).flatMap(([name, flag]) =>
      spellings(name, flag).map((word) => `        ${zshQuote(zshFlag(word, flag))}`),
    );
    const choices = command.positionals?.choices;
    if (choices !== undefined) specs.push(`        ${zshQuote(`1:argument:(${choices.join(" ")})`)}`);
    if (command.positionals?.file === true) specs.push(`        ${zshQuote("*:file:_files")}`);
    return `      ${command.name}) _arguments \\\n${specs.join(" \\\n")} ;;`;
  });
  return `#compdef heddle
# zsh completion for heddle. Use it: heddle completion zsh > "\${fpath[1]}/_heddle"
_heddle() {
  local -a commands
  commands=(
${names.join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join("\n")}
  esac
}
if [ "$funcstack[1]" = "_heddle" ]; then
  _heddle "$@"
else
  compdef _heddle heddle
fi
`;
}

function zshFlag(word: string, flag: Flag): string {
  const repeated = flag.multiple === true ? "*" : "";
  const help = flag.help.replaceAll(/[[\]:\\]/g, String.raw`\$&`);
  if (flag.type === "boolean") return `${repeated}${word}[${help}]`;
  const values = flag.choices === undefined ? (flag.file === true ? "_files" : " ") : `(${flag.choices.join(" ")})`;
  return `${repeated}${word}[${help}]:value:${values}`;
}

function zshQuote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

export function fishCompletion(commands: readonly Completable[]): string {
  const lines = [
    "# fish completion for heddle. Use it: heddle completion fish > ~/.config/fish/completions/heddle.fish",
  ];
  lines.push("complete -c heddle -f");
  for (const { summary, command } of commands) {
    lines.push(`complete -c heddle -n __fish_use_subcommand -a ${command.name} -d ${fishQuote(summary)}`);
  }
  for (const { command } of commands) {
    const when = `complete -c heddle -n '__fish_seen_subcommand_from ${command.name}'`;
    for (const [name, flag] of flagsOf(command)) {
      const short = flag.short === undefined ? "" : ` -s ${flag.short}`;
      lines.push(`${when} -l ${name}${short}${fishValue(flag)} -d ${fishQuote(flag.help)}`);
    }
    const choices = command.positionals?.choices;
    if (choices !== undefined) lines.push(`${when} -a ${fishQuote(choices.join(" "))}`);
    if (command.positionals?.file === true) lines.push(`${when} -F`);
  }
  return `${lines.join("\n")}\n`;
}

function fishValue(flag: Flag): string {
  if (flag.type === "boolean") return "";
  if (flag.choices !== undefined) return ` -x -a ${fishQuote(flag.choices.join(" "))}`;
  return flag.file === true ? " -r -F" : " -x";
}

function fishQuote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", String.raw`\'`)}'`;
}
