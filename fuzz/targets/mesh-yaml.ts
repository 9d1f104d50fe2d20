/** mesh.yaml from anywhere: a mesh, or diagnostics that point into the text. It never throws. */
import assert from "node:assert/strict";

import { parseMeshBytes } from "../../src/dialects/mesh/read.ts";
import type { Target } from "../target.ts";

export const meshYaml: Target = {
  name: "mesh-yaml",
  tokens: [
    "services:\n",
    "  a:\n",
    "    run: sleep 1\n",
    "    ports: [80]\n",
    "    instances: 2\n",
    "    upstreams: [b]\n",
    "name: x\n",
    "namespace: y\n",
    "&a ",
    "*a",
    "<<: *a\n",
    "!!binary ",
    "!!js/function x",
    "? ",
    "- ",
    ": ",
    "|\n",
    ">\n",
    "{",
    "}",
    "[",
    "]",
    "'",
    '"',
    "#",
    "%YAML 1.1\n",
    "---\n",
    "...\n",
    "\t",
    "\r\n",
    "\ufeff".normalize(),
    "__proto__: 1\n",
    "constructor: {}\n",
    "0x1f",
    "1e999",
    ".nan",
    "~",
    "${HOME}",
  ].map((token) => Buffer.from(token).toString("latin1")),
  bytesMax: 4_096,
  run(input) {
    const { meshFile, diagnostics } = parseMeshBytes(input, "/mesh.yaml");
    const errors = diagnostics.filter(({ severity }) => severity === "error");
    assert.equal(meshFile === undefined, errors.length > 0, "a mesh, or what is in its way");
    const lines = input.toString("utf8").split(/\r\n|\r|\n/).length;
    for (const { line, column, message } of diagnostics) {
      assert.ok(line >= 1 && line <= lines + 1, `line ${line} of ${lines}`);
      assert.ok(column >= 1, `column ${column}`);
      assert.ok(message.length > 0 && message.length < 2_000, `a message of ${message.length} characters`);
    }
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
    const shapes = errors.slice(0, 3).map(({ message }) => message.replace(/[^a-z ]/g, "").slice(0, 24));
    return `${meshFile === undefined ? "" : Object.keys(meshFile.services).length} ${shapes.join()}`;
  },
};
