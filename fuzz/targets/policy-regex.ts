/** Regular expressions of policies. The first line is the expression, the second what it is tried on. */
import assert from "node:assert/strict";

import { Regex, RegexError } from "../../src/model/regex.ts";
import type { Target } from "../target.ts";

/** Means the same to Node. */
const COMMON = /^(?:[a-z0-9/|.]|\(\?:|[)*+?])*$/;

export const policyRegex: Target = {
  name: "policy-regex",
  tokens: [
    "(?:",
    ")",
    "(?i)",
    "[a-",
    "]",
    "[^",
    "[[:alpha:]]",
    "{2,3}",
    "{1000}",
    "*",
    "+",
    "?",
    "|",
    "^",
    "$",
    "\\",
    "\\b",
    "\\Q",
    "\\E",
    "\\x{41}",
    ".",
    "a",
    "\n",
  ],
  bytesMax: 128,
  run(input) {
    const [source = "", text = ""] = input.toString("latin1").split("\n", 2);
    let regex: Regex;
    try {
      regex = new Regex(source);
    } catch (error) {
      assert.ok(error instanceof RegexError, String(error));
      return `refused ${error.message.replace(/[^a-z ].*/s, "")}`;
    }
    const matches = regex.matches(text);
    assert.equal(regex.matches(text), matches, "nothing is left over from the time before");
    // Only where Node's own cannot run away, and has another idea of what a line ends with.
    if (COMMON.test(source) && source.length < 12 && !text.includes("\r")) {
      let same: RegExp | undefined;
      try {
        same = new RegExp(`^(?:${source})$`);
      } catch {
        return "taken only by us";
      }
      assert.equal(same.test(text), matches, JSON.stringify({ source, text }));
    }
    return `${matches} ${source.length >> 4}`;
  },
};
