import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { RecordedResponse, requestHead } from "../../test/support/exchange-recorder.ts";
import type { RequestHead } from "../protocol/exchange.ts";
import { Application } from "./application.ts";
import { packRequest } from "./original.ts";
import { FakeWorld } from "./testing/fake-world.ts";

function rig(head: RequestHead): { world: FakeWorld; response: RecordedResponse } {
  const world = new FakeWorld({ single: true });
  world.update(1);
  const response = new RecordedResponse();
  new Application(world.backend, true).open(head, true, response);
  world.accept();
  return { world, response };
}

/** As HTTP/2 carries it: names in lower case, Host as :authority. */
function carried(head: RequestHead): RequestHead {
  const headers: string[] = [];
  for (let i = 0; i < head.headers.length; i += 2) {
    const name = (head.headers[i] as string).toLowerCase();
    if (name !== "host") headers.push(name, head.headers[i + 1] as string);
  }
  return { ...head, headers };
}

describe("Application", () => {
  it("gets the request as its caller wrote it, and answers in a form that can be restored", () => {
    const head = { ...requestHead("GET", "/", ["Host", "example.test", "X-Mixed", "1"]) };
    const { world, response } = rig(carried(packRequest(head)));
    assert.deepEqual(world.last.head, head);
    world.last.answer(103, false, ["Link", "</a>"]);
    world.last.answer(200, true, ["X-Answer", "1"]);
    assert.ok(response.interim[0]?.headers.includes("heddle-orig-names"));
    assert.ok(response.head?.headers.includes("heddle-orig-names"));
  });

  it("gets what was HTTP/2 from the start as it is", () => {
    const head: RequestHead = { ...requestHead("GET", "/"), version: "2" };
    const { world, response } = rig(head);
    assert.equal(world.last.head, head);
    world.last.answer(200, true, ["x-answer", "1"]);
    assert.deepEqual(response.head?.headers, ["x-answer", "1"]);
  });

  it("cannot say what only a sidecar may say, in any case of letters", () => {
    for (const name of ["heddle-unprocessed", "Heddle-Unprocessed"]) {
      const { world, response } = rig({ ...requestHead("GET", "/"), version: "2" });
      world.last.answer(503, true, [name, "1"]);
      assert.deepEqual(response.head?.headers, []);
    }
  });
});
