/** The flags of `npm run bench`. */
import { parseArgs } from "node:util";

/** In the order in which they are run. `soak` only when it is named. */
export const WORKS = [
  "http1",
  "http2",
  "grpc",
  "stream",
  "websocket",
  "tcp",
  "bulk",
  "bodies",
  "connections",
  "churn",
  "mtls",
  "latency",
  "counts",
  "idle",
  "held",
  "soak",
] as const;
export type Work = (typeof WORKS)[number];

const BY_DEFAULT = WORKS.filter((name) => name !== "soak");

export interface Options {
  /** Interleaved rounds of what a bar hangs on; in each, every subject has its turn. */
  readonly blocks: number;
  /** Seconds of one such turn. */
  readonly seconds: number;
  /** Minutes of `soak`. */
  readonly minutes: number;
  /** In their order. */
  readonly works: readonly Work[];
  readonly output: "table" | "json";
  /** The page to write the report into as well. */
  readonly write: string | undefined;
  /** Fewer rounds and repetitions everywhere: a look, not a result. */
  readonly quick: boolean;
}

export const USAGE = `Usage: npm run bench -- [--blocks N] [--seconds S] [--only WORK,…] [--minutes M] [-o table|json]
                        [--write FILE] [--quick]

  --blocks N    Interleaved rounds, 1 to 200 (default 8, with --quick 2)
  --seconds S   Seconds of each turn, 1 to 60 (default 2, with --quick 1)
  --only WORKS  Some of ${BY_DEFAULT.join(", ")},
                soak; or all, which is all but soak (default all)
  --minutes M   How long soak runs, 1 to 600 (default 10, with --quick 1)
  -o FORMAT     table or json (default table)
  --write FILE  Writes the report into this page too, like bench/RESULTS.md
  --quick       A look in a few minutes; not a result
`;

/** @throws Error that says which flag is wrong and what was expected */
export function parseOptions(words: readonly string[]): Options | "help" {
  const { values } = parseArgs({
    args: [...words],
    options: {
      blocks: { type: "string" },
      seconds: { type: "string" },
      minutes: { type: "string" },
      only: { type: "string" },
      output: { type: "string", short: "o", default: "table" },
      write: { type: "string" },
      quick: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  const { quick, output, write } = values;
  if (output !== "table" && output !== "json") throw new Error(`-o: expected table or json, found "${output}"`);
  const chosen = values.only === undefined ? BY_DEFAULT : values.only.split(",").flatMap(worksOf);
  return {
    blocks: whole("--blocks", values.blocks ?? (quick ? "2" : "8"), 200),
    seconds: whole("--seconds", values.seconds ?? (quick ? "1" : "2"), 60),
    minutes: whole("--minutes", values.minutes ?? (quick ? "1" : "10"), 600),
    works: WORKS.filter((name) => chosen.includes(name)),
    output,
    write,
    quick,
  };
}

function whole(flag: string, text: string, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  throw new Error(`${flag}: expected a whole number, 1 to ${max}, found "${text}"`);
}

function worksOf(text: string): readonly Work[] {
  if (text === "all") return BY_DEFAULT;
  const known = WORKS.find((name) => name === text);
  if (known === undefined) throw new Error(`--only: expected all or some of ${WORKS.join(", ")}, found "${text}"`);
  return [known];
}
