import assert from "node:assert/strict";
import { endianness } from "node:os";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { decodeSocketAddress } from "./original-destination.ts";

function sockaddr(family: number, port: number, rest: readonly number[]): Buffer {
  const bytes = Buffer.alloc(28);
  if (endianness() === "LE") bytes.writeUInt16LE(family, 0);
  else bytes.writeUInt16BE(family, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(rest, 4);
  return bytes;
}

describe("a socket address of the kernel", () => {
  it("of IPv4 is read", () => {
    assert.deepEqual(decodeSocketAddress(sockaddr(2, 8080, [10, 1, 2, 3])), { address: "10.1.2.3", port: 8080 });
  });

  it("of IPv6 is read in its shortest form", () => {
    const flow = [0, 0, 0, 0];
    const address = [0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0x0a];
    assert.deepEqual(decodeSocketAddress(sockaddr(10, 443, [...flow, ...address])), {
      address: "fd77::2:a",
      port: 443,
    });
  });

  it("of another kind, too short or without a port is none", () => {
    assert.equal(decodeSocketAddress(sockaddr(1, 8080, [10, 1, 2, 3])), undefined);
    assert.equal(decodeSocketAddress(sockaddr(2, 0, [10, 1, 2, 3])), undefined);
    assert.equal(decodeSocketAddress(sockaddr(10, 80, []).subarray(0, 16)), undefined);
    assert.equal(decodeSocketAddress(Buffer.alloc(0)), undefined);
  });

  it("never throws", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 32 }), (bytes) => void decodeSocketAddress(Buffer.from(bytes))));
  });
});
