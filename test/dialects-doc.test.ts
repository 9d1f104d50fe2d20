/** docs/dialects.md names the kinds, versions and fields that the code knows, and no others. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import { CONDITION_KEYS } from "../src/dialects/istio/authorization-rules.ts";
import { KINDS, NOT_YET } from "../src/dialects/registry.ts";
import type { Field, Fields } from "../src/dialects/shape.ts";

const text = readFileSync(new URL("../docs/dialects.md", import.meta.url), "utf8");

/** The part under a heading, to the next one. */
function section(heading: string): string {
  const start = text.indexOf(`\n${heading}\n`);
  assert.notEqual(start, -1, `no heading "${heading}"`);
  const end = text.indexOf("\n#", start + heading.length + 2);
  return text.slice(start, end < 0 ? text.length : end);
}

/** What stands in backquotes in the paragraph that begins with a word. */
function named(part: string, word: string): string[] {
  const paragraph = part.split("\n\n").find((one) => one.trimStart().startsWith(`${word}:`)) ?? "";
  return [...paragraph.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);
}

/** Where every document is the same. */
const ENVELOPE = ["apiVersion", "kind", "metadata", "status", "Kind"];

/** Paths of fields by what is done with them. */
function fieldsOf(fields: Fields, verdict: Field<unknown>["verdict"], prefix = ""): string[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    if (prefix === "" && ENVELOPE.includes(name)) return [];
    const inner = field.shape?.fields;
    if (inner !== undefined) return fieldsOf(inner, verdict, `${prefix}${name}.`);
    return field.verdict === verdict ? [`${prefix}${name}`] : [];
  });
}

/** A word without a dot is a value, but for Consul, whose fields stand at the top. */
function isField(name: string): boolean {
  return name.includes(".") || /^[A-Z]/.test(name);
}

function sorted(names: Iterable<string>): string[] {
  return [...new Set(names)].sort();
}

describe("docs/dialects.md", () => {
  for (const [type, versions] of Object.entries(KINDS)) {
    it(`says what is read of ${type}`, () => {
      const part = section(`### ${type}`);
      const known = Object.keys(versions).filter((version) => version !== "");
      assert.deepEqual(sorted(named(part, "Versions")), sorted(known));
      const shapes = Object.values(versions);
      const paths = (verdict: Field<unknown>["verdict"]): string[] =>
        sorted(shapes.flatMap((shape) => fieldsOf(shape.fields ?? {}, verdict)));
      assert.deepEqual(sorted(named(part, "Honoured").filter(isField)), paths("honoured"));
      assert.deepEqual(sorted(named(part, "Refused").filter(isField)), paths("refused"));
      assert.deepEqual(sorted(named(part, "Noted").filter(isField)), paths("noted"));
    });
  }

  it("names no kind that is not known", () => {
    const headings = [...text.matchAll(/^### (\S+)$/gm)].map(([, name = ""]) => name);
    assert.deepEqual(sorted(headings), sorted(Object.keys(KINDS)));
  });

  it("names what is not supported yet", () => {
    const rows = [...section("## Not supported yet").matchAll(/^\| (\S+) +\| (.+?) +\|$/gm)];
    const found = Object.fromEntries(rows.map(([, group = "", kinds = ""]) => [group, sorted(kinds.split(", "))]));
    const expected = Object.entries(NOT_YET).filter(([, kinds]) => kinds.length > 0);
    delete found["group"];
    delete found["-------------------------"];
    assert.deepEqual(found, Object.fromEntries(expected.map(([group, kinds]) => [group, sorted(kinds)])));
  });

  it("names every key of Istio's conditions", () => {
    const part = section("### security.istio.io/AuthorizationPolicy");
    for (const key of CONDITION_KEYS) assert.ok(part.includes(`\`${key}\``), key);
  });
});
