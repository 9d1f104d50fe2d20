/**
 * Every case once more, through a real sidecar: documents compiled, sent to it, and calls made over real sockets, with
 * TLS and a certificate of whoever calls. Left out are only calls that cannot be made on one machine of one mesh.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { after, before, describe, it, type TestContext } from "node:test";
import tls from "node:tls";

import { exportJWK, generateKeyPair, SignJWT } from "jose";

import { linkerdName, parseSpiffeId } from "../../src/model/identity.ts";
import { type InboundPolicy, NO_DOCUMENT } from "../../src/model/inbound-policy.ts";
import { systemClock } from "../../src/net/clock.ts";
import { Traffic } from "../../src/proxy/traffic.ts";
import { Logger } from "../../src/telemetry/log.ts";
import { type Application, startApplication } from "../support/application.ts";
import { startAuthorizer } from "../support/authorizer.ts";
import { makeTestCa, type TestCa, TestCredentials } from "../support/identity.ts";
import { ANY_PORT, sidecar } from "../support/mesh.ts";
import { AUTHZ_GROUPS } from "./cases/all.ts";
import type { AuthzCall, AuthzCase } from "./cases/case.ts";
import { policyOf } from "./cases/compile.ts";

const IDENTITY = "spiffe://cluster.local/ns/shop/sa/price";
const NAME = linkerdName(parseSpiffeId(IDENTITY) ?? assert.fail());
/** Of tokens of which a case does not say it. */
const ISSUER = "test";
/** Milliseconds. */
const PATIENCE_MS = 20_000;

/** Addresses outside of loopback are not ours, and who is of another trust domain does not come as far as a policy. */
function canBeMade({ from, address = "127.0.0.1" }: AuthzCall): boolean {
  return address.startsWith("127.") && !from.startsWith("spiffe://other.example/");
}

