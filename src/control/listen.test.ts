import assert from "node:assert/strict";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { afterEach, describe, it } from "node:test";

import type { Address } from "./address.ts";
import { closeServer, ControlStartError, listen } from "./listen.ts";

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function refusal(address: Address): Promise<string> {
  const server = createServer();
  cleanups.push(() => closeServer(server));
  try {
    await listen(server, address, "API", "--api");
  } catch (error) {
    assert.ok(error instanceof ControlStartError);
    assert.equal(server.listenerCount("error"), 0);
    return error.message;
  }
  return "it listens";
}

describe("listen", () => {
  it("resolves with the port that the system chose", async () => {
    const server = createServer();
    cleanups.push(() => closeServer(server));
    const address = await listen(server, { host: "127.0.0.1", port: 0 }, "API", "--api");
    assert.equal(address.host, "127.0.0.1");
    assert.ok(address.port > 0);
  });

  it("names the other control plane that is in the way", async () => {
    const other = createHttpServer((_, response) => {
      response.setHeader("server", "heddle").end('{"version":"9.9.9"}');
    });
    cleanups.push(() => closeServer(other));
    const address = await listen(other, { host: "127.0.0.1", port: 0 }, "API", "--api");
    assert.equal(
      await refusal(address),
      `cannot listen on 127.0.0.1:${address.port} (API): another control plane (heddle 9.9.9) is already there; stop it or use it; --api 127.0.0.1:0 takes any free port`,
    );
    other.closeAllConnections();
  });

  it("says that something else is in the way, also when that never answers", async () => {
    const other = createServer((socket) => {
      socket.on("error", () => {}).resume();
    });
    cleanups.push(() => closeServer(other));
    const address = await listen(other, { host: "127.0.0.1", port: 0 }, "API", "--api");
    assert.match(
      await refusal(address),
      /another program is already there \(another control plane\?\); stop it; --api/,
    );
  });

  it("says when the machine does not have the address", async () => {
    const message = await refusal({ host: "192.0.2.1", port: 0 });
    assert.equal(
      message,
      "cannot listen on 192.0.2.1:0 (API): this machine has no address 192.0.2.1; give one that it has with --api",
    );
  });
});
