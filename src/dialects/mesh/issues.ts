/** Sentences with a place out of what the schema finds. */
import type * as z from "zod";

import { closest } from "../closest.ts";
import type { Diagnostic } from "../diagnostic.ts";
import { describe } from "../shape.ts";
import { formatPath, type YamlDocument, type YamlPath } from "../yaml-document.ts";
import { authorizerSchema, instanceSchema, meshSchema, policySchema, portSchema, serviceSchema } from "./schema.ts";

type Issue = z.core.$ZodIssue;

/** One diagnostic for each thing wrong. */
export function issuesToDiagnostics(issues: readonly Issue[], document: YamlDocument, file: string): Diagnostic[] {
  return issues.flatMap((issue) => issueToDiagnostics(issue, [], document, file));
}

function issueToDiagnostics(issue: Issue, base: YamlPath, document: YamlDocument, file: string): Diagnostic[] {
  const path = [...base, ...issue.path.map((part) => (typeof part === "number" ? part : String(part)))];
  const make = (at: YamlPath, what: "key" | "value", message: string, hint = ""): Diagnostic => ({
    severity: "error",
    file,
    ...document.position(at, what),
    field: formatPath(at),
    message,
    hint,
  });

  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => make([...path, key], "key", `unknown key "${key}"`, knownKeysHint(key, path)));
  }
  if (issue.code === "invalid_key") {
    const expected = issue.issues[0]?.message ?? "another key";
    return [make(path, "key", `expected ${expected}; found ${describe(path.at(-1))}`)];
  }
  if (issue.code === "invalid_union") {
    // The branch whose shape fits says more than "none fits".
    const fitting = issue.errors.filter((branch) => branch.every((inner) => inner.path.length > 0));
    if (fitting.length === 1) {
      return (fitting[0] as Issue[]).flatMap((inner) => issueToDiagnostics(inner, path, document, file));
    }
  }
  if (path.length === 0 && document.value === null) {
    return [make(path, "value", `the file is empty; expected ${issue.message}`)];
  }
  const found = valueAt(document.value, path);
  if (found === undefined) return [missing(path, issue.message, make)];
  return [make(path, "value", `expected ${issue.message}; found ${describe(found)}`)];
}

function missing(
  path: YamlPath,
  expected: string,
  make: (at: YamlPath, what: "key" | "value", message: string, hint?: string) => Diagnostic,
): Diagnostic {
  if (path.length === 3 && path[0] === "services" && path[2] === "run") {
    const hint = "Heddle cannot join services yet that it does not start itself";
    return make(path, "value", `missing; expected ${expected}`, hint);
  }
  return make(path, "value", `missing; expected ${expected}`);
}

function knownKeysHint(key: string, path: YamlPath): string {
  const known = Object.keys(shapeAt(path));
  const near = closest(key, known);
  return near === undefined ? `known here: ${known.join(", ")}` : `did you mean "${near}"?`;
}

/** The mapping schema that stands at a path; strict mappings are the only ones with unknown keys. */
function shapeAt(path: YamlPath): Readonly<Record<string, unknown>> {
  if (path[0] === "policy") return path.length === 1 ? policySchema.shape : authorizerSchema.shape;
  if (path.length < 2) return meshSchema.shape;
  if (path.length === 2) return serviceSchema.shape;
  return path[2] === "ports" ? portSchema.shape : instanceSchema.shape;
}

function valueAt(value: unknown, path: YamlPath): unknown {
  let at = value;
  for (const part of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<string | number, unknown>)[part];
  }
  return at;
}
