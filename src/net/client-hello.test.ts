import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import { describe, it, type TestContext } from "node:test";
import tls from "node:tls";

import { array, assert as check, nat, oneof, property, tuple, uint8Array } from "fast-check";

import { CLIENT_HELLO_BYTES_MAX, readClientHello } from "./client-hello.ts";

/** What Node sends first. */
async function sentBy(context: TestContext, options: tls.ConnectionOptions): Promise<Buffer> {
  const server = net.createServer();
  context.after(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as net.AddressInfo;
  const client = tls.connect({ ...options, port, host: "127.0.0.1" });
  client.on("error", () => {});
  const [accepted] = (await once(server, "connection")) as [net.Socket];
  const [first] = (await once(accepted, "data")) as [Buffer];
  accepted.destroy();
  client.destroy();
  return first;
}

/** A handshake message in records of these sizes, the last one again and again. */
function inRecords(message: Buffer, ...sizes: readonly number[]): Buffer {
  const records: Buffer[] = [];
  for (let at = 0, i = 0; at < message.length; i++) {
    const size = Math.min(sizes[Math.min(i, sizes.length - 1)] ?? 1, message.length - at);
    records.push(Buffer.from([0x16, 0x03, 0x01, size >> 8, size & 0xff]), message.subarray(at, at + size));
    at += size;
  }
  return Buffer.concat(records);
}

/** One with so many extensions of no meaning that it has about `size` bytes. */
function padded(size: number): Buffer {
  const extension = Buffer.alloc(4 + 100);
  extension.writeUInt16BE(0xfafa, 0);
  extension.writeUInt16BE(100, 2);
  const extensions = Buffer.concat(Array.from({ length: Math.ceil(size / extension.length) }, () => extension));
  const length = Buffer.from([extensions.length >> 8, extensions.length & 0xff]);
  const body = Buffer.concat([Buffer.alloc(34), Buffer.from([0, 0, 2, 0x13, 0x01, 1, 0]), length, extensions]);
  return Buffer.concat([Buffer.from([1, 0, body.length >> 8, body.length & 0xff]), body]);
}

describe("readClientHello", () => {
  it("finds the server name and the protocols inside", async (context) => {
    const options = { servername: "Price.Shop.Example", ALPNProtocols: ["h2", "http/1.1"] };
    for (const minVersion of ["TLSv1.3", "TLSv1.2"] as const) {
      const hello = await sentBy(context, { ...options, minVersion, maxVersion: minVersion });
      assert.deepEqual(readClientHello(hello), { serverName: "price.shop.example", protocols: ["h2", "http/1.1"] });
    }
    assert.deepEqual(readClientHello(await sentBy(context, {})), { serverName: "", protocols: [] });
  });

  it("wants more for as long as it is not whole, in whatever pieces and records it comes", async (context) => {
    const hello = await sentBy(context, { servername: "price", ecdhCurve: "X25519MLKEM768:X25519" });
    assert.ok(hello.length > 1_300, "with a large key share");
    const expected = { serverName: "price", protocols: [] };
    for (const whole of [hello, inRecords(hello.subarray(5), 1, 2, 3, 500), inRecords(hello.subarray(5), 700)]) {
      for (let length = 0; length < whole.length; length++) {
        assert.equal(readClientHello(whole.subarray(0, length)), "incomplete", `${length} bytes`);
      }
      assert.deepEqual(readClientHello(whole), expected);
      assert.deepEqual(readClientHello(Buffer.concat([whole, Buffer.from("more")])), expected);
    }
  });

  it("says at once that something is none", () => {
    const none = {
      "an alert": [0x15, 3, 3, 0, 2, 2, 40],
      "another version": [0x16, 4],
      "a record of nothing": [0x16, 3, 1, 0, 0],
      "a record above 16 KiB": [0x16, 3, 1, 0x40, 1],
      "a ServerHello": [0x16, 3, 1, 0, 50, 2],
      "a message above the bound": [0x16, 3, 1, 0x40, 0, 1, 0, 0x40, 1],
      "a message of nothing": [0x16, 3, 1, 0, 4, 1, 0, 0, 0],
    };
    for (const [what, bytes] of Object.entries(none))
      assert.equal(readClientHello(Buffer.from(bytes)), "invalid", what);
  });

  it("keeps to its bound, in few records and in many", () => {
    const fits = padded(CLIENT_HELLO_BYTES_MAX - 400);
    assert.equal(typeof readClientHello(inRecords(fits, 2 ** 14)), "object");
    const large = inRecords(padded(CLIENT_HELLO_BYTES_MAX + 100), 2 ** 14);
    assert.equal(readClientHello(large.subarray(0, 100)), "invalid");
    // Five bytes of record around each byte of message.
    const split = inRecords(fits, 1);
    assert.equal(readClientHello(split.subarray(0, CLIENT_HELLO_BYTES_MAX - 1)), "incomplete");
    assert.equal(readClientHello(split.subarray(0, CLIENT_HELLO_BYTES_MAX)), "invalid");
  });

  it("never throws", () => {
    const sidecar = readFileSync(new URL("../../fuzz/corpus/client-hello/sidecar", import.meta.url));
    const flipped = array(tuple(nat(sidecar.length - 1), nat(255)), { maxLength: 8 }).map((changes) => {
      const bytes = Buffer.from(sidecar);
      for (const [at, value] of changes) bytes[at] = value;
      return bytes;
    });
    check(
      property(oneof(flipped, uint8Array({ maxLength: 300 })), (bytes) => {
        readClientHello(Buffer.from(bytes));
      }),
    );
  });
});
