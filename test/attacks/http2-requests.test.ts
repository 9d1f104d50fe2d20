/** HTTP/2 that would like to be something else in HTTP/1, by both doors of real sidecars, to an application behind HTTP/1. */
import assert from "node:assert/strict";
import { after, before, describe, it, type TestContext } from "node:test";

import { CLIENT_PREFACE, Flag, FrameType } from "../../src/protocol/http2/frames.ts";
import { frames, RawPeer } from "../support/http2-peer.ts";
import { startMesh, type TestMesh } from "../support/mesh.ts";
import { rawConnect } from "../support/raw.ts";
import { until } from "../support/until.ts";
import { BackEnd } from "./back-end.ts";
import { type Http2Request, neutralHttp2, refusedHttp2 } from "./http2-requests.ts";

const CANARY = "GET /canary HTTP/1.1\nHost: h\n\n";

let mesh: TestMesh;
let backEnd: BackEnd;

before(async () => {
  backEnd = await BackEnd.open();
  mesh = await startMesh([{ service: "h", workload: "h-1", protocol: "http", applicationPort: backEnd.port }]);
});
after(async () => {
  await mesh.close();
  backEnd.close();
});

async function connect(context: TestContext, door: string): Promise<RawPeer> {
  const inbound = mesh.sidecars.get("h-1")?.addresses.inbound[0];
  const { socket } = await rawConnect(
    context,
    (door === "inbound" ? inbound : mesh.caller.addresses.outbound)?.port ?? 0,
  );
  socket.setNoDelay(true);
  const peer = new RawPeer(socket, false);
  peer.send(Buffer.from(CLIENT_PREFACE), frames.settings(), frames.settingsAck());
  return peer;
}

function send(peer: RawPeer, { fields, body, trailers }: Http2Request): void {
  if (body === undefined) {
    peer.send(frames.headers(1, fields));
    return;
  }
  const data = frames.data(1, Buffer.from(body, "latin1"), trailers === undefined ? Flag.endStream : Flag.none);
  peer.send(frames.headers(1, fields, Flag.endHeaders), data);
  if (trailers !== undefined) peer.send(frames.headers(1, trailers));
}

/** The status of the answer, which is text in a header block of ours. */
async function status(peer: RawPeer): Promise<string | undefined> {
  const fields = peer.fields(await peer.next(FrameType.headers, 1));
  return fields[fields.indexOf(":status") + 1];
}

async function canary(context: TestContext, door: string): Promise<void> {
  const peer = await connect(context, door);
  peer.send(frames.headers(1, [":method", "GET", ":scheme", "http", ":path", "/canary", ":authority", "h"]));
  assert.equal(await status(peer), "200");
  peer.socket.destroy();
}

for (const door of ["inbound", "by Host"]) {
  describe(`requests in HTTP/2 by the door "${door}"`, () => {
    for (const attack of refusedHttp2) {
      it(`refuses ${attack.what}`, async (context) => {
        const peer = await connect(context, door);
        send(peer, attack);
        await until("it is reset", () => peer.of(FrameType.rstStream, 1).length + peer.of(FrameType.goaway).length > 0);
        assert.deepEqual(peer.of(FrameType.headers, 1), [], "there is no answer");
        await until("what had begun is cut", () => backEnd.within === 0);
        await canary(context, door);
        assert.deepEqual(backEnd.take(), [CANARY], "no whole request has arrived");
        peer.socket.destroy();
      });
    }

    for (const attack of neutralHttp2) {
      it(`takes ${attack.what} for what it is`, async (context) => {
        const peer = await connect(context, door);
        send(peer, attack);
        assert.equal(await status(peer), "200");
        await canary(context, door);
        // A Host field becomes :authority between sidecars, and Host again.
        const arrived = backEnd.take().map((request) => request.replace(/^host:/m, "Host:"));
        assert.deepEqual(arrived, [attack.reaches, CANARY]);
        peer.socket.destroy();
      });
    }
  });
}

describe("a client that poses as a sidecar, in HTTP/2 at the outbound listener", () => {
  it("is not obeyed", async (context) => {
    const peer = await connect(context, "by Host");
    const posing = ["heddle-orig-proto", "1.0", "heddle-orig-names", "Host,X", "heddle-unprocessed", "1", "x", "y"];
    peer.send(frames.headers(1, [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "h", ...posing]));
    assert.equal(await status(peer), "200");
    assert.deepEqual(backEnd.take(), ["GET / HTTP/1.1\nHost: h\nx: y\n\n"]);
    peer.socket.destroy();
  });
});
