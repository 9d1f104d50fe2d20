import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { ControlError } from "../control-client.ts";
import { FakeHost, settle } from "../testing/fake-host.ts";
import { keyboardConfig } from "./plan.ts";
import { sidecarProgram, TOKEN_RETRY_MS } from "./sidecar-program.ts";
import { Supervised } from "./supervised.ts";

const at = { host: "127.0.0.1", port: 1 };
const addresses = { api: at, xds: at, outbound: at, admin: at };
const config = keyboardConfig("shop", addresses, { logLevel: "warn", shutdownGraceMs: 1_000 });

describe("the program of a sidecar", () => {
  let host: FakeHost;
  let supervised: Supervised;
  beforeEach(() => {
    host = new FakeHost();
    supervised = new Supervised({
      name: "keyboard/proxy",
      program: (wanted) => sidecarProgram(host, "keyboard/proxy", config, wanted),
      spawner: host.spawner,
      clock: host.clock,
      onLine: () => undefined,
      onNotice: () => undefined,
      onStart: () => undefined,
      onExit: () => undefined,
    });
  });

  it("has a token in its environment, not on its command line, and another at each start", async () => {
    supervised.start();
    await settle();
    host.processes[0]?.exit({ code: 1 });
    host.clock.advance(100);
    await settle();
    const tokens = host.processes.map(({ program }) => program.env["HEDDLE_JOIN_TOKEN"]);
    assert.deepEqual(tokens, ["token 1 of keyboard as shop/keyboard", "token 2 of keyboard as shop/keyboard"]);
    for (const { program } of host.processes) {
      const line = program.command.join(" ");
      assert.ok(!line.includes("token 1"));
      assert.match(line, / --identity-trust-domain mesh\.test /);
    }
  });

  it("waits for the control plane, and says once when it is refused", async () => {
    host.trouble = new Error("gone");
    supervised.start();
    supervised.start();
    await settle();
    host.trouble = new ControlError(507, "too many join tokens wait", "");
    for (let tries = 0; tries < 3; tries++) {
      host.clock.advance(TOKEN_RETRY_MS);
      await settle();
    }
    assert.deepEqual(host.lines, ["keyboard/proxy gets no join token: too many join tokens wait"]);
    assert.equal(host.processes.length, 0);
    host.trouble = undefined;
    host.clock.advance(TOKEN_RETRY_MS);
    await settle();
    assert.equal(host.running.length, 1);
  });

  it("is not started any more once it was stopped while it waited", async () => {
    host.trouble = new Error("gone");
    supervised.start();
    await settle();
    await supervised.stop(1_000);
    host.trouble = undefined;
    host.clock.advance(TOKEN_RETRY_MS);
    await settle();
    assert.equal(host.processes.length, 0);
    assert.equal(host.clock.pending, 0);
  });
});
