/** Policies by identity: two sidecars, mutual TLS in between, rules that name who calls. */
import assert from "node:assert/strict";
import { after, before, describe, it, type TestContext } from "node:test";

import { type InboundPolicy, NO_DOCUMENT, openPolicy, type TextPattern } from "../src/model/inbound-policy.ts";
import { type Application, call, startApplication } from "./support/application.ts";
import { makeTestCa, TestCredentials } from "./support/identity.ts";
import { metricSum } from "./support/mesh.ts";
import { policyOf, rule } from "./support/policed.ts";
import { rawConnect, rawServer } from "./support/raw.ts";
import { CART, PRICE, type Secured, secured, type SecuredOptions } from "./support/secured.ts";
import { until } from "./support/until.ts";

const ca = await makeTestCa();
const price = await ca.credentials(PRICE);
const cart = await ca.credentials(CART);
const CART_ID = 'client_id="cart.shop.serviceaccount.identity.linkerd.cluster.local"';

let application: Application;
before(async () => {
  application = await startApplication("price");
});
after(() => application.close());

function mesh(context: TestContext, over: Partial<SecuredOptions>): Promise<Secured> {
  return secured(context, {
    protocol: "detect",
    applicationPort: application.port,
    caller: new TestCredentials(cart),
    service: new TestCredentials(price),
    ...over,
  });
}

function only(value: string, kind: "exact" | "prefix" | "suffix" = "exact"): InboundPolicy {
  const any: TextPattern[] = [{ kind, value }];
  return policyOf("deny", [rule("allow", "only", { on: "identity", form: "principal", any, not: false })]);
}

function ask({ outboundPort }: Secured): ReturnType<typeof call> {
  return call(`http://127.0.0.1:${outboundPort}`, "price");
}

describe("a policy by identity", () => {
  it("lets in whom it names and no other, whatever else they say", async (context) => {
    const of = await mesh(context, { policy: only("cluster.local/ns/shop/sa/cart") });
    assert.equal((await ask(of)).status, 200);
    of.setPolicy(only("cluster.local/ns/shop/sa/", "prefix"));
    assert.equal((await ask(of)).status, 200);
    of.setPolicy(only("cluster.local/ns/shop/sa/other"));
    const refused = await ask(of);
    assert.equal(refused.status, 403);
    assert.match(refused.body, /cart\.shop is refused by AuthorizationPolicy shop\/otherwise/);
    const line = of.log.find(({ explain }) => explain !== undefined);
    assert.equal(
      line?.["explain"],
      `heddle authz explain --from ${CART} --to price.shop --port 80 --method GET --path /`,
    );
    const metrics = await of.metrics("service");
    assert.equal(metricSum(metrics, "inbound_http_authz_allow_total", 'tls="true"', CART_ID), 2);
    assert.equal(metricSum(metrics, "inbound_http_authz_deny_total", 'tls="true"', CART_ID), 1);
    const stranger = await fetch(`http://127.0.0.1:${of.inboundPort}/`);
    assert.equal(stranger.status, 403);
    assert.match(await stranger.text(), /an unknown caller/);
    assert.equal(metricSum(await of.metrics("service"), "inbound_http_authz_deny_total", 'tls="no_identity"'), 1);
  });

  it("has a rate limit for each identity", async (context) => {
    const { origin } = rule("allow", "slowly");
    const policy = { ...openPolicy, rateLimits: [{ origin, ports: [80], total: 0, identity: 1, overrides: [] }] };
    const of = await mesh(context, { policy });
    assert.equal((await ask(of)).status, 200);
    assert.equal((await ask(of)).status, 429);
    assert.equal((await fetch(`http://127.0.0.1:${of.inboundPort}/`)).status, 200);
    assert.equal((await fetch(`http://127.0.0.1:${of.inboundPort}/`)).status, 429);
    assert.equal(metricSum(await of.metrics("service"), "inbound_http_local_ratelimit_total", CART_ID), 1);
  });

  it("cuts byte streams of those whom it does not name any more", async (context) => {
    const server = await rawServer(context, ({ socket }) => socket.pipe(socket));
    const of = await mesh(context, {
      protocol: "opaque",
      applicationPort: server.port,
      policy: only("cluster.local/ns/shop/sa/cart"),
    });
    const near = await rawConnect(context, of.upstreamPort);
    near.socket.write("hello");
    await until("it is through", () => near.text === "hello");
    of.setPolicy(only("cluster.local/ns/shop/sa/other"));
    await until("both ends are reset", () => near.closed === "ECONNRESET" && server.peers[0]?.closed === "ECONNRESET");
    assert.equal(metricSum(await of.metrics("service"), "inbound_tcp_authz_terminate_total", CART_ID), 1);
  });

  it("cuts byte streams without TLS once that is wanted, and leaves the others", async (context) => {
    const server = await rawServer(context, ({ socket }) => socket.pipe(socket));
    const of = await mesh(context, { protocol: "opaque", applicationPort: server.port });
    const secure = await rawConnect(context, of.upstreamPort);
    const plain = await rawConnect(context, of.inboundPort);
    for (const one of [secure, plain]) {
      one.socket.write("hello");
      await until("it is through", () => one.text === "hello");
    }
    of.setPolicy({ ...openPolicy, tls: { mode: "strict", origin: { ...NO_DOCUMENT, name: "strict" } } });
    await until("the one in plain is reset", () => plain.closed === "ECONNRESET");
    secure.socket.write(" again");
    await until("the other lives", () => secure.text === "hello again");
  });
});
