import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { makeTestCa, TestCredentials } from "../../../test/support/identity.ts";
import { FakeTransport } from "../../xds/testing/fake-transport.ts";
import { CertifiedTransport } from "./control-tls.ts";

const events = { onOpen: () => {}, onMessage: () => {}, onClose: () => {} };
const PRICE = "spiffe://cluster.local/ns/shop/sa/price";

describe("a transport that takes a certificate", () => {
  it("opens a stream once there is one, and the next ones at once", async () => {
    const source = new TestCredentials(undefined);
    const inner = new FakeTransport();
    const transport = new CertifiedTransport(source, inner);
    const stream = transport.open(events);
    assert.equal(inner.streams.length, 0);
    const ca = await makeTestCa();
    source.replace(await ca.credentials(PRICE));
    assert.equal(inner.streams.length, 1);
    stream.send(Buffer.alloc(0));
    assert.equal(inner.streams[0]?.requests.length, 1);
    source.replace(await ca.credentials(PRICE));
    assert.equal(inner.streams.length, 1);
    transport.open(events);
    assert.equal(inner.streams.length, 2);
    stream.close();
    assert.equal(inner.streams[0]?.closed, true);
  });

  it("opens none that was closed before", async () => {
    const source = new TestCredentials(undefined);
    const inner = new FakeTransport();
    new CertifiedTransport(source, inner).open(events).close();
    source.replace(await (await makeTestCa()).credentials(PRICE));
    assert.equal(inner.streams.length, 0);
  });
});
