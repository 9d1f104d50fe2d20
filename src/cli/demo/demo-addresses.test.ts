import assert from "node:assert/strict";
import { createServer } from "node:net";
import { it } from "node:test";
import { PortAllocator } from "../up/ports.ts";
import { demoAddresses } from "./demo-addresses.ts";

it("moves aside as a whole when one of the usual ports is taken", async () => {
  const server = createServer();
  // Taken by us, or by another mesh on this machine: either way it is not free.
  await new Promise<void>((resolve) => {
    server.once("error", () => resolve()).listen(4180, "127.0.0.1", resolve);
  });
  try {
    const { addresses, moved } = await demoAddresses(new PortAllocator(45_000));
    const ports = Object.values(addresses).map(({ port }) => port);
    assert.equal(moved, true);
    assert.equal(new Set(ports).size, 4);
    assert.ok(ports.every((port) => port >= 45_000));
  } finally {
    server.close();
  }
});
