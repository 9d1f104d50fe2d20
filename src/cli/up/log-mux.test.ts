import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { plain } from "../output.ts";
import { CapturedOutput } from "../testing/captured-io.ts";
import { LINE_LENGTH_MAX, LineSplitter, LOG_BACKLOG_BYTES_MAX, LogMux } from "./log-mux.ts";

function split(...chunks: (string | Buffer)[]): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line));
  for (const chunk of chunks) splitter.push(Buffer.from(chunk));
  splitter.end();
  return lines;
}

function lengths(lines: string[]): number[] {
  return lines.map((line) => line.length);
}

describe("LineSplitter", () => {
  it("makes lines however the text arrives", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.array(fc.nat({ max: 200 })), (text, cuts) => {
        const bytes = Buffer.from(text.replaceAll("\r", ""));
        const edges = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        const chunks = edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge));
        const expected = bytes.toString().split("\n");
        if (expected.at(-1) === "") expected.pop();
        assert.deepEqual(split(...chunks), expected);
      }),
    );
  });

  it("takes CRLF for one end of line", () => {
    assert.deepEqual(split("a\r", "\nb\r\n\r\n"), ["a", "b", ""]);
  });

  it("breaks lines that are too long, whether or not their end has come", () => {
    const long = "x".repeat(LINE_LENGTH_MAX * 2 + 5);
    assert.deepEqual(lengths(split(long)), [LINE_LENGTH_MAX, LINE_LENGTH_MAX, 5]);
    assert.deepEqual(lengths(split(`${long}\ny`)), [LINE_LENGTH_MAX, LINE_LENGTH_MAX, 5, 1]);
    const lines: string[] = [];
    new LineSplitter((line) => lines.push(line)).push(Buffer.from(long));
    assert.deepEqual(lengths(lines), [LINE_LENGTH_MAX, LINE_LENGTH_MAX]);
  });
});

describe("LogMux", () => {
  it("puts names before lines, in one column", () => {
    const output = new CapturedOutput();
    const mux = new LogMux(output, plain);
    mux.announce("price-1/proxy");
    mux.write("price-1", "hello");
    mux.write("price-1/proxy", "ready");
    assert.equal(output.text, "price-1       | hello\nprice-1/proxy | ready\n");
  });

  it("gives a program and its sidecar the same colour, and its neighbour another", () => {
    const styles: unknown[] = [];
    const mux = new LogMux(new CapturedOutput(), (style, text) => {
      styles.push(style);
      return text;
    });
    for (const name of ["a", "b", "a/proxy"]) mux.write(name, "x");
    assert.equal(styles[0], styles[2]);
    assert.notEqual(styles[0], styles[1]);
  });

  it("drops lines while the reader is too slow, and says how many", () => {
    const output = new CapturedOutput();
    const mux = new LogMux(output, plain);
    output.writableLength = LOG_BACKLOG_BYTES_MAX + 1;
    mux.write("a", "lost");
    mux.write("a", "lost");
    output.writableLength = 0;
    mux.write("a", "kept");
    assert.equal(output.text, "heddle | 2 lines were dropped: the reader of this log is too slow\na      | kept\n");
  });
});
