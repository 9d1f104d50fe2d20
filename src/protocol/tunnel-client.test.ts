import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { RecordedResponse, RecordingOwner, requestHead } from "../../test/support/exchange-recorder.ts";
import { MemoryConnection } from "../../test/support/memory-connection.ts";
import type { RequestHead } from "./exchange.ts";
import { ResetCause } from "./exchange.ts";
import { TunnelClientConnection } from "./tunnel-client.ts";

const CONNECT: RequestHead = { ...requestHead("CONNECT", ""), authority: "a:1", upgrade: "connect" };

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setUp() {
  const peer = new MemoryConnection();
  const owner = new RecordingOwner();
  const client = new TunnelClientConnection(peer.connection, owner);
  peer.connection.resume();
  const open = () => {
    const response = new RecordedResponse();
    return { response, stream: client.open(CONNECT, false, response) };
  };
  return { peer, owner, client, open };
}

describe("TunnelClientConnection", () => {
  it("answers later, then passes bytes both ways, each direction with its own end", async () => {
    const { peer, client, open } = setUp();
    assert.deepEqual([client.available, client.active, client.usable], [1, 0, true]);
    const { response, stream } = open();
    assert.equal(response.head, undefined, "no call from inside open");
    await turn();
    assert.deepEqual(response.head, { status: 200, reason: "", headers: [], upgrade: "connect" });
    peer.feed("HTTP/1.1 200 is not read");
    assert.equal(response.text, "HTTP/1.1 200 is not read");
    stream.sendData(Buffer.from("up"), false);
    peer.finish();
    assert.equal(response.ended, true);
    assert.deepEqual([client.available, client.active, client.usable], [0, 1, false]);
    stream.sendData(Buffer.from("!"), true);
    assert.equal(peer.text(), "up!");
    assert.equal(peer.ended, true);
    assert.equal(client.active, 0);
    peer.connection.destroy();
    await turn();
    assert.equal(response.reset, undefined);
    assert.equal(response.late, 0);
  });

  it("asks its user to wait while the far end does not read, and the far end while its user does not", async () => {
    const { peer, open } = setUp();
    const { response, stream } = open();
    await turn();
    peer.block();
    let go = true;
    for (let i = 0; i < 100 && go; i++) go = stream.sendData(Buffer.alloc(16 * 1024), false);
    assert.equal(go, false);
    assert.equal(response.writable, 0);
    peer.unblock();
    assert.equal(response.writable, 1);
    stream.pause();
    peer.feed("waits");
    assert.equal(response.text, "");
    stream.resume();
    await turn();
    assert.equal(response.text, "waits");
  });

  it("is a reset when the connection is lost, and an RST when it is given up", async () => {
    const lost = setUp();
    const first = lost.open();
    await turn();
    lost.peer.lose("ECONNRESET");
    assert.equal(first.response.reset?.code, "closed");
    assert.equal(lost.owner.closed, 1);
    const given = setUp();
    const second = given.open();
    second.stream.reset(new ResetCause("cancelled", "the test says so"));
    await turn();
    assert.equal(given.peer.wasReset, true);
    assert.deepEqual([second.response.head, second.response.reset], [undefined, undefined]);
    assert.equal(second.stream.sendData(Buffer.from("x"), true), true);
    assert.equal(given.peer.text(), "");
  });

  it("is closed when the far end speaks or ends before anybody asks", () => {
    for (const speak of [
      (peer: MemoryConnection) => peer.feed("220 hello"),
      (peer: MemoryConnection) => peer.finish(),
    ]) {
      const { peer, client } = setUp();
      speak(peer);
      assert.equal(peer.destroyed, true);
      assert.deepEqual([client.usable, client.available], [false, 0]);
    }
  });

  it("closes when it is not used, leaves a tunnel alone, and cuts it when it is told to", async () => {
    const unused = setUp();
    unused.client.shutdown();
    assert.equal(unused.peer.destroyed, true);
    const { client, peer, open } = setUp();
    const { response, stream } = open();
    await turn();
    client.shutdown();
    peer.feed("still ");
    stream.sendData(Buffer.from("here"), true);
    peer.finish();
    assert.deepEqual([response.text, response.ended, peer.text()], ["still ", true, "here"]);
    client.shutdown();
    assert.equal(peer.destroyed, false, "what is unsent leaves first");
    const cut = setUp();
    const tunnel = cut.open();
    await turn();
    cut.client.destroy();
    assert.equal(tunnel.response.reset?.code, "cancelled");
    assert.equal(cut.peer.destroyed, true);
  });
});
