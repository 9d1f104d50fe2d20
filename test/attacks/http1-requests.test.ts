/**
 * Every attack on every door of real sidecars: the inbound listener of the callee, and both listeners of the caller, the
 * one that routes by Host and the port of an upstream. A back end that writes down what it receives is the witness.
 */
import assert from "node:assert/strict";
import { after, before, describe, it, type TestContext } from "node:test";

import { startMesh, type TestMesh } from "../support/mesh.ts";
import { type RawPeer, rawConnect } from "../support/raw.ts";
import { until } from "../support/until.ts";
import { BackEnd } from "./back-end.ts";
import { neutralRequests } from "./http1-neutral-requests.ts";
import { refusedBodies, refusedHeads, type RefusedRequest } from "./http1-requests.ts";

/** What an attacker would like to be taken for a request. */
const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
const CANARY = "GET /canary HTTP/1.1\nHost: h\n\n";

const doors = ["inbound", "by Host", "upstream"] as const;
type Door = (typeof doors)[number];

let mesh: TestMesh;
let backEnd: BackEnd;

function portOf(door: Door): number {
  if (door === "inbound") return mesh.sidecars.get("h-1")?.addresses.inbound[0]?.port ?? 0;
  const { outbound, upstreams } = mesh.caller.addresses;
  return (door === "by Host" ? outbound?.port : upstreams[0]?.port) ?? 0;
}

/** An honest request by the same door, whose answer says that all before it has been dealt with. */
async function canary(context: TestContext, door: Door): Promise<void> {
  const client = await rawConnect(context, portOf(door));
  client.socket.write("GET /canary HTTP/1.1\r\nHost: h\r\n\r\n");
  await until("the canary is answered", () => client.text.endsWith("\r\n\r\nok"));
  assert.match(client.text, /^HTTP\/1\.1 200 OK\r\nX-Target: \/canary\r\n/);
  client.socket.destroy();
}

async function refused(context: TestContext, door: Door, attack: RefusedRequest): Promise<RawPeer> {
  const [, status, , input] = attack;
  const client = await rawConnect(context, portOf(door));
  // Behind a head that never ends it would be a part of it.
  client.socket.write(input.includes("\r\n\r\n") ? input + SMUGGLED : input, "latin1");
  await until("the sidecar has closed", () => client.ended || client.closed !== "");
  assert.match(client.text, new RegExp(`^HTTP/1\\.1 ${status} .*\\r\\nheddle-error: HED1010 bad_request\\r\\n`));
  assert.match(client.text, new RegExp(`\\r\\nheddle-hop: ${door === "inbound" ? "inbound h-1" : "outbound caller"}`));
  assert.match(client.text, /\r\nConnection: close\r\n/);
  assert.equal(client.text.match(/^heddle-hop: /gm)?.length, 1, "one answer");
  client.socket.destroy();
  return client;
}

before(async () => {
  backEnd = await BackEnd.open();
  mesh = await startMesh(
    [{ service: "h", workload: "h-1", protocol: "http", applicationPort: backEnd.port }],
    [{ authority: "h", listen: { host: "127.0.0.1", port: 0 } }],
  );
});
after(async () => {
  await mesh.close();
  backEnd.close();
});

it("is a table of at least 150 attacks, each with a name of its own", () => {
  const names = [...refusedHeads, ...refusedBodies]
    .map(([what]) => what)
    .concat(neutralRequests.map((each) => each.what));
  assert.ok(names.length >= 150, `${names.length}`);
  assert.deepEqual(
    names.filter((name, i) => names.indexOf(name) !== i),
    [],
  );
});

for (const door of doors) {
  describe(`requests by the door "${door}"`, () => {
    for (const attack of refusedHeads) {
      it(`refuses ${attack[0]}`, async (context) => {
        await refused(context, door, attack);
        await canary(context, door);
        assert.deepEqual(backEnd.take(), [CANARY], "nothing else has arrived");
        assert.equal(backEnd.within, 0, "not even a beginning");
      });
    }

    for (const attack of refusedBodies) {
      it(`refuses ${attack[0]}`, async (context) => {
        await refused(context, door, attack);
        await until("what had begun is cut", () => backEnd.within === 0);
        await canary(context, door);
        assert.deepEqual(backEnd.take(), [CANARY], "no whole request has arrived");
      });
    }

    for (const { what, input, reaches, byHost } of neutralRequests) {
      it(`takes ${what} for what it is`, async (context) => {
        const client = await rawConnect(context, portOf(door));
        client.socket.write(input, "latin1");
        if (byHost !== undefined && door === "by Host") {
          await until("it is answered", () => client.text.endsWith("\n") && client.text.includes("explain: "));
          assert.match(client.text, new RegExp(`^HTTP/1\\.1 ${byHost} `));
          client.socket.destroy();
          await canary(context, door);
          assert.deepEqual(backEnd.take(), [CANARY]);
          return;
        }
        const answered = (): string[] =>
          [...client.text.matchAll(/^X-Target: (.*)\r$/gm)].map((match) => match[1] as string);
        await until("all are answered", () => answered().length >= reaches.length);
        assert.deepEqual(
          answered(),
          reaches.map((request) => request.split(" ", 2)[1]),
          "in order",
        );
        client.socket.destroy();
        await canary(context, door);
        assert.deepEqual(backEnd.take(), [...reaches, CANARY]);
      });
    }
  });
}
