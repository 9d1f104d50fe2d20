import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { it } from "node:test";

/** All that a file imports at run time, directly or not. */
function importsOf(file: URL, seen = new Set<string>()): Set<string> {
  if (seen.has(file.href)) return seen;
  seen.add(file.href);
  const statements = /^(?:import|export)\s(?!type\s)[^;]*?from "([^"]+)";/gms;
  for (const [, name = ""] of readFileSync(file, "utf8").matchAll(statements)) {
    if (name.startsWith(".")) importsOf(new URL(name, file), seen);
    else seen.add(name);
  }
  return seen;
}

it("the client brings no gRPC library into a sidecar", () => {
  const imports = importsOf(new URL("client.ts", import.meta.url));
  const packages = [...imports].filter((name) => !name.startsWith("file:") && !name.startsWith("node:"));
  assert.deepEqual([...new Set(packages.map((name) => name.split("/").slice(0, 2).join("/")))], ["@bufbuild/protobuf"]);
  assert.ok([...imports].some((name) => name.endsWith("/http2/client.ts")));
});
