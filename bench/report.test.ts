import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { intervalBar, PAIRS_MIN, ratioBar, ratioColumns, type Report, valueBar } from "./report.ts";
import { formatMarkdown, replaceGenerated } from "./report-markdown.ts";
import { formatReport } from "./report-text.ts";
import type { Interval } from "./stats.ts";

const report: Report = {
  about: { Date: "today", Peers: "a | b" },
  sections: [
    {
      title: "Work",
      columns: [{ key: "cpuUs", label: "CPU µs/req", digits: 1 }],
      intervals: ratioColumns("CPU", ["HAProxy"]),
      rows: [
        { subject: "direct", values: { cpuUs: undefined } },
        {
          subject: "one sidecar",
          values: { cpuUs: 21.94 },
          intervals: { HAProxy: { value: 1.2, low: 1.15, high: 1.249 } },
          bars: [ratioBar("HAProxy", 1.25, { value: 1.2, low: 1.15, high: 1.249 }, 10)],
        },
      ],
      notes: ["so it was"],
    },
  ],
  failed: [],
};

function interval(low: number, high: number): Interval {
  return { value: (low + high) / 2, low, high };
}

describe("a bar", () => {
  it("holds or is missed with its whole interval, and is undecided across it", () => {
    assert.equal(ratioBar("x", 1.25, interval(1.1, 1.25), PAIRS_MIN).verdict, "holds");
    assert.equal(ratioBar("x", 1.25, interval(1.26, 1.3), PAIRS_MIN).verdict, "missed");
    assert.equal(ratioBar("x", 1.25, interval(1.2, 1.3), PAIRS_MIN).verdict, "undecided");
  });

  it("is undecided by too few pairs", () => {
    assert.equal(intervalBar("x", 1_000, interval(1, 2), PAIRS_MIN - 1, 0).verdict, "undecided");
  });

  it("says what was measured", () => {
    assert.deepEqual(valueBar("≤ 40 MB", 40, 41.26), { text: "≤ 40 MB", figure: "41.3", verdict: "missed" });
    assert.equal(intervalBar("x", 5, interval(2, 4), PAIRS_MIN, 0).figure, "3 [2, 4]");
  });

  it("is missed by what could not be measured", () => {
    assert.equal(valueBar("x", 5, Number.NaN).verdict, "missed");
  });
});

describe("the report in the terminal", () => {
  it("has a table for each section, and all bars at the end", () => {
    assert.equal(
      formatReport(report),
      `Date      today
Peers     a | b

Work
               CPU µs/req  CPU ÷ HAProxy [95 % CI]  bar
  direct                -                        -
  one sidecar        21.9        1.20 [1.15, 1.25]  ≤ 1.25 × HAProxy: holds
  so it was

All bars
  work  subject      bar               measured           verdict
  Work  one sidecar  ≤ 1.25 × HAProxy  1.20 [1.15, 1.25]  holds
`,
    );
  });
});

describe("what could not be finished", () => {
  const broken: Report = {
    ...report,
    sections: [{ title: "soak: failed", columns: [], rows: [], notes: ["the reason"] }],
    failed: ["soak"],
  };

  it("has its reason instead of a table", () => {
    assert.match(formatReport(broken), /\n\nsoak: failed\n {2}the reason\n$/);
    assert.match(formatMarkdown(broken, "npm run bench"), /### soak: failed\n\n- the reason\n$/);
  });
});

describe("the report as a page", () => {
  const generated = formatMarkdown(report, "npm run bench");

  it("has the command, what it was measured on, bars and tables", () => {
    assert.match(generated, /^\| Command +\| `npm run bench` +\|$/m);
    assert.match(generated, /^\| Peers +\| a \\\| b +\|$/m);
    assert.match(generated, /^\| Work +\| one sidecar +\| ≤ 1.25 × HAProxy +\| 1.20 \[1.15, 1.25\] +\| holds +\|$/m);
    assert.match(generated, /^### Work$/m);
    assert.match(generated, /^\| one sidecar +\| 21.9 +\|/m);
    assert.match(generated, /^- so it was$/m);
  });

  it("goes between its marks and leaves the rest as it was", () => {
    const begin = "<!-- A run of the bench writes what is between these two marks. -->";
    const end = "<!-- The end of what the bench writes. -->";
    const page = (content: string): string => `# Mine\n\nlost here\n\n${begin}${content}${end}\nafter\n`;
    const first = replaceGenerated(page("\nold\n"), generated);
    assert.equal(first, page(`\n\n${generated}\n`));
    assert.equal(replaceGenerated(first, "new"), page("\n\nnew\n"));
  });

  it("is refused a page without marks", () => {
    assert.throws(() => replaceGenerated("# Mine\n", "x"), /expected the lines/);
  });
});
