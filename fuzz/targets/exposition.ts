/** The text that sidecars print for Prometheus, as the control plane reads it. */
import assert from "node:assert/strict";

import { ExpositionParser } from "../../src/control/stat/parse-exposition.ts";
import type { Target } from "../target.ts";
import { tearings } from "../tear.ts";

const WANTED = new Set(["request_total", "response_latency_ms_bucket", "a"]);

function read(pieces: readonly string[]): { samples: unknown[]; malformed: number } {
  const samples: unknown[] = [];
  const parser = new ExpositionParser(WANTED, (name, labels, value) => samples.push([name, [...labels], value]));
  for (const piece of pieces) parser.push(piece);
  parser.end();
  return { samples, malformed: parser.malformed };
}

export const exposition: Target = {
  name: "exposition",
  tokens: [
    "a 1\n",
    "a{} 2\n",
    'a{b="c"} 3\n',
    "request_total{",
    'le="+Inf"',
    "} 1e9 123\n",
    "NaN",
    "+Inf",
    "-Inf",
    "\\",
    '\\"',
    "\\n",
    '"',
    "{",
    "}",
    "=",
    ",",
    " ",
    "\n",
    "# HELP a b\n",
    "# TYPE a counter\n",
  ],
  bytesMax: 4_096,
  run(input) {
    const whole = read([input.toString("latin1")]);
    for (const pieces of tearings(input)) {
      assert.deepEqual(read(pieces.map((piece) => piece.toString("latin1"))), whole, "torn, it means the same");
    }
    const labels = (whole.samples as [string, unknown[], number][]).map(
      ([name, list, value]) => `${name[0]}${list.length}${Math.sign(value)}`,
    );
    return `${[...new Set(labels)].slice(0, 5).join()} ${Math.min(whole.malformed, 5)}`;
  },
};