describe("authorization cases, live", () => {
  let ca: TestCa;
  let http: Application;
  let echo: net.Server;
  let keys: Awaited<ReturnType<typeof generateKeyPair>>;
  let jwks = "";
  before(async () => {
    ca = await makeTestCa();
    http = await startApplication("price");
    echo = net.createServer((socket) => socket.on("error", () => socket.destroy()).pipe(socket));
    echo.listen(0, "127.0.0.1");
    await once(echo, "listening");
    keys = await generateKeyPair("ES256");
    jwks = JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), alg: "ES256", kid: "k" }] });
  });
  after(() => {
    http.close();
    echo.close();
  });

  it("are nearly all", () => {
    const all = AUTHZ_GROUPS.flatMap(({ cases }) => cases);
    const made = all.filter(({ call }) => canBeMade(call)).length;
    assert.ok(made >= all.length * 0.9, `${made} of ${all.length}`);
  });

  for (const group of AUTHZ_GROUPS) {
    const cases = group.cases.filter(({ call }) => canBeMade(call));
    it(`${group.dialect}: ${group.name}`, async (context) => {
      const authorizer = await startAuthorizer(context, () => ({ status: { code: 0 } }));
      const policy = believing(policyOf(group, authorizer.address), cases, jwks);
      const ports = await openSidecar(context, policy);
      for (const { name, call, verdict, by, external = [] } of cases) {
        const asked = authorizer.requests.length;
        const { port = 80, protocol = "http" } = call;
        const socket = await connect(call, ports[`${protocol} ${port}`] ?? assert.fail(`no port ${port}`));
        const answer = await (protocol === "tcp" ? exchangeBytes(socket) : request(socket, call));
        if (verdict === "allowed") assert.match(answer, protocol === "tcp" ? /^ping$/ : /^HTTP\/1\.1 200 /, name);
        // Who does not bring the TLS that is asked for is not heard any further.
        else if (protocol === "tcp" || by.startsWith("PeerAuthentication/")) assert.equal(answer, "", name);
        else {
          const [, document = ""] = by.split("/");
          assert.match(answer, /^HTTP\/1\.1 403 /, name);
          assert.ok(answer.includes(document), `${name}: refused by ${by}, and was told ${answer}`);
        }
        assert.equal(authorizer.requests.length - asked, external.length, name);
      }
    });
  }

  async function openSidecar(context: TestContext, policy: InboundPolicy): Promise<Readonly<Record<string, number>>> {
    const bytesPort = (echo.address() as AddressInfo).port;
    const listeners = [
      { key: "http 80", port: 80, protocol: "http", application: http.port },
      { key: "tcp 80", port: 80, protocol: "opaque", application: bytesPort },
      { key: "tcp 5432", port: 5432, protocol: "opaque", application: bytesPort },
    ] as const;
    const inbound = listeners.map(({ port, protocol, application }) => ({
      listen: ANY_PORT,
      target: { host: "127.0.0.1", port: application },
      service: "price",
      port,
      protocol,
    }));
    const traffic = await Traffic.open({
      clock: systemClock,
      logger: new Logger({ level: "error", format: "json", sink: { write: () => {} } }),
      config: sidecar("price-1", { namespace: "shop", service: "price", control: ANY_PORT, inbound }),
      discovery: {
        watch(_authority, watcher) {
          watcher.onUnknown();
          return () => {};
        },
        watchPolicy(listener) {
          listener(policy);
          return () => {};
        },
      },
      identity: {
        credentials: new TestCredentials(await ca.credentials(IDENTITY)),
        ticketSecret: crypto.getRandomValues(new Uint8Array(32)),
      },
    });
    context.after(() => traffic.close());
    return Object.fromEntries(listeners.map(({ key }, i) => [key, traffic.addresses.inbound[i]?.port ?? 0]));
  }

  /** A socket to the sidecar, with TLS of the mesh if the caller has an identity. */
  async function connect({ from, address = "127.0.0.1" }: AuthzCall, port: number): Promise<net.Socket> {
    const plain = net.connect({ host: "127.0.0.1", port, localAddress: address });
    plain.setTimeout(PATIENCE_MS, () => plain.destroy(new Error("nothing came")));
    await once(plain, "connect");
    if (from === "") return plain;
    const { key, chain, anchors } = await ca.credentials(from);
    const secure = tls.connect({
      socket: plain,
      servername: NAME,
      key,
      cert: chain,
      ca: anchors,
      checkServerIdentity: () => undefined,
    });
    await once(secure, "secureConnect");
    return secure;
  }

  async function request(socket: net.Socket, call: AuthzCall): Promise<string> {
    const { method = "GET", path = "/", host = "price.shop", headers = [], jwt } = call;
    const fields = [`Host: ${host}`, "Connection: close", ...headers.map(([name, value]) => `${name}: ${value}`)];
    if (jwt !== undefined) {
      const token = new SignJWT({ iss: ISSUER, ...jwt }).setProtectedHeader({ alg: "ES256", kid: "k" });
      fields.push(`Authorization: Bearer ${await token.setExpirationTime("1h").sign(keys.privateKey)}`);
    }
    socket.write(`${method} ${path} HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\n`);
    return readAll(socket);
  }
});

async function exchangeBytes(socket: net.Socket): Promise<string> {
  socket.end("ping");
  return readAll(socket);
}

/** All that comes before the end, however the connection ends. */
function readAll(socket: net.Socket): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  socket.on("error", () => socket.destroy());
  socket.on("close", () => resolve(text));
  socket.on("end", () => socket.destroy());
  return promise;
}

/** The policy, with tokens of all issuers that cases have, signed by one key. */
function believing(policy: InboundPolicy, cases: readonly AuthzCase[], jwks: string): InboundPolicy {
  const issuers = new Set([
    ISSUER,
    ...cases.map(({ call: { jwt } }) => (typeof jwt?.["iss"] === "string" ? jwt["iss"] : ISSUER)),
  ]);
  const base = {
    origin: NO_DOCUMENT,
    audiences: [],
    jwks,
    jwksUri: "",
    from: [{ in: "header" as const, name: "authorization", prefix: "Bearer " }],
    forwardOriginalToken: false,
    outputPayloadToHeader: "",
    outputClaimToHeaders: [],
    timeoutMs: 1_000,
  };
  return { ...policy, jwt: [...policy.jwt, ...[...issuers].map((issuer) => ({ ...base, issuer }))] };
}
