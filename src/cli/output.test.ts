import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LiveText } from "./live-text.ts";
import { formatMilliseconds, formatRatio, painter, plain, printable, table } from "./output.ts";
import { capturedIo, CapturedOutput } from "./testing/captured-io.ts";

function coloured(env: Record<string, string>, isTTY: boolean): boolean {
  const io = capturedIo(env, isTTY);
  return painter(io.stdout, io)("red", "x") !== "x";
}

describe("painter", () => {
  it("colours only for a terminal, unless told otherwise", () => {
    assert.equal(coloured({}, true), true);
    assert.equal(coloured({}, false), false);
    assert.equal(coloured({ FORCE_COLOR: "1" }, false), true);
    assert.equal(coloured({ FORCE_COLOR: "0" }, true), true);
    assert.equal(coloured({ TERM: "dumb" }, true), false);
  });

  it("never colours against NO_COLOR, unless it is empty", () => {
    assert.equal(coloured({ NO_COLOR: "1" }, true), false);
    assert.equal(coloured({ NO_COLOR: "1", FORCE_COLOR: "1" }, true), false);
    assert.equal(coloured({ NO_COLOR: "" }, true), true);
    assert.equal(plain("red", "x"), "x");
  });
});

describe("table", () => {
  it("lets no name move the cursor or begin another row", () => {
    const text = table([{ title: "NAME", align: "left" }], [["a\x1b[2Jb\nfake"]]);
    assert.equal(text, "NAME\na\\u001b[2Jb\\u000afake\n");
  });

  it("lines columns up by what is seen, colours aside", () => {
    const text = table(
      [
        { title: "NAME", align: "left" },
        { title: "RPS", align: "right" },
      ],
      [
        ["\x1b[31mred\x1b[39m", "1"],
        ["longer", "1000"],
      ],
    );
    assert.equal(text, "NAME      RPS\n\x1b[31mred\x1b[39m         1\nlonger   1000\n");
  });
});

describe("formats", () => {
  it("show what was not measured as a dash", () => {
    assert.deepEqual([formatRatio(null), formatMilliseconds(null)], ["-", "-"]);
    assert.deepEqual([formatRatio(1), formatRatio(0.98765), formatMilliseconds(12.6)], ["100.00%", "98.77%", "13ms"]);
  });
});

describe("LiveText", () => {
  it("changes in place on a terminal", () => {
    const output = new CapturedOutput(true);
    const live = new LiveText(output);
    live.show("a\nb\n");
    live.show("c\n");
    live.clear();
    live.clear();
    assert.equal(output.text, "a\nb\n\x1b[2A\r\x1b[0Jc\n\x1b[1A\r\x1b[0J");
  });

  it("never lets a line wrap, and keeps its colours whole", () => {
    const output = new CapturedOutput(true);
    new LiveText(output).show(`\x1b[36m${"x".repeat(200)}\x1b[39m\n`);
    assert.equal(output.text, `\x1b[36m${"x".repeat(80)}\x1b[39m\n`);
  });

  it("only adds lines elsewhere", () => {
    const output = new CapturedOutput(false);
    const live = new LiveText(output);
    live.show("a\n");
    live.show("b\n");
    live.clear();
    assert.equal(output.text, "a\nb\n");
  });
});

describe("printable", () => {
  it("leaves a terminal nothing to obey, and one line", () => {
    assert.equal(
      printable("no\x1b[2J\r\n√ all is well\x9b1A\u202e"),
      "no\\u001b[2J\\u000d\\u000a√ all is well\\u009b1A\\u202e",
    );
    assert.equal(printable("„größer“ – 价格 🧵"), "„größer“ – 价格 🧵");
  });
});
