/** What is under way when a new policy wants authorizers asked, or tokens: who was not asked before is asked now. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it, type TestContext } from "node:test";

import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { WebSocket, WebSocketServer } from "ws";

import { type InboundPolicy, type JwtRule, NO_DOCUMENT, openPolicy } from "../src/model/inbound-policy.ts";
import { LIVE_QUESTIONS_MAX } from "../src/proxy/authz/external.ts";
import { type Authorizer, startAuthorizer } from "./support/authorizer.ts";
import { metricSum } from "./support/mesh.ts";
import { onPath, type Policed, policedSidecar, policyOf, rule } from "./support/policed.ts";
import { type RawPeer, rawConnect, rawServer } from "./support/raw.ts";
import { until } from "./support/until.ts";

const OK = { status: { code: 0 } };
const DENIED = { status: { code: 7 } };

/** Wants these asked, one after the other; then everything is allowed. */
function asking(authorizers: Readonly<Record<string, { readonly address: string }>>, over = {}): InboundPolicy {
  const names = Object.keys(authorizers);
  const rules = names.map((name) => ({ ...rule("external" as const, `ask-${name}`), provider: name }));
  const providers = Object.entries(authorizers).map(([name, { address }]) => ({
    name,
    address,
    timeoutMs: 2_000,
    failOpen: false,
    ...over,
  }));
  return policyOf("allow", rules, { providers });
}

interface Streams {
  readonly of: Policed;
  readonly callers: readonly RawPeer[];
}

/** Resolves once bytes have passed to and fro. */
async function lives(caller: RawPeer): Promise<void> {
  const length = caller.text.length + 4;
  caller.socket.write("ping");
  await until("it comes back", () => caller.text.length === length);
}

