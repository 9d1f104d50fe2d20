import assert from "node:assert/strict";
import { it } from "node:test";
import { runCaptured } from "../testing/captured-io.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { ownVersion } from "./version.ts";

it("prints both versions in each form", async () => {
  const control = await FakeControl.start({ "GET /api/v1/version": { body: { version: "9.8.7" } } });
  try {
    const own = ownVersion();
    const env = { HEDDLE_CONTROL: control.address };
    const text = `Client version: ${own}\nServer version: 9.8.7\n`;
    assert.equal((await runCaptured(["version"], env)).stdout, text);
    assert.equal((await runCaptured(["--version"], env)).stdout, text);
    assert.equal((await runCaptured(["version", "--short"], env)).stdout, `${own}\n9.8.7\n`);
    const json = (await runCaptured(["version", "-o", "json"], env)).stdout;
    assert.deepEqual(JSON.parse(json), { client: own, server: "9.8.7" });
  } finally {
    await control.close();
  }
});

it("does not mind that no control plane answers", async () => {
  const { code, stdout } = await runCaptured(["version", "--control", "127.0.0.1:1"]);
  assert.equal(code, 0);
  assert.match(stdout, /^Client version: \d+\.\d+\.\d+\nServer version: unavailable\n$/);
});
