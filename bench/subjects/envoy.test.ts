import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";

import { findTools } from "../tools.ts";
import { envoyConfig } from "./envoy.ts";
import type { Traffic } from "./subject.ts";

const envoy = (await findTools()).path("envoy");

describe("the configuration of Envoy", { skip: envoy === undefined ? "Envoy is not here" : false }, () => {
  for (const traffic of ["http1", "http2", "grpc", "websocket", "tcp"] satisfies Traffic[]) {
    it(`is valid for ${traffic}`, (context) => {
      const folder = mkdtempSync(join(tmpdir(), "heddle-envoy-"));
      context.after(() => rmSync(folder, { recursive: true }));
      const path = join(folder, "envoy.json");
      writeFileSync(path, JSON.stringify(envoyConfig(traffic, 10_000, 10_001)));
      const output = execFileSync(envoy ?? "", ["--mode", "validate", "-c", path], { encoding: "utf8", stdio: "pipe" });
      assert.match(output, /OK/);
    });
  }
});