/** Two byte streams through one sidecar. */
async function streams(context: TestContext, policy: InboundPolicy = openPolicy): Promise<Streams> {
  const server = await rawServer(context, ({ socket }) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  const of = await policedSidecar(context, { applicationPort: server.port, protocol: "opaque", policy });
  const callers = [await rawConnect(context, of.port), await rawConnect(context, of.port)];
  for (const caller of callers) await lives(caller);
  return { of, callers };
}

async function terminated(of: Policed, kind: "http" | "tcp"): Promise<number> {
  return metricSum(await of.metrics(), `inbound_${kind}_authz_terminate_total`);
}

describe("byte streams under way", () => {
  it("go on while an authorizer is asked about them, and are cut one by one as it says", async (context) => {
    const { of, callers } = await streams(context);
    let asked = 0;
    const opa = await startAuthorizer(context, () => (asked++ === 0 ? OK : DENIED));
    of.set(asking({ opa }));
    await until("one is cut", () => callers.filter(({ closed }) => closed === "ECONNRESET").length === 1);
    const kept = callers.find(({ closed }) => closed === "") ?? assert.fail();
    await lives(kept);
    assert.equal(opa.requests.length, 2);
    assert.equal(await terminated(of, "tcp"), 1);
    assert.match(of.log.join(""), /cut by a change of the policy.*opa does not consent/);
    // Who has consented is not asked again.
    for (const policy of [openPolicy, asking({ opa }), policyOf("audit", []), asking({ opa })]) of.set(policy);
    await lives(kept);
    assert.equal(opa.requests.length, 2);
    const other = await startAuthorizer(context, () => OK);
    of.set(asking({ opa, other }));
    await until("the new one is asked", () => other.requests.length === 1);
    await lives(kept);
    assert.equal(opa.requests.length, 2);
  });

  it("are cut if the authorizer cannot be asked, unless that is said to be no harm", async (context) => {
    const opa = await startAuthorizer(context, () => OK);
    opa.stop();
    const first = await streams(context);
    first.of.set(asking({ opa }, { timeoutMs: 300 }));
    await until("all are cut", () => first.callers.every(({ closed }) => closed === "ECONNRESET"));
    assert.equal(await terminated(first.of, "tcp"), 2);
    const second = await streams(context);
    second.of.set(asking({ opa }, { timeoutMs: 300, failOpen: true }));
    await until("it was tried", () => second.of.log.filter((line) => line.includes("could not be asked")).length === 2);
    for (const caller of second.callers) await lives(caller);
  });

  it("are asked about anew if the authorizer is replaced before it has answered, and no more if nobody wants it", async (context) => {
    const { of, callers } = await streams(context);
    const slow = await startAuthorizer(context, () => undefined);
    of.set(asking({ opa: slow }));
    await until("it is asked", () => slow.requests.length === 2);
    const quick = await startAuthorizer(context, () => OK);
    of.set(asking({ opa: quick }));
    await until("the other is asked", () => quick.requests.length === 2);
    of.set(asking({ opa: slow, second: slow }));
    await until("the second is asked", () => slow.requests.length === 4);
    of.set(openPolicy);
    for (const caller of callers) await lives(caller);
    assert.equal(await terminated(of, "tcp"), 0);
  });

  it("by the thousand are asked about a few at a time, and meanwhile there is room for what comes", async (context) => {
    const { of, callers } = await streams(context);
    const more = Array.from({ length: 2 * LIVE_QUESTIONS_MAX }, async () => {
      const caller = await rawConnect(context, of.port);
      await lives(caller);
      return caller;
    });
    const all = [...callers, ...(await Promise.all(more))];
    const answers: (() => void)[] = [];
    const opa = await startAuthorizer(context, (_, later) => {
      answers.push(() => later(OK));
      return undefined;
    });
    of.set(asking({ opa }, { timeoutMs: 60_000 }));
    await until("as many as may are asked about", () => opa.requests.length === LIVE_QUESTIONS_MAX, 20_000);
    const late = await rawConnect(context, of.port);
    late.socket.write("ping");
    await until("so is one that has just come", () => opa.requests.length === LIVE_QUESTIONS_MAX + 1);
    answers.at(-1)?.();
    await until("it is let in", () => late.text === "ping");
    assert.equal(opa.requests.length, LIVE_QUESTIONS_MAX + 1);
    for (let answered = 0; answered < all.length + 1; answered++) {
      await until("it is asked", () => answers.length > answered, 20_000);
      answers[answered]?.();
    }
    await until("all were asked about", () => opa.requests.length === all.length + 1, 20_000);
    await Promise.all(all.map(lives));
    assert.equal(await terminated(of, "tcp"), 0);
  });

  it("that still wait for an authorizer are let in when nobody wants it any more, or refused", async (context) => {
    const slow = await startAuthorizer(context, () => undefined);
    const server = await rawServer(context, ({ socket }) => socket.pipe(socket));
    const of = await policedSidecar(context, {
      applicationPort: server.port,
      protocol: "opaque",
      policy: asking({ slow }),
    });
    for (const [policy, outcome] of [
      [policyOf("deny", []), "refused"],
      [openPolicy, "let in"],
    ] as const) {
      of.set(asking({ slow }));
      const before = slow.requests.length;
      const caller = await rawConnect(context, of.port);
      caller.socket.write("hello");
      await until("it is asked about", () => slow.requests.length === before + 1);
      of.set(policy);
      await until(outcome, () => (outcome === "refused" ? caller.closed === "ECONNRESET" : caller.text === "hello"));
    }
    assert.equal(server.peers.length, 1);
  });
});

interface Application {
  readonly port: number;
  readonly responses: http.ServerResponse[];
}

async function application(context: TestContext): Promise<Application> {
  const responses: http.ServerResponse[] = [];
  const server = http.createServer((_, response) => responses.push(response));
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
  await once(server.listen(0, "127.0.0.1"), "listening");
  context.after(() => {
    for (const client of sockets.clients) client.terminate();
    server.close();
    server.closeAllConnections();
  });
  return { port: (server.address() as AddressInfo).port, responses };
}

interface Caller {
  status: number;
  error: string;
  text: string;
  over: string;
}

function ask(context: TestContext, port: number, path: string, headers: http.OutgoingHttpHeaders = {}): Caller {
  const caller: Caller = { status: 0, error: "", text: "", over: "" };
  const request = http.get({ host: "127.0.0.1", port, path, headers, agent: false }, (response) => {
    caller.status = response.statusCode ?? 0;
    caller.error = String(response.headers["heddle-error"] ?? "");
    response.on("data", (chunk: Buffer) => (caller.text += chunk.toString()));
    response.on("end", () => (caller.over ||= "end"));
    response.on("error", (error: Error) => (caller.over ||= error.message));
  });
  request.on("error", (error) => (caller.over ||= error.message));
  context.after(() => request.destroy());
  return caller;
}

function byPath(refused: string): Authorizer["answer"] {
  return ({ attributes }) => (attributes.request.http?.path === refused ? DENIED : OK);
}

describe("requests and tunnels under way", () => {
  it("are asked about with what the request was, and cut or left as they are", async (context) => {
    const app = await application(context);
    const of = await policedSidecar(context, { applicationPort: app.port });
    const kept = ask(context, of.port, "/kept", { "x-team": "a" });
    const cut = ask(context, of.port, "/cut");
    const sockets: WebSocket[] = [];
    for (const path of ["/kept", "/cut"]) {
      const socket = new WebSocket(`ws://127.0.0.1:${of.port}${path}`);
      socket.on("error", () => {});
      context.after(() => socket.terminate());
      await once(socket, "open");
      sockets.push(socket);
    }
    await until("they are there", () => app.responses.length === 2);
    const opa = await startAuthorizer(context, byPath("/cut"));
    of.set(asking({ opa }));
    await until("one is answered", () => cut.over !== "");
    assert.deepEqual([cut.status, cut.error], [403, "HED1018 external_denied"]);
    await until("one socket is closed", () => sockets[1]?.readyState === WebSocket.CLOSED);
    sockets[0]?.send("still here");
    const [data] = (await once(sockets[0] ?? assert.fail(), "message")) as [Buffer];
    assert.equal(data.toString(), "still here");
    for (const response of app.responses) response.end("thanks");
    await until("the other is answered", () => kept.text === "thanks");
    assert.equal(opa.requests.length, 4);
    const fields = opa.requests.map(({ attributes }) => attributes.request.http?.headers["x-team"]);
    assert.ok(fields.includes("a"));
    assert.deepEqual([await terminated(of, "http"), await terminated(of, "tcp")], [1, 1]);
  });

  it("that wait for consent are refused at once by a policy that refuses them, and go on without one that asks", async (context) => {
    const app = await application(context);
    const slow = await startAuthorizer(context, () => undefined);
    const of = await policedSidecar(context, { applicationPort: app.port, policy: asking({ slow }) });
    const callers = [ask(context, of.port, "/kept"), ask(context, of.port, "/refused")];
    await until("they are asked about", () => slow.requests.length === 2);
    const rules = [rule("deny", "refused", onPath("/refused"))];
    of.set(policyOf("allow", rules));
    await until("one is refused", () => callers[1]?.over === "end");
    assert.equal(callers[1]?.error, "HED1015 forbidden");
    await until("the other is through", () => app.responses.length === 1);
    app.responses[0]?.end("thanks");
    await until("and answered", () => callers[0]?.text === "thanks");
  });

  it("that wait are asked about elsewhere when their authorizer is replaced, by all who are wanted then", async (context) => {
    const app = await application(context);
    const slow = await startAuthorizer(context, () => undefined);
    const of = await policedSidecar(context, { applicationPort: app.port, policy: asking({ opa: slow }) });
    const caller = ask(context, of.port, "/");
    await until("it is asked about", () => slow.requests.length === 1);
    const quick = await startAuthorizer(context, () => OK);
    const second = await startAuthorizer(context, () => OK);
    of.set(asking({ opa: quick, second }));
    await until("it is through", () => app.responses.length === 1);
    assert.deepEqual([quick.requests.length, second.requests.length], [1, 1]);
    app.responses[0]?.end("thanks");
    await until("and answered", () => caller.text === "thanks");
  });
});

const ISSUER = "https://issuer.example";

describe("requests with tokens", () => {
  it("are judged again by the claims that they came with, as long as their issuer is believed", async (context) => {
    const { privateKey, publicKey } = await generateKeyPair("ES256");
    const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "k", alg: "ES256" }] });
    const token = async (group: string): Promise<Record<string, string>> => {
      const signer = new SignJWT({ iss: ISSUER, groups: [group] }).setProtectedHeader({ alg: "ES256", kid: "k" });
      return { authorization: `Bearer ${await signer.setExpirationTime("1h").sign(privateKey)}` };
    };
    const jwt: JwtRule = {
      origin: NO_DOCUMENT,
      issuer: ISSUER,
      audiences: [],
      jwks,
      jwksUri: "",
      from: [{ in: "header", name: "authorization", prefix: "Bearer " }],
      forwardOriginalToken: false,
      outputPayloadToHeader: "",
      outputClaimToHeaders: [],
      timeoutMs: 1_000,
    };
    const only = (...groups: string[]): InboundPolicy => {
      const any = groups.map((value) => ({ kind: "exact" as const, value }));
      const allow = rule("allow", "group", { on: "jwt-claim", path: ["groups"], any, not: false });
      return policyOf("deny", [allow], { jwt: [jwt] });
    };
    const app = await application(context);
    const of = await policedSidecar(context, { applicationPort: app.port });
    // It came when nobody wanted to see tokens.
    const early = [ask(context, of.port, "/", await token("staff")), ask(context, of.port, "/", await token("guests"))];
    await until("they are there", () => app.responses.length === 2);
    of.set(only("staff"));
    await until("one is refused", () => early[1]?.status === 403);
    const late = ask(context, of.port, "/", await token("staff"));
    await until("it is there", () => app.responses.length === 3);
    // The same in another file: nobody's claims are worth less for it.
    of.set({
      ...only("staff", "guests"),
      jwt: [{ ...jwt, origin: { ...NO_DOCUMENT, file: "b.yaml" }, audiences: ["a"] }],
    });
    of.set(only("staff"));
    await until("it lives", async () => (await terminated(of, "http")) === 1);
    of.set(only("guests"));
    await until("the others are refused", () => late.status === 403 && early[0]?.status === 403);
    of.set(only("staff"));
    const last = ask(context, of.port, "/", await token("staff"));
    await until("it is there", () => app.responses.length === 4);
    of.set({ ...only("staff"), jwt: [] });
    await until("nobody believes the issuer any more", () => last.status === 403);
    assert.equal(await terminated(of, "http"), 4);
  });

  it("are known by the token that they came with, whatever an authorizer has made of it", async (context) => {
    const { publicKey } = await generateKeyPair("ES256");
    const jwt: JwtRule = {
      origin: NO_DOCUMENT,
      issuer: ISSUER,
      audiences: [],
      jwks: JSON.stringify({ keys: [await exportJWK(publicKey)] }),
      jwksUri: "",
      from: [{ in: "header", name: "authorization", prefix: "Bearer " }],
      forwardOriginalToken: false,
      outputPayloadToHeader: "",
      outputClaimToHeaders: [],
      timeoutMs: 300,
    };
    const app = await application(context);
    const opa = await startAuthorizer(context, () => ({
      ...OK,
      ok_response: { headers_to_remove: ["authorization"] },
    }));
    const of = await policedSidecar(context, { applicationPort: app.port, policy: asking({ opa }) });
    const caller = ask(context, of.port, "/", { authorization: "Bearer forged" });
    await until("it is there", () => app.responses.length === 1);
    of.set({ ...openPolicy, jwt: [jwt] });
    await until("it is refused", () => caller.status === 401);
    assert.equal(caller.error, "HED1016 invalid_token");
  });

  it("that came before anybody looked are refused if their token is not valid, or waits for its keys", async (context) => {
    const keys = await rawServer(context);
    const { privateKey } = await generateKeyPair("ES256");
    const signed = await new SignJWT({ iss: ISSUER })
      .setProtectedHeader({ alg: "ES256", kid: "k" })
      .setExpirationTime("1h")
      .sign(privateKey);
    const jwt: JwtRule = {
      origin: NO_DOCUMENT,
      issuer: ISSUER,
      audiences: [],
      jwks: "",
      jwksUri: `http://127.0.0.1:${keys.port}/`,
      from: [{ in: "header", name: "authorization", prefix: "Bearer " }],
      forwardOriginalToken: false,
      outputPayloadToHeader: "",
      outputClaimToHeaders: [],
      timeoutMs: 300,
    };
    const app = await application(context);
    const of = await policedSidecar(context, { applicationPort: app.port });
    const caller = ask(context, of.port, "/", { authorization: `Bearer ${signed}` });
    const plain = ask(context, of.port, "/");
    await until("they are there", () => app.responses.length === 2);
    of.set({ ...openPolicy, jwt: [jwt] });
    await until("one is refused", () => caller.status === 401);
    assert.equal(caller.error, "HED1016 invalid_token");
    app.responses[1]?.end("thanks");
    app.responses[0]?.end();
    await until("the other is answered", () => plain.text === "thanks");
  });
});
