import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";

import { VirtualClock } from "../../net/virtual-clock.ts";
import { Identity } from "../../xds/gen/heddle/identity/v1/identity_pb.ts";
import { recordingLogger } from "../testing/logger.ts";
import { Authority } from "./authority.ts";
import { CERTIFY_STREAMS_MAX, CertifyService, isNameable } from "./certify-service.ts";
import { makeIssuer, makeRoot } from "./certificates.ts";
import { JoinTokens } from "./join-tokens.ts";
import { Proxies } from "./proxies.ts";

async function setUp() {
  const validity = { notBefore: Date.now(), notAfter: Date.now() + 3_600_000 };
  const root = await makeRoot(validity);
  const issuer = { ...(await makeIssuer(root, validity)), intermediates: [] };
  const clock = new VirtualClock();
  const refused: string[] = [];
  const state = { roots: [root.certificate], issuer, crosses: [], retired: [], goal: undefined };
  const service = new CertifyService({
    authority: new Authority({ trustDomain: "cluster.local", lifetimeMs: 60_000, now: Date.now, state }),
    tokens: new JoinTokens(clock),
    proxies: new Proxies(Date.now),
    clock,
    now: Date.now,
    logger: recordingLogger().logger,
    onRefused: (reason) => refused.push(reason),
    onIssued: () => {},
  });
  const client = createClient(
    Identity,
    createRouterTransport((router) => service.register(router)),
  );
  return { service, client, clock, refused };
}

/** Says nothing until it is aborted. */
function nothing(signal: AbortSignal): AsyncIterable<never> {
  const next = async (): Promise<IteratorResult<never>> => {
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return { done: true, value: undefined };
  };
  return { [Symbol.asyncIterator]: () => ({ next }) };
}

describe("the certificate service", () => {
  it("serves no more than so many streams, and leaves nothing behind when they end", async () => {
    const { service, client, clock, refused } = await setUp();
    const over = new AbortController();
    const open = async (): Promise<void> => {
      const responses = client.certify(nothing(over.signal), { signal: over.signal });
      const first = await responses[Symbol.asyncIterator]().next();
      assert.ok(first.done !== true && first.value.response.case === "challenge");
    };
    for (let count = 0; count < CERTIFY_STREAMS_MAX; count++) await open();
    assert.equal(service.size, CERTIFY_STREAMS_MAX);
    await assert.rejects(open(), (error) => error instanceof ConnectError && error.code === Code.ResourceExhausted);
    assert.deepEqual(refused, ["full"]);
    over.abort();
    service.close();
    assert.equal(clock.pending, 0);
    await assert.rejects(open());
  });

  it("gives names that fit into a certificate", () => {
    const identity = { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "price" };
    assert.ok(isNameable(identity));
    assert.ok(isNameable({ ...identity, namespace: "n".repeat(63), serviceAccount: "s".repeat(63) }));
    assert.ok(
      !isNameable({
        ...identity,
        trustDomain: "d".repeat(140),
        namespace: "n".repeat(63),
        serviceAccount: "s".repeat(63),
      }),
    );
    assert.ok(!isNameable({ ...identity, serviceAccount: "Price" }));
    assert.ok(!isNameable({ ...identity, namespace: "shop/sa/admin" }));
  });
});
