import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { MetricsRegistry } from "../../telemetry/metrics.ts";
import { ExpositionParser, LINE_LENGTH_MAX } from "./parse-exposition.ts";

type Read = { name: string; labels: Record<string, string>; value: number };

function parse(chunks: readonly string[], wanted: readonly string[] = ["a"]): { samples: Read[]; malformed: number } {
  const samples: Read[] = [];
  const parser = new ExpositionParser(new Set(wanted), (name, labels, value) => {
    samples.push({ name, labels: Object.fromEntries(labels), value });
  });
  for (const chunk of chunks) parser.push(chunk);
  parser.end();
  return { samples, malformed: parser.malformed };
}

describe("ExpositionParser", () => {
  it("reads values, labels, escapes, timestamps and odd blanks", () => {
    const text = [
      "# HELP a Something.",
      "# TYPE a counter",
      "a 1",
      'a{x="1",y="two words"} 2.5e3',
      'a{x="quote \\" backslash \\\\ line \\n end",} +Inf 1395066363000',
      "a\t-3 ",
      'a{ x="1" , y="2" }\t7',
      "a NaN",
      "b 4",
      "a_total 5",
      "",
      "a 6",
    ].join("\n");
    assert.deepEqual(parse([text]), {
      samples: [
        { name: "a", labels: {}, value: 1 },
        { name: "a", labels: { x: "1", y: "two words" }, value: 2500 },
        { name: "a", labels: { x: 'quote " backslash \\ line \n end' }, value: Infinity },
        { name: "a", labels: {}, value: -3 },
        { name: "a", labels: { x: "1", y: "2" }, value: 7 },
        { name: "a", labels: {}, value: Number.NaN },
        { name: "a", labels: {}, value: 6 },
      ],
      malformed: 0,
    });
  });

  it("counts malformed lines of wanted families and goes on", () => {
    const bad = ["a", "a ", "a x", 'a{x="1" 2', "a{x=1} 2", 'a{x="1', "a{x", "a 1 2 3", "a 1 soon", "a 0x", 'a{x="\\'];
    const { samples, malformed } = parse([`${bad.join("\n")}\nb{ \na 1\n`]);
    assert.equal(malformed, bad.length);
    assert.deepEqual(samples, [{ name: "a", labels: {}, value: 1 }]);
  });

  it("passes over a line that is too long, however it arrives, and keeps nothing of it", () => {
    const long = `a{x="${"y".repeat(LINE_LENGTH_MAX)}`;
    const { samples, malformed } = parse([long.slice(0, 10), long.slice(10), long, '"} 1\na 2\n', "a 3"]);
    assert.equal(malformed, 1);
    assert.deepEqual(
      samples.map(({ value }) => value),
      [2, 3],
    );
    assert.deepEqual(parse([long]).samples, []);
  });

  it("reads back what our own registry prints, wherever it is cut into chunks", () => {
    const label = fc.string({ minLength: 1, maxLength: 8 }).filter((value) => !value.includes("\r"));
    const series = fc.uniqueArray(fc.record({ x: label, y: label, value: fc.nat() }), {
      selector: ({ x, y }) => JSON.stringify([x, y]),
      maxLength: 10,
    });
    fc.assert(
      fc.property(series, fc.integer({ min: 1, max: 20 }), (written, size) => {
        const registry = new MetricsRegistry();
        const family = registry.counter({ name: "a", help: "A.", labelNames: ["x", "y"] });
        for (const { x, y, value } of written) family.labels({ x, y }).inc(value);
        const text = registry.expose();
        const chunks = Array.from({ length: Math.ceil(text.length / size) }, (_, i) =>
          text.slice(i * size, (i + 1) * size),
        );
        const { samples, malformed } = parse(chunks);
        assert.equal(malformed, 0);
        assert.deepEqual(
          samples,
          written.map(({ x, y, value }) => ({ name: "a", labels: { x, y }, value })),
        );
      }),
    );
  });

  it("never throws", () => {
    const piece = fc.constantFrom("a", "{", "}", '"', "=", ",", " ", "\\", "\n", "1", "#", "x");
    fc.assert(
      fc.property(
        fc.array(piece).map((pieces) => pieces.join("")),
        (text) => void parse([text]),
      ),
    );
  });
});
