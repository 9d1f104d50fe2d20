import assert from "node:assert/strict";
import { posix } from "node:path";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { decodePath, readingsOf } from "./path.ts";

const decode = (path: string): string => decodePath(path).replaceAll("%2F", "/").replaceAll("%5C", "\\");
const slashes = (path: string): string => path.replaceAll("\\", "/");
const merge = (path: string): string => path.replace(/\/\/+/g, "/");
const parameters = (path: string): string => path.replace(/;[^/]*/g, "");

/** RFC 3986 §5.2.4 */
function dots(path: string): string {
  const kept: string[] = [];
  const segments = path.split("/").slice(1);
  segments.forEach((segment, i) => {
    if (segment === "..") kept.pop();
    else if (segment !== ".") kept.push(segment);
    if ((segment === ".." || segment === ".") && i === segments.length - 1) kept.push("");
  });
  return `/${kept.join("/")}`;
}

/** What programs do to a path before they look at it: each of these is done somewhere. */
const programs: Readonly<Record<string, (path: string) => string>> = {
  "nothing but decode": decode,
  "decode, but for slashes": decodePath,
  "nginx: decode, merge, resolve": (path) => dots(merge(decode(path))),
  "merge, resolve, decode": (path) => decode(dots(merge(path))),
  "RFC 3986: resolve, decode": (path) => decode(dots(path)),
  "resolve what is encoded, but for slashes": (path) => dots(decodePath(path)),
  "WHATWG URL, decoded": (path) => decode(new URL(`http://x${path}`).pathname),
  "posix.normalize after decode": (path) => posix.normalize(decode(path)),
  "servlet: without parameters, decode, resolve": (path) => dots(decode(parameters(path))),
  "servlet: without parameters, decode, merge, resolve": (path) => dots(merge(decode(parameters(path)))),
  "Windows: backslashes are slashes": (path) => dots(merge(slashes(decode(path)))),
  "merge only, decoded": (path) => merge(decode(path)),
};

describe("the readings of a path", () => {
  const cases: readonly (readonly [path: string, readings: readonly string[] | undefined])[] = [
    ["/", ["/"]],
    ["/a/b?x=/../c", ["/a/b"]],
    ["", [""]],
    ["*", ["*"]],
    ["/a.b/..c/d..", ["/a.b/..c/d.."]],
    ["/%61dmin", ["/admin"]],
    ["/a%20b", ["/a b"]],
    ["/caf%C3%A9", ["/caf\u00c3\u00a9"]],
    ["//a", ["//a", "/a"]],
    ["/a/", ["/a/"]],
    ["/a//", ["/a//", "/a/"]],
    ["/a/../b", ["/a/../b", "/b"]],
    ["/a/..", ["/a/..", "/"]],
    ["/a/b/.", ["/a/b/.", "/a/b/", "/a/b"]],
    ["/../../a", ["/../../a", "/a"]],
    ["/a/%2e%2E/b", ["/a/../b", "/b"]],
    ["/a%2fb", ["/a%2Fb", "/a/b"]],
    ["/a%5Cb", ["/a%5Cb", "/a/b"]],
    ["/a\\b", ["/a\\b", "/a/b"]],
    ["/a;v=1/b;w", ["/a;v=1/b;w", "/a/b"]],
    ["/%2561", undefined],
    ["/100%25", ["/100%"]],
    ["/a/..%2fb", undefined],
    ["/a//../b", undefined],
    ["/a/..;/b", undefined],
    ["/a/%2e/..", undefined],
    ["/a;\\", undefined],
    ["/a%00", undefined],
    ["/a%0d%0ab", undefined],
    ["/a\tb", undefined],
    ["/a#b", undefined],
    ["/a%", undefined],
    ["/a%zz", undefined],
  ];
  for (const [path, readings] of cases) {
    it(`${JSON.stringify(path)}: ${readings?.join(" or ") ?? "in doubt"}`, () => {
      assert.deepEqual(readingsOf(path), readings);
    });
  }

  it("have what any program makes of it among them, or are in doubt, unless it still is what a rule would not say", () => {
    const token = fc.constantFrom(
      "/",
      "/",
      "//",
      "a",
      "b",
      ".",
      "..",
      "%2e",
      "%2E%2e",
      "%2f",
      "%5c",
      "\\",
      ";x",
      "%61",
      ";",
    );
    fc.assert(
      fc.property(fc.array(token, { maxLength: 9 }), (tokens) => {
        const path = `/${tokens.join("")}`;
        const readings = readingsOf(path);
        if (readings === undefined) return;
        for (const [name, program] of Object.entries(programs)) {
          const seen = program(path);
          // No rule is written about a path that could be simpler: whoever sees it so sees none that is forbidden.
          if (/\\|;|\/\/|\/\.\.?(?:\/|$)/.test(seen)) continue;
          assert.ok(readings.includes(seen), `${name} makes ${seen} of ${path}: ${readings.join(" or ")}`);
        }
      }),
      { numRuns: 20_000 },
    );
  });
});
