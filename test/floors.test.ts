import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

/** The house: each room's floor. A room imports only from itself and from floors below (design, "The floors"). */
const FLOORS: Readonly<Record<string, number>> = {
  model: 1,
  net: 1,
  telemetry: 1,
  protocol: 2,
  xds: 2,
  dialects: 2,
  policy: 2,
  proxy: 3,
  control: 3,
  cli: 4,
};

/** Neighbours on one floor that may be used: xDS is carried by our own HTTP/2. */
const ALLOWED_NEIGHBOURS = new Set(["xds -> protocol"]);

const source = join(dirname(fileURLToPath(import.meta.url)), "..", "src");

interface Import {
  readonly from: string;
  readonly to: string;
}

/** Relative imports between rooms in one file's text. */
function importsOf(file: string, text: string): Import[] {
  const from = relative(source, file);
  return [...text.matchAll(/\b(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((match) => ({
    from,
    to: relative(source, join(dirname(file), match[1] as string)),
  }));
}

/** What is wrong with an import, or undefined. */
function breach({ from, to }: Import): string | undefined {
  const fromRoom = from.split("/")[0] as string;
  const toRoom = to.split("/")[0] as string;
  if (fromRoom === toRoom) return undefined;
  if (toRoom === "..") return from.endsWith(".test.ts") ? undefined : `${from} leaves src/ for ${to}`;
  const fromFloor = FLOORS[fromRoom];
  const toFloor = FLOORS[toRoom];
  if (fromFloor === undefined || toFloor === undefined) return `${from} imports ${to}: a room that is on no floor`;
  if (toFloor < fromFloor || ALLOWED_NEIGHBOURS.has(`${fromRoom} -> ${toRoom}`)) return undefined;
  return `${from} (floor ${fromFloor}) imports ${to} (floor ${toFloor})`;
}

/** A way from a file by its imports back to itself, types included; undefined where there is none. */
function circle(imports: readonly Import[]): readonly string[] | undefined {
  const targets = new Map<string, string[]>();
  for (const { from, to } of imports) targets.set(from, [...(targets.get(from) ?? []), to]);
  const done = new Set<string>();
  const way: string[] = [];
  const search = (file: string): readonly string[] | undefined => {
    if (done.has(file)) return undefined;
    const at = way.indexOf(file);
    if (at >= 0) return [...way.slice(at), file];
    way.push(file);
    for (const target of targets.get(file) ?? []) {
      const found = search(target);
      if (found !== undefined) return found;
    }
    way.pop();
    done.add(file);
    return undefined;
  };
  for (const file of targets.keys()) {
    const found = search(file);
    if (found !== undefined) return found;
  }
  return undefined;
}

describe("the floors of the house", () => {
  const files = readdirSync(source, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(source, name));

  it("has no import that goes up or sideways", () => {
    const imports = files.flatMap((file) => importsOf(file, readFileSync(file, "utf8")));
    assert.ok(imports.length > 100, `only ${imports.length} imports were found: the test looks in the wrong place`);
    const tests = imports.filter(({ from }) => from.endsWith(".test.ts"));
    const code = imports.filter(({ from }) => !from.endsWith(".test.ts"));
    assert.deepEqual(
      code.map(breach).filter((text) => text !== undefined),
      [],
    );
    assert.ok(tests.length > 0);
  });

  it("has no files that import each other in a circle, not even types", () => {
    const code = files.filter((name) => !name.endsWith(".test.ts"));
    assert.equal(circle(code.flatMap((file) => importsOf(file, readFileSync(file, "utf8"))))?.join(" -> "), undefined);
  });

  it("keeps the model free of I/O", () => {
    for (const file of files.filter(
      (name) => relative(source, name).startsWith("model/") && !name.endsWith(".test.ts"),
    )) {
      assert.doesNotMatch(readFileSync(file, "utf8"), /from "node:/, `${file} imports from Node`);
    }
  });

  it("would notice a breach", () => {
    assert.match(breach({ from: "proxy/a.ts", to: "control/b.ts" }) ?? "", /floor 3/);
    assert.match(breach({ from: "model/a.ts", to: "net/b.ts" }) ?? "", /floor 1/);
    assert.equal(breach({ from: "cli/a.ts", to: "model/b.ts" }), undefined);
    const [a, b, c] = ["a", "b", "c"] as const;
    assert.deepEqual(
      circle([
        { from: c, to: a },
        { from: a, to: b },
        { from: b, to: a },
      ]),
      [a, b, a],
    );
    assert.equal(
      circle([
        { from: c, to: a },
        { from: c, to: b },
        { from: b, to: a },
      ]),
      undefined,
    );
  });
});
