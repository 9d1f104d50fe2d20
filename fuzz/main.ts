/** `npm run fuzz`: tries every parser on its corpus and on mutations of it. Exits with 1 when one has shown a defect. */
import { parseArgs } from "node:util";

import { saveFailure } from "./corpus.ts";
import { targets } from "./targets.ts";
import { fuzzWatched } from "./watched.ts";

const SECONDS = 30;

const HELP = `Fuzzes every parser with mutations of its corpus in fuzz/corpus/.

Usage:
  npm run fuzz -- [flags]

Flags:
  --seconds N     how long each target is tried (default ${SECONDS})
  --only TARGET   only this target; may be given again
  --seed S        a whole number from which all chances follow (default: a new one)
  --help          this text

Targets:
${targets.map(({ name }) => `  ${name}`).join("\n")}

An input that shows a defect is made smaller and saved in the corpus: every later run, and npm test, tries it again.

Examples:
  npm run fuzz -- --seconds 600 --only http1-llhttp
  npm run fuzz -- --seed 42
`;

interface Flags {
  readonly seconds: number;
  readonly only: readonly string[];
  readonly seed: number;
}

/** @returns the flags, "help", or what is wrong with them */
function readFlags(args: readonly string[]): Flags | "help" | Error {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seconds: { type: "string", default: String(SECONDS) },
        only: { type: "string", multiple: true, default: [] },
        seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) return "help";
    const unknown = values.only.find((name) => targets.every((target) => target.name !== name));
    if (unknown !== undefined) return new Error(`there is no target "${unknown}"; --help lists them`);
    return {
      seconds: wholeNumber("--seconds", values.seconds),
      only: values.only,
      seed: wholeNumber("--seed", values.seed),
    };
  } catch (error) {
    return error as Error;
  }
}

function wholeNumber(flag: string, text: string): number {
  if (!/^[0-9]{1,10}$/.test(text)) throw new Error(`${flag} takes a whole number, not "${text}"`);
  return Number(text);
}

/** Progress in place on a terminal; elsewhere only what is final, which has a line end. */
function show(text: string, end: string): void {
  if (process.stdout.isTTY || end === "\n")
    process.stdout.write(`${process.stdout.isTTY ? "\r\x1b[K" : ""}${text}${end}`);
}

/** @returns true if the target has shown a defect */
async function attack(name: string, { seed, seconds }: Flags): Promise<boolean> {
  const label = name.padEnd(14);
  const { runs, kinds, failure } = await fuzzWatched(
    { target: name, seed, milliseconds: 1_000 * seconds },
    (done, met) => show(`${label} ${done} inputs, ${met} kinds of outcome`, ""),
  );
  show(`${label} ${runs} inputs, ${kinds} kinds of outcome${failure === undefined ? "" : ", a DEFECT:"}`, "\n");
  if (failure === undefined) return false;
  const input = Buffer.from(failure.input);
  console.log(`  saved as ${saveFailure(name, input)} (seed ${seed})`);
  console.log(`  ${JSON.stringify(input.toString("latin1")).slice(0, 2_000)}`);
  console.log(failure.error.replace(/^/gm, "  "));
  return true;
}

const flags = readFlags(process.argv.slice(2));
if (flags === "help") {
  process.stdout.write(HELP);
} else if (flags instanceof Error) {
  process.stderr.write(`${flags.message}\n`);
  process.exitCode = 2;
} else {
  console.log(`seed ${flags.seed}, ${flags.seconds} s for each target`);
  for (const { name } of targets) {
    if (flags.only.length > 0 && !flags.only.includes(name)) continue;
    if (await attack(name, flags)) process.exitCode = 1;
  }
}
