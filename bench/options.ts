/** The flags of `npm run bench`. */
import { parseArgs } from "node:util";

export const WORKS = ["http1", "http2", "latency", "idle", "bulk"] as const;
export type Work = (typeof WORKS)[number];

export interface Options {
  /** Interleaved rounds; in each, every subject has its turn. */
  readonly blocks: number;
  /** Seconds of one turn. */
  readonly seconds: number;
  readonly works: ReadonlySet<Work>;
  readonly output: "table" | "json";
  /** Fewer rounds and repetitions everywhere: a look, not a result. */
  readonly quick: boolean;
}

export const USAGE = `Usage: npm run bench -- [--blocks N] [--seconds S] [--only WORK,…] [-o table|json] [--quick]

  --blocks N    Interleaved rounds, 1 to 200 (default 12, with --quick 3)
  --seconds S   Seconds of each turn, 1 to 60 (default 3, with --quick 1)
  --only WORKS  Some of ${WORKS.join(", ")} (default all)
  -o FORMAT     table or json (default table)
  --quick       A look in under two minutes; not a result
`;

/** @throws Error that says which flag is wrong and what was expected */
export function parseOptions(words: readonly string[]): Options | "help" {
  const { values } = parseArgs({
    args: [...words],
    options: {
      blocks: { type: "string" },
      seconds: { type: "string" },
      only: { type: "string" },
      output: { type: "string", short: "o", default: "table" },
      quick: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  const { quick, output } = values;
  if (output !== "table" && output !== "json") throw new Error(`-o: expected table or json, found "${output}"`);
  return {
    blocks: whole("--blocks", values.blocks ?? (quick ? "3" : "12"), 200),
    seconds: whole("--seconds", values.seconds ?? (quick ? "1" : "3"), 60),
    works: new Set(values.only === undefined ? WORKS : values.only.split(",").map(work)),
    output,
    quick,
  };
}

function whole(flag: string, text: string, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  throw new Error(`${flag}: expected a whole number, 1 to ${max}, found "${text}"`);
}

function work(text: string): Work {
  const known = WORKS.find((name) => name === text);
  if (known === undefined) throw new Error(`--only: expected some of ${WORKS.join(", ")}, found "${text}"`);
  return known;
}
