/**
 * Every case, made for real: a sidecar with the policy that the documents come to, and a caller with the certificate, the
 * address, the token and the request of the case. Whether it gets through, and which document has decided by the metrics.
 */
import assert from "node:assert/strict";
import net from "node:net";
import { describe, it, type TestContext } from "node:test";
import tls from "node:tls";

import { exportJWK, generateKeyPair, SignJWT } from "jose";

import { linkerdName, spiffeId } from "../../src/model/identity.ts";
import { type InboundPolicy, type JwtRule, NO_DOCUMENT } from "../../src/model/inbound-policy.ts";
import { systemClock } from "../../src/net/clock.ts";
import { compilePolicy } from "../../src/policy/policy.ts";
import type { InboundConfig } from "../../src/proxy/config.ts";
import { Traffic } from "../../src/proxy/traffic.ts";
import { exposition } from "../../src/telemetry/exposition.ts";
import { Logger } from "../../src/telemetry/log.ts";
import { startApplication } from "../support/application.ts";
import { startAuthorizer } from "../support/authorizer.ts";
import { makeTestCa, TestCredentials } from "../support/identity.ts";
import { ANY_PORT, sidecar } from "../support/mesh.ts";
import { rawServer } from "../support/raw.ts";
import { AUTHZ_GROUPS } from "./cases/all.ts";
import { type AuthzCall, type AuthzGroup, PRICE, STRANGER } from "./cases/case.ts";
import { policyOf } from "./cases/compile.ts";

/** Calls from addresses that this machine does not have: the engine alone judges them, in `cases.test.ts`. */
const ELSEWHERE_MAX = 3;

const ca = await makeTestCa();
const { privateKey, publicKey } = await generateKeyPair("ES256");
const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "k", alg: "ES256" }] });

/** Who believes the tokens of all cases. */
function believes(issuer: string): JwtRule {
  return {
    origin: NO_DOCUMENT,
    issuer,
    audiences: [],
    jwks,
    jwksUri: "",
    from: [{ in: "header", name: "x-case-token", prefix: "" }],
    forwardOriginalToken: false,
    outputPayloadToHeader: "",
    outputClaimToHeaders: [],
    timeoutMs: 1_000,
  };
}

function issuerOf({ jwt }: AuthzCall): string {
  return typeof jwt?.["iss"] === "string" ? jwt["iss"] : "https://case.example";
}

function isLoopback({ address = "127.0.0.1" }: AuthzCall): boolean {
  return address.startsWith("127.");
}

interface Running {
  /** Of the port and protocol of a call. */
  port(call: AuthzCall): number;
  readonly policy: InboundPolicy;
  readonly serverName: string;
  metrics(): Promise<string>;
  asked(): number;
}

async function start(context: TestContext, group: AuthzGroup): Promise<Running> {
  const target = group.target ?? PRICE;
  const application = await startApplication("price");
  context.after(() => application.close());
  const echo = await rawServer(context, ({ socket }) => socket.pipe(socket));
  const authorizer = await startAuthorizer(context, () => ({ status: { code: 0 } }));
  const compiled = policyOf(group);
  const policy: InboundPolicy = {
    ...compiled,
    providers: compiled.providers.map((one) => ({ ...one, address: authorizer.address, timeoutMs: 10_000 })),
    jwt: [...new Set(group.cases.filter(({ call }) => call.jwt !== undefined).map(({ call }) => issuerOf(call)))].map(
      believes,
    ),
  };
  const keys = [...new Set(group.cases.map(({ call }) => keyOf(call)))];
  const inbound = keys.map((key): InboundConfig => {
    const [port, protocol] = key.split("/");
    return {
      listen: ANY_PORT,
      target: { host: "127.0.0.1", port: protocol === "tcp" ? echo.port : application.port },
      service: target.ports[0]?.service ?? target.name,
      port: Number(port),
      protocol: protocol === "tcp" ? "opaque" : "http",
    };
  });
  const identity = { trustDomain: "cluster.local", namespace: target.namespace, serviceAccount: target.serviceAccount };
  const traffic = await Traffic.open({
    config: sidecar(target.name, { namespace: target.namespace, service: "price", control: ANY_PORT, inbound }),
    clock: systemClock,
    logger: new Logger({ level: "error", format: "plain", sink: { write: () => true } }),
    discovery: {
      watch: () => () => {},
      watchPolicy: (listener) => {
        listener(policy);
        return () => {};
      },
    },
    identity: {
      credentials: new TestCredentials(await ca.credentials(spiffeId(identity))),
      ticketSecret: crypto.getRandomValues(new Uint8Array(32)),
    },
  });
  context.after(() => traffic.close());
  return {
    port: (call) => traffic.addresses.inbound[keys.indexOf(keyOf(call))]?.port ?? 0,
    policy,
    serverName: linkerdName(identity),
    metrics: async () => exposition(await traffic.snapshot()),
    asked: () => authorizer.requests.length,
  };
}

