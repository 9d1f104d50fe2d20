import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";

import { VirtualClock } from "../../net/virtual-clock.ts";
import {
  type CertifyRequestSchema,
  type CertifyResponse,
  Identity,
} from "../../xds/gen/heddle/identity/v1/identity_pb.ts";
import { joinProof } from "../../xds/join-token.ts";
import { recordingLogger } from "../testing/logger.ts";
import { Authority } from "./authority.ts";
import { CERTIFY_STREAMS_MAX, CertifyService, isNameable, UNPROVED_STREAMS_MAX } from "./certify-service.ts";
import { makeIssuer, makeRoot } from "./certificates.ts";
import { JoinTokens } from "./join-tokens.ts";
import { Proxies } from "./proxies.ts";

async function setUp() {
  const validity = { notBefore: Date.now(), notAfter: Date.now() + 3_600_000 };
  const root = await makeRoot(validity);
  const issuer = { ...(await makeIssuer(root, validity)), intermediates: [] };
  const clock = new VirtualClock();
  const refused: string[] = [];
  const { logger, lines } = recordingLogger();
  const state = { roots: [root.certificate], issuer, crosses: [], retired: [], goal: undefined };
  const tokens = new JoinTokens(clock);
  const service = new CertifyService({
    authority: new Authority({ trustDomain: "cluster.local", lifetimeMs: 60_000, now: Date.now, state }),
    tokens,
    proxies: new Proxies(Date.now),
    clock,
    now: Date.now,
    logger,
    onRefused: (reason) => refused.push(reason),
    onIssued: () => {},
  });
  const client = createClient(
    Identity,
    createRouterTransport((router) => service.register(router)),
  );
  const token = (): string => {
    const made = tokens.create({ namespace: "shop", serviceAccount: "price", workload: "price-1" });
    return made === undefined ? "" : joinProof(made);
  };
  return { service, client, clock, refused, token, lines };
}

type Request = MessageInitShape<typeof CertifyRequestSchema>;

/** Proves who it is if it has a token, wants no certificate, and says nothing more until the end. */
async function* proof(token: string | undefined, end: Promise<void>): AsyncGenerator<Request> {
  const value = { workload: "price-1", proof: { case: "joinToken", value: token ?? "" } } as const;
  if (token !== undefined) yield { request: { case: "certification", value } };
  await end;
}

describe("the certificate service", () => {
  it("ends the oldest of those that have proved nothing when there are too many", async () => {
    const { service, client, clock, refused, lines } = await setUp();
    const over = Promise.withResolvers<void>();
    const open = async (): Promise<AsyncIterator<CertifyResponse>> => {
      const responses = client.certify(proof(undefined, over.promise))[Symbol.asyncIterator]();
      assert.equal((await responses.next()).done, false);
      return responses;
    };
    const first = await open();
    const second = await open();
    for (let count = 2; count < UNPROVED_STREAMS_MAX; count++) await open();
    assert.deepEqual(refused, []);
    for (const [index, oldest] of [first, second].entries()) {
      await open();
      assert.equal(refused.length, index + 1);
      await assert.rejects(oldest.next(), (error) => ConnectError.from(error).code === Code.ResourceExhausted);
    }
    assert.deepEqual(refused, ["full", "full"]);
    assert.equal(lines.length, 1, "a line each would fill the disk");
    assert.equal(service.size, UNPROVED_STREAMS_MAX);
    over.resolve();
    service.close();
    assert.equal(clock.pending, 0);
  });

  it("serves no more than so many streams, and leaves nothing behind when they end", async () => {
    const { service, client, clock, refused, token } = await setUp();
    const over = Promise.withResolvers<void>();
    const open = async (): Promise<void> => {
      const responses = client.certify(proof(token(), over.promise))[Symbol.asyncIterator]();
      for (const expected of ["challenge", "trust"]) {
        const one = await responses.next();
        assert.ok(one.done !== true && one.value.response.case === expected);
      }
    };
    for (let count = 0; count < CERTIFY_STREAMS_MAX; count++) await open();
    assert.equal(service.size, CERTIFY_STREAMS_MAX);
    await assert.rejects(open(), (error) => error instanceof ConnectError && error.code === Code.ResourceExhausted);
    assert.deepEqual(refused, ["full"]);
    over.resolve();
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
