import assert from "node:assert/strict";
import { createServer, type AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { Failure } from "../errors.ts";
import { checkFree, isFree, LOOPBACK, PortAllocator } from "./ports.ts";

async function withTakenPort(body: (port: number) => Promise<void>): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, LOOPBACK, resolve);
  });
  try {
    await body((server.address() as AddressInfo).port);
  } finally {
    server.close();
  }
}

describe("ports", () => {
  it("that something listens on are not free", async () => {
    await withTakenPort(async (port) => {
      assert.equal(await isFree({ host: LOOPBACK, port }), false);
      await assert.rejects(checkFree("--api", { host: LOOPBACK, port }), (error) => {
        assert.ok(error instanceof Failure);
        assert.match(error.message, new RegExp(`--api.*${LOOPBACK}:${port}`));
        assert.match(error.hint, /heddle up.*--api 127\.0\.0\.1:/);
        return true;
      });
    });
  });

  it("are handed out once, leaving out those in use", async () => {
    await withTakenPort(async (port) => {
      const allocator = new PortAllocator(port);
      allocator.reserve(port + 1);
      const ports = await Promise.all([allocator.allocate(), allocator.allocate(), allocator.allocate()]);
      assert.equal(new Set(ports).size, 3);
      assert.ok(ports.every((candidate) => candidate > port + 1));
    });
  });

  it("run out with a word about the flag", async () => {
    const allocator = new PortAllocator(65_535);
    allocator.reserve(65_535);
    await assert.rejects(allocator.allocate(), { name: "Failure", hint: /--base-port/ });
  });
});
