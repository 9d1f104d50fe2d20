/**
 * Every bad or odd answer of a back end, through real sidecars: to a caller at the inbound listener, to one behind two
 * sidecars, and to one whose sidecar speaks to a back end outside the mesh. What a caller gets is never more than its own
 * answer, and the next caller gets nothing of what was left over.
 */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it, type TestContext } from "node:test";

import { AUTHORIZED } from "../support/api-token.ts";
import { startMesh, type TestMesh } from "../support/mesh.ts";
import { type RawPeer, rawConnect } from "../support/raw.ts";
import { until } from "../support/until.ts";
import { BackEnd, type BackEndConnection, plainAnswer } from "./back-end.ts";
import { MessageCutter, type MessageText } from "./http1-messages.ts";
import {
  cutResponses,
  oddResponses,
  refusedResponses,
  surplusResponses,
  truncatedResponses,
} from "./http1-responses.ts";

const CANARY = "HTTP/1.1 200 OK\nX-Target: /canary\nContent-Length: 2\n\nok";

const doors = ["inbound", "two sidecars", "outside the mesh"] as const;
type Door = (typeof doors)[number];

let mesh: TestMesh;
let backEnd: BackEnd;

before(async () => {
  backEnd = await BackEnd.open();
  mesh = await startMesh([{ service: "h", workload: "h-1", protocol: "http", applicationPort: backEnd.port }]);
  const response = await fetch(`http://127.0.0.1:${mesh.control.apiAddress.port}/api/v1/workloads/default/u-1`, {
    method: "PUT",
    headers: { "content-type": "application/json", ...AUTHORIZED },
    body: JSON.stringify({
      labels: {},
      locality: { region: "", zone: "", subZone: "" },
      weight: 1,
      health: "healthy",
      ports: [
        {
          service: "u",
          name: "main",
          port: 80,
          protocol: "http",
          address: "127.0.0.1",
          addressPort: backEnd.port,
          meshed: false,
        },
      ],
      ttlSeconds: 600,
    }),
  });
  assert.ok(response.ok, await response.text());
});
after(async () => {
  await mesh.close();
  backEnd.close();
});
afterEach(() => {
  backEnd.answer = plainAnswer;
  backEnd.onBytes = () => {};
  backEnd.take();
});

/** Sends a request by this door. Not idempotent unless said, so that it is sent once. */
async function ask(context: TestContext, door: Door, target: string, method = "POST", body = ""): Promise<RawPeer> {
  const inbound = mesh.sidecars.get("h-1")?.addresses.inbound[0];
  const client = await rawConnect(context, (door === "inbound" ? inbound : mesh.caller.addresses.outbound)?.port ?? 0);
  const host = door === "outside the mesh" ? "u" : "h";
  const length = method === "POST" ? "Content-Length: 4\r\n" : "";
  client.socket.write(`${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${length}\r\n${body}`);
  return client;
}

/** What has arrived, as messages. @throws Error when a byte of it belongs to none */
function messages({ text }: RawPeer, method: string): MessageText[] {
  const cutter = new MessageCutter((start) => method !== "HEAD" && !/^HTTP\/1\.1 (?:1\d\d|204|304)/.test(start));
  const all = cutter.feed(text);
  assert.equal(cutter.rest, "");
  return all;
}

/** The next caller gets its own answer and nothing else. */
async function canary(context: TestContext, door: Door): Promise<void> {
  backEnd.answer = plainAnswer;
  const client = await ask(context, door, "/canary", "GET");
  await until("the canary is answered", () => client.text.includes("\r\n\r\nok"));
  assert.deepEqual(messages(client, "GET"), [CANARY]);
  client.socket.destroy();
}

/** Makes the back end answer so. @returns the connection that it was asked on, once it was */
function respond(input: string, then: "fin" | "stay" = "stay"): { on: BackEndConnection | undefined } {
  const asked: { on: BackEndConnection | undefined } = { on: undefined };
  backEnd.answer = (_, connection) => {
    asked.on = connection;
    if (then === "fin") setImmediate(() => connection.socket.end());
    return input;
  };
  return asked;
}

async function closed(client: RawPeer): Promise<void> {
  await until("the answer is over", () => client.ended || client.closed !== "");
}

