import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { Regex, REGEX_LENGTH_MAX, REGEX_STEPS_MAX } from "./regex.ts";

describe("a regular expression", () => {
  const cases: readonly (readonly [source: string, yes: readonly string[], no: readonly string[]])[] = [
    ["", [""], ["a"]],
    ["/api/v[0-9]+/.*", ["/api/v1/", "/api/v22/x/y"], ["/api/v/", "/api/v1", "x/api/v1/"]],
    ["a|b|", ["a", "b", ""], ["ab"]],
    ["(?:ab)*c?", ["", "ab", "ababc", "c"], ["abcab"]],
    ["(?i)get|(?-i:Post)", ["GET", "get", "Post"], ["post"]],
    ["a{2,3}b{2}c{1,}", ["aabbc", "aaabbccc"], ["abbc", "aabbbc"]],
    ["a{,3}", ["a{,3}"], ["aa"]],
    ["[^a-c\\d]", ["d", "\n", "-"], ["a", "5", ""]],
    ["[]a-]+", ["]", "a-]"], ["b"]],
    ["[[:alpha:][:^ascii:]]+", ["abc", "\u00e9"], ["1"]],
    ["\\w+\\s\\W\\S\\D", ["ab !ab"], ["ab  a1", "ab xab"]],
    [".", ["x"], ["\n", "xy"]],
    ["(?s).", ["\n"], [""]],
    ["^a$|\\Ab\\z", ["a", "b"], ["ab"]],
    ["\\bfoo\\b.*\\Bx", ["foo yx"], ["foo x"]],
    ["\\x41\\x{42}\\.\\Qa.b*\\E+?", ["AB.a.b*", "AB.a.b**"], ["AB.aab"]],
    ["(?P<a>x)(?<b>y)", ["xy"], ["x"]],
    ["((a*)*)*", ["", "aaa"], ["b"]],
    ["(?:()*){2,}x", ["x"], [""]],
  ];
  for (const [source, yes, no] of cases) {
    it(`"${source}" matches what RE2 has it match`, () => {
      const regex = new Regex(source);
      for (const text of yes) assert.equal(regex.matches(text), true, JSON.stringify(text));
      for (const text of no) assert.equal(regex.matches(text), false, JSON.stringify(text));
    });
  }

  it("refuses by name what cannot be matched in linear time, and what is broken", () => {
    const refused: readonly (readonly [string, RegExp])[] = [
      ["(a)\\1", /back-reference at 3/],
      ["a(?=b)", /look-around at 1/],
      ["(?<!b)a", /look-around/],
      ["\\pL", /escape \\p/],
      ["(?m)a", /flag m/],
      ["(a", /not closed/],
      ["a)", /closes nothing at 1/],
      ["[a", /\[ that is not closed at 0/],
      ["[b-a]", /goes down/],
      ["*a", /repeats nothing at 0/],
      ["a**", /repetition of a repetition/],
      ["a{2}{3}", /repetition of a repetition/],
      ["a{1001}", /from 0 to 1000/],
      ["a{3,2}", /smaller one first/],
      ["a\\", /nothing behind/],
      ["[[:wrong:]]", /known are alnum/],
      ["(?#x)", /group "\(\?#x"/],
    ];
    for (const [source, message] of refused) assert.throws(() => new Regex(source), message, source);
  });

  it("bounds what it takes", () => {
    assert.throws(() => new Regex("a".repeat(REGEX_LENGTH_MAX + 1)), /at most 1024/);
    assert.throws(() => new Regex(`a{${REGEX_STEPS_MAX}}`), /more than 1000 steps/);
    assert.throws(() => new Regex("(?:(?:a{10}){1000}){1000}"), /more than 1000 steps/);
    assert.throws(() => new Regex("(".repeat(200)), /more than 100 groups/);
    assert.equal(new Regex("(?:(?:(?:){1000}){1000}){1000}").matches(""), true);
  });

  it("does not run away where Node's own do", () => {
    const text = `${"a".repeat(5_000)}!`;
    for (const source of ["(a+)+", "(a|a)*", "(a*)*b", "(?:a?){200}a{200}"]) {
      const startedAt = performance.now();
      assert.equal(new Regex(source).matches(text), false);
      assert.ok(performance.now() - startedAt < 5_000, source);
    }
  });

  it("agrees with Node's own", () => {
    const atoms = fc.constantFrom("a", "b", ".", "[ab]", "[^a]", "\\w", "^", "$", "\\b");
    const { source } = fc.letrec<{ source: string }>((tie) => ({
      source: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        atoms,
        fc.tuple(tie("source"), tie("source")).map(([a, b]) => `${a}${b}`),
        fc.tuple(tie("source"), tie("source")).map(([a, b]) => `(?:${a}|${b})`),
        fc.tuple(tie("source"), fc.constantFrom("*", "+", "?", "{2}", "{1,2}", "*?")).map(([a, b]) => `(?:${a})${b}`),
      ),
    }));
    const texts = fc.string({ unit: fc.constantFrom("a", "b", " "), maxLength: 6 });
    fc.assert(
      fc.property(source, texts, (pattern, text) => {
        assert.equal(new Regex(pattern).matches(text), new RegExp(`^(?:${pattern})$`).test(text));
      }),
      { numRuns: 3_000 },
    );
  });
});
