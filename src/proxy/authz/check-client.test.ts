import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { rawServer } from "../../../test/support/raw.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { CheckClient, QUESTIONS_MAX } from "./check-client.ts";

describe("a client of an external authorizer", () => {
  it("lets a bounded number of questions wait, none of them for ever", async (context) => {
    const server = await rawServer(context);
    const clock = new VirtualClock();
    const address = `127.0.0.1:${server.port}`;
    const client = new CheckClient({ name: "opa", address, timeoutMs: 1_000, failOpen: false }, clock);
    context.after(() => client.close());
    const failures: string[] = [];
    for (let i = 0; i < QUESTIONS_MAX + 10; i++) client.ask({}, (_, failure) => failures.push(failure));
    await Promise.resolve();
    assert.deepEqual(new Set(failures), new Set([`${QUESTIONS_MAX} questions wait already`]));
    assert.equal(failures.length, 10);
    clock.advance(1_000);
    await Promise.resolve();
    assert.equal(failures.length, QUESTIONS_MAX + 10);
    assert.equal(failures.at(-1), "no answer within 1000 ms");
    assert.equal(clock.pending, 0);
  });

  it("does not call back who has given up, nor from inside", async (context) => {
    const clock = new VirtualClock();
    const server = await rawServer(context);
    const address = `127.0.0.1:${server.port}`;
    const client = new CheckClient({ name: "opa", address, timeoutMs: 1_000, failOpen: false }, clock);
    let called = 0;
    const giveUp = client.ask({}, () => called++);
    client.ask({}, () => called++);
    giveUp();
    client.close();
    assert.equal(called, 0);
    await Promise.resolve();
    assert.equal(called, 1);
    assert.equal(clock.pending, 0);
  });
});
