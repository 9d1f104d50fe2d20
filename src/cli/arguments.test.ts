import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseArguments } from "./arguments.ts";
import { defineCommand } from "./command.ts";
import { UsageError } from "./errors.ts";

const command = defineCommand({
  name: "try",
  description: "For the test.",
  positionals: { form: "[NAME]", max: 1 },
  rest: "PROGRAM",
  flags: {
    output: { type: "string", short: "o", choices: ["table", "json"], default: "table", help: "Form" },
    upstream: { type: "string", multiple: true, help: "Service" },
    watch: { type: "boolean", short: "w", help: "Again" },
  },
  examples: [],
  run: () => Promise.resolve(0),
});

describe("parseArguments", () => {
  it("fills in defaults", () => {
    const { flags, positionals, rest } = parseArguments(command, []);
    assert.deepEqual(flags, { output: "table", upstream: [], watch: false, help: false, "no-color": false });
    assert.deepEqual([positionals, rest], [[], undefined]);
  });

  it("reads long and short flags, bundled and with =, in any order", () => {
    const { flags, positionals } = parseArguments(command, ["-wojson", "x", "--upstream=a=b", "--upstream", "c"]);
    assert.deepEqual(
      [flags["output"], flags["watch"], flags["upstream"], positionals],
      ["json", true, ["a=b", "c"], ["x"]],
    );
  });

  it("leaves what comes after -- alone", () => {
    const { flags, rest } = parseArguments(command, ["-w", "--", "node", "-o", "--", "--watch"]);
    assert.deepEqual([flags["watch"], flags["output"], rest], [true, "table", ["node", "-o", "--", "--watch"]]);
  });

  it("takes a single - for a value", () => {
    assert.deepEqual(parseArguments(command, ["--upstream", "-"]).flags["upstream"], ["-"]);
  });

  it("asks for help whatever else is wrong with the arguments", () => {
    assert.equal(parseArguments(command, ["a", "b", "--help"]).flags["help"], true);
  });

  it("refuses names that objects have by nature", () => {
    for (const name of ["constructor", "__proto__", "toString"]) {
      assert.throws(() => parseArguments(command, [`--${name}`, "x"]), UsageError);
    }
  });
});