async function refuses(context: TestContext, door: Door, code: string): Promise<void> {
  const client = await ask(context, door, "/attack", "POST", "body");
  await until("it is answered", () => client.text.includes("explain: "));
  const answers = messages(client, "POST").filter((message) => !message.startsWith("HTTP/1.1 103 "));
  assert.equal(answers.length, 1);
  assert.match(answers[0] as string, /^HTTP\/1\.1 502 Bad Gateway\n/);
  assert.match(answers[0] as string, new RegExp(`\\nheddle-error: ${code} .*\\n`));
  const hop = door === "outside the mesh" ? "outbound caller.default" : "inbound h-1.default";
  assert.match(answers[0] as string, new RegExp(`\\nheddle-hop: ${hop}\\n`));
  client.socket.destroy();
}

async function cuts(context: TestContext, door: Door): Promise<void> {
  const client = await ask(context, door, "/attack", "POST", "body");
  await closed(client);
  if (client.text !== "") {
    assert.match(client.text, /^HTTP\/1\.1 200 OK\r\n/);
    assert.throws(() => messages(client, "POST"), "what was begun does not look whole");
  }
  assert.doesNotMatch(client.text, /HTTP\/[^]*HTTP\//);
}

for (const door of doors) {
  describe(`responses by the door "${door}"`, () => {
    for (const [what, input] of refusedResponses) {
      it(`refuses ${what}`, async (context) => {
        const asked = respond(input);
        await refuses(context, door, "HED1007");
        await until("its connection is gone", () => asked.on?.closed !== "");
        await canary(context, door);
      });
    }

    for (const [what, input] of cutResponses) {
      it(`cuts ${what}`, async (context) => {
        const asked = respond(input);
        await cuts(context, door);
        await until("its connection is gone", () => asked.on?.closed !== "");
        await canary(context, door);
      });
    }

    for (const [what, input, gives] of truncatedResponses) {
      it(`gives ${gives === "502" || gives === "cut" ? `a ${gives}` : "the answer"} for ${what} before a FIN`, async (context) => {
        respond(input, "fin");
        if (gives === "502") {
          await refuses(context, door, "HED1006");
        } else if (gives === "cut") {
          await cuts(context, door);
        } else {
          const client = await ask(context, door, "/attack", "POST", "body");
          await until("it has ended", () => client.text.endsWith("0\r\n\r\n"));
          assert.deepEqual(messages(client, "POST"), [gives]);
          client.socket.destroy();
        }
        await canary(context, door);
      });
    }

    for (const { what, input, gives, method = "POST" } of oddResponses) {
      it(`passes on ${what}`, async (context) => {
        respond(input);
        const client = await ask(context, door, "/attack", method, method === "POST" ? "body" : "");
        await arrive(client, method, gives);
        client.socket.destroy();
        await canary(context, door);
      });
    }

    for (const { what, input, gives, surplus, method = "POST" } of surplusResponses) {
      for (const when of ["at once", "later"]) {
        it(`keeps ${what}, sent ${when}, from everybody`, async (context) => {
          const asked = respond(when === "at once" ? input + surplus : input);
          const client = await ask(context, door, "/attack", method, method === "POST" ? "body" : "");
          await arrive(client, method, gives);
          if (when === "later") asked.on?.socket.write(surplus, "latin1");
          await until("that connection is used no more", () => asked.on?.closed !== "");
          await canary(context, door);
          assert.deepEqual(messages(client, method), gives, "nothing came after");
          client.socket.destroy();
        });
      }
    }

    for (const [what, response, given] of [
      [
        "a refusal",
        "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 413 Content Too Large\nContent-Length: 0\n\n",
      ],
      [
        "a response and a second one",
        `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned`,
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
      ],
    ] as const) {
      it(`passes on ${what} that comes before the request has ended, and no connection with half a request is used again`, async (context) => {
        let early: BackEndConnection | undefined;
        backEnd.onBytes = (connection) => {
          if (early !== undefined || !connection.cutter.rest.includes("/attack")) return;
          early = connection;
          connection.socket.write(response);
        };
        const client = await ask(context, door, "/attack", "POST", "bo");
        await until("it is answered", () => client.text.length >= given.length);
        assert.deepEqual(messages(client, "POST"), [given]);
        await until("that connection is used no more", () => early?.closed !== "");
        client.socket.write("dyGET /canary HTTP/1.1\r\nHost: ignored\r\n\r\n");
        await canary(context, door);
        client.socket.destroy();
      });
    }
  });
}

async function arrive(client: RawPeer, method: string, gives: readonly MessageText[]): Promise<void> {
  let arrived: MessageText[] = [];
  await until("the answer has arrived", () => {
    try {
      arrived = messages(client, method);
    } catch {
      arrived = [];
    }
    return arrived.length >= gives.length || client.closed !== "";
  });
  assert.deepEqual(arrived, gives);
}