function keyOf({ port = 80, protocol = "http" }: AuthzCall): string {
  return `${port}/${protocol}`;
}

/** What a caller hears until the connection ends; for bytes until they have come back. */
async function hear(context: TestContext, running: Running, call: AuthzCall): Promise<string> {
  const { from, address = "127.0.0.1", protocol = "http" } = call;
  const where = { port: running.port(call), host: "127.0.0.1", localAddress: address };
  const { mode } = compilePolicy(running.policy, call.port ?? 80).tls;
  // Whom discovery tells that a port takes no TLS of the mesh speaks none.
  const credentials = from === "" || mode === "disable" ? undefined : await ca.credentials(from);
  const says = protocol === "tcp" ? "\0bytes" : await requestOf(call);
  return new Promise((resolve) => {
    const socket =
      credentials === undefined
        ? net.connect(where)
        : tls.connect({
            ...where,
            servername: running.serverName,
            key: credentials.key,
            cert: credentials.chain,
            rejectUnauthorized: false,
          });
    context.after(() => socket.destroy());
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (protocol === "tcp" && text === says) socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
    socket.write(says);
  });
}

async function requestOf(call: AuthzCall): Promise<string> {
  const { method = "GET", path = "/", host = "price.shop", headers = [], jwt } = call;
  const fields = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const signed = new SignJWT({ ...jwt, iss: issuerOf(call) }).setProtectedHeader({ alg: "ES256", kid: "k" });
  const token = jwt === undefined ? "" : `x-case-token: ${await signed.sign(privateKey)}\r\n`;
  return `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Length: 0\r\n${fields}${token}\r\n`;
}

/** "allowed Kind/name" for each decision that has been counted. */
function decisions(text: string): Map<string, number> {
  const found = new Map<string, number>();
  const lines = text.matchAll(/^inbound_(?:http|tcp)_authz_(allow|deny)_total\{(.*)\} (\d+)$/gm);
  for (const [, what, labels = "", count] of lines) {
    const kind = /authz_kind="([^"]*)"/.exec(labels)?.[1] ?? "";
    const name = /authz_name="([^"]*)"/.exec(labels)?.[1] ?? "";
    const key = `${what === "allow" ? "allowed" : "denied"} ${kind}/${name}`;
    found.set(key, (found.get(key) ?? 0) + Number(count));
  }
  return found;
}

describe("authorization cases, through a sidecar", () => {
  for (const group of AUTHZ_GROUPS) {
    it(`${group.dialect}: ${group.name}`, async (context) => {
      const running = await start(context, group);
      for (const { name, call, verdict, by, external = [] } of group.cases) {
        if (!isLoopback(call)) continue;
        const before = decisions(await running.metrics());
        const asked = running.asked();
        const heard = await hear(context, running, call);
        if (call.from === STRANGER) {
          // The mesh has one trust domain: TLS refuses who is of another, whatever the rules say.
          assert.equal(heard, "", name);
          continue;
        }
        const passed = heard.startsWith(call.protocol === "tcp" ? "\0bytes" : "HTTP/1.1 200 ");
        assert.equal(passed ? "allowed" : "denied", verdict, `${name}: ${heard}`);
        if (verdict === "denied" && heard !== "")
          assert.match(heard, /^HTTP\/1\.1 403 .*heddle-error: HED1015 /is, name);
        assert.equal(running.asked() - asked, external.length, `${name}: authorizers asked`);
        const after = decisions(await running.metrics());
        const counted = [...after].filter(([key, count]) => count > (before.get(key) ?? 0)).map(([key]) => key);
        const [kind = "", document = ""] = by.split(/\/(.*)/s);
        // Nothing is counted where everybody may do everything, nor of who is refused before a request by TLS itself.
        const silent = by === "default/all-unauthenticated" || (heard === "" && kind === "PeerAuthentication");
        if (!silent || counted.length > 0)
          assert.deepEqual(counted, [`${verdict} ${kind.toLowerCase()}/${document}`], name);
      }
    });
  }

  it("are made for all but a few", () => {
    const elsewhere = AUTHZ_GROUPS.flatMap(({ cases }) => cases).filter(({ call }) => !isLoopback(call));
    assert.ok(elsewhere.length <= ELSEWHERE_MAX, elsewhere.map(({ name }) => name).join(", "));
  });
});
