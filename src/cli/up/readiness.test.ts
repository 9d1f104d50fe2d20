import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { settle } from "../testing/fake-host.ts";
import { networkProbe, whenReady } from "./readiness.ts";

describe("networkProbe", () => {
  let server: Server;
  let address: { host: string; port: number };
  before(async () => {
    server = createServer((request, response) => {
      response.statusCode = request.url === "/ready" ? 204 : 503;
      response.end("text");
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    address = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
  });
  after(() => server.close());

  it("says yes to 2xx, and to a port that accepts", async () => {
    assert.equal(await networkProbe.answers(address, "/ready"), true);
    assert.equal(await networkProbe.accepts(address), true);
  });

  it("says no to another status, and where nobody listens", async () => {
    assert.equal(await networkProbe.answers(address, "/starting"), false);
    assert.equal(await networkProbe.answers({ host: "127.0.0.1", port: 1 }, "/"), false);
    assert.equal(await networkProbe.accepts({ host: "127.0.0.1", port: 1 }), false);
  });
});

describe("whenReady", () => {
  it("asks at longer and longer intervals, at most every 500 ms, until the answer is yes", async () => {
    const clock = new VirtualClock();
    const askedAt: number[] = [];
    const readyAt: number[] = [];
    const ask = (): Promise<boolean> => {
      askedAt.push(clock.now());
      return Promise.resolve(clock.now() > 3_000);
    };
    whenReady(clock, ask, () => readyAt.push(clock.now()));
    while (readyAt.length === 0 && clock.now() < 5_000) {
      await settle();
      clock.advance(10);
    }
    const pauses = askedAt.slice(1).map((at, index) => at - (askedAt[index] ?? 0));
    assert.equal(readyAt.length, 1);
    assert.ok((pauses[0] ?? 0) <= 30 && pauses.every((pause) => pause <= 510), String(pauses));
    assert.equal(clock.pending, 0);
  });

  it("is silent once cancelled, also while a question is open", async () => {
    const clock = new VirtualClock();
    const open = Promise.withResolvers<boolean>();
    const probe = whenReady(
      clock,
      () => open.promise,
      () => assert.fail("was cancelled"),
    );
    probe.cancel();
    open.resolve(true);
    await settle();
    assert.equal(clock.pending, 0);
  });
});
