import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, it, type TestContext } from "node:test";
import { pathToFileURL } from "node:url";

import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";

import { type JwtRule, NO_DOCUMENT } from "../../model/inbound-policy.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { JwtGate, type JwtOutcome, REMEMBERED_MAX, TOKEN_LENGTH_MAX, TOKENS_MAX } from "./gate.ts";
import { FRESH_MS, RETRY_MS, RETRY_WITHOUT_MS, STALE_MS } from "./key-set.ts";
import { KEYS_BYTES_MAX } from "./load-keys.ts";

const ISSUER = "https://issuer.example";
const NOW = 1_800_000_000_000;

interface Signer {
  readonly kid: string;
  readonly alg: string;
  readonly key: CryptoKey;
  readonly publicKey: CryptoKey;
  readonly jwk: JWK;
}

async function signer(kid: string, alg = "ES256"): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, key: privateKey, publicKey, jwk: { ...(await exportJWK(publicKey)), kid, alg } };
}

/** From NOW for an hour, unless the claims say otherwise. */
function sign({ key, kid, alg }: Signer, claims: JWTPayload = {}): Promise<string> {
  const now = NOW / 1_000;
  return new SignJWT({ iss: ISSUER, sub: "ann", aud: "shop", iat: now, exp: now + 3_600, ...claims })
    .setProtectedHeader({ alg, kid })
    .sign(key);
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** The public key without its name. */
function bare({ jwk }: Signer): JWK {
  const copy = { ...jwk };
  delete copy.kid;
  return copy;
}

function jwks(...signers: readonly Signer[]): string {
  return JSON.stringify({ keys: signers.map(({ jwk }) => jwk) });
}

function ruleOf(over: Partial<JwtRule>): JwtRule {
  return {
    origin: { ...NO_DOCUMENT, kind: "security.istio.io/v1/RequestAuthentication", name: "tokens" },
    issuer: ISSUER,
    audiences: ["shop"],
    jwks: "",
    jwksUri: "",
    from: [
      { in: "header", name: "authorization", prefix: "Bearer " },
      { in: "query", name: "access_token" },
    ],
    forwardOriginalToken: false,
    outputPayloadToHeader: "",
    outputClaimToHeaders: [],
    timeoutMs: 5_000,
    ...over,
  };
}

interface Rig {
  readonly gate: JwtGate;
  readonly clock: VirtualClock;
  readonly problems: string[];
  /** What the gate says of a token in the Authorization header: "ann", or why not. */
  readonly ask: (token: string) => Promise<string>;
  wall: number;
}

function rig(...rules: readonly JwtRule[]): Rig {
  const clock = new VirtualClock();
  const problems: string[] = [];
  const state: Rig = {
    clock,
    problems,
    wall: NOW,
    gate: new JwtGate(rules, {
      clock,
      wallClock: () => state.wall,
      onKeysFailure: (_, detail) => problems.push(detail),
    }),
    ask: async (token) => said(await state.gate.examine(bearer(token))),
  };
  return state;
}

function bearer(token: string): { path: string; headers: string[] } {
  return { path: "/", headers: ["Authorization", `Bearer ${token}`] };
}

function said(outcome: JwtOutcome): string {
  return "failure" in outcome ? outcome.failure : String(outcome.claims?.["sub"]);
}

describe("tokens", () => {
  let one: Signer;
  let two: Signer;
  before(async () => {
    [one, two] = await Promise.all([signer("one"), signer("two", "RS256")]);
  });

  it("are believed if everything about them is right, and known again without being verified", async () => {
    const { gate, ask } = rig(ruleOf({ jwks: jwks(one, two) }));
    for (const who of [one, two]) {
      const token = await sign(who);
      assert.equal(await ask(token), "ann");
      assert.ok(!(gate.examine(bearer(token)) instanceof Promise));
    }
    const none = gate.examine({ path: "/", headers: ["authorization", "Basic eDp5"] });
    assert.deepEqual(none, { claims: undefined, tokens: [] });
  });

  it("are refused if anything is wrong, with what it is", async () => {
    const stranger = await signer("one");
    const { ask } = rig(ruleOf({ jwks: jwks(one, two) }));
    const seconds = NOW / 1_000;
    const cases: readonly (readonly [string, RegExp])[] = [
      [await sign(stranger), /signature/],
      [await sign(await signer("three")), /none of the issuer's keys/],
      [await sign(one, { exp: seconds - 61 }), /"exp"/],
      [await sign(one, { nbf: seconds + 600 }), /"nbf"/],
      [await sign(one, { aud: "other" }), /"aud"/],
      [await sign(one, { iss: "https://evil.example" }), /nobody here believes its issuer/],
      ["", /no JSON Web Token/],
      ["a.b", /no JSON Web Token/],
      ["a.b.c", /no JSON Web Token/],
      [`${await sign(one)}x`, /./],
    ];
    for (const [token, why] of cases) assert.match(await ask(token), why);
    assert.equal(await ask(await sign(one, { exp: seconds - 59 })), "ann");
    assert.equal(await ask(await sign(one, { nbf: seconds + 59 })), "ann");
  });

  it("are refused without signature, and with one that the public key could have made", async () => {
    const { ask } = rig(ruleOf({ jwks: jwks(two) }));
    const claims = encode({ iss: ISSUER, sub: "eve", aud: "shop", exp: NOW / 1_000 + 60 });
    assert.match(await ask(`${encode({ alg: "none" })}.${claims}.`), /alg/i);
    const pem = new TextEncoder().encode(await exportSPKI(two.publicKey));
    const confused = await new SignJWT({ iss: ISSUER, sub: "eve", aud: "shop" })
      .setProtectedHeader({ alg: "HS256", kid: "two" })
      .sign(pem);
    assert.match(await ask(confused), /alg/i);
  });

  it("are refused unread if they are huge, and if there are several", async () => {
    const { gate } = rig(ruleOf({ jwks: jwks(one) }));
    const huge = `e30.${"a".repeat(10 * 1024 * 1024)}.x`;
    const outcome = gate.examine({ path: `/?access_token=${huge}`, headers: [] });
    assert.ok(!(outcome instanceof Promise));
    assert.match(said(outcome), new RegExp(`has ${huge.length} characters: at most ${TOKEN_LENGTH_MAX}`));
    const twice = gate.examine({ path: "/", headers: ["authorization", "Bearer a", "Authorization", "bearer b"] });
    assert.match(said(await twice), /several tokens/);
    const from = Array.from({ length: TOKENS_MAX + 1 }, (_, i) => ({ in: "cookie" as const, name: `c${i}` }));
    const many = rig(ruleOf({ jwks: jwks(one), from })).gate;
    const cookie = from.map(({ name }) => `${name}=${name}`).join("; ");
    assert.match(said(await many.examine({ path: "/", headers: ["cookie", cookie] })), /more than 4 tokens/);
  });

  it("must all be valid", async () => {
    const { gate } = rig(ruleOf({ jwks: jwks(one) }));
    const token = await sign(one);
    const both = await gate.examine({ path: "/?access_token=bad", headers: ["authorization", `Bearer ${token}`] });
    assert.match(said(both), /no JSON Web Token/);
  });

  it("are not known longer than they are valid", async () => {
    const state = rig(ruleOf({ jwks: jwks(one) }));
    const token = await sign(one, { exp: NOW / 1_000 + 10 });
    assert.equal(await state.ask(token), "ann");
    state.wall = NOW + 69_000;
    assert.ok(!(state.gate.examine(bearer(token)) instanceof Promise));
    state.wall = NOW + 71_000;
    assert.match(await state.ask(token), /"exp"/);
  });

  it("are remembered up to a bound, the newest", async () => {
    const { gate, ask } = rig(ruleOf({ jwks: jwks(one) }));
    const tokens: string[] = [];
    for (let i = 0; i <= REMEMBERED_MAX; i++) tokens.push(await sign(one, { sub: `user-${i}` }));
    for (const token of tokens) await ask(token);
    assert.ok(gate.examine(bearer(tokens[0] as string)) instanceof Promise);
    assert.ok(!(gate.examine(bearer(tokens[1] as string)) instanceof Promise));
  });

  it("without a key id are tried with every key that could be meant", async () => {
    const third = await signer("three");
    const { ask } = rig(ruleOf({ jwks: JSON.stringify({ keys: [bare(one), bare(third)] }) }));
    const now = NOW / 1_000;
    for (const who of [one, third]) {
      const token = await new SignJWT({ iss: ISSUER, sub: "ann", aud: "shop", exp: now + 60 })
        .setProtectedHeader({ alg: "ES256" })
        .sign(who.key);
      assert.equal(await ask(token), "ann");
    }
  });

  it("are taken from where the rule says, and out of the request; claims go where it says, and only from us", async () => {
    const rule = ruleOf({
      jwks: jwks(one),
      from: [
        { in: "header", name: "X-Token", prefix: "" },
        { in: "query", name: "t" },
        { in: "cookie", name: "session" },
      ],
      outputPayloadToHeader: "X-Payload",
      outputClaimToHeaders: [
        { header: "X-User", claim: "sub" },
        { header: "X-City", claim: "address.city" },
        { header: "X-Bad", claim: "bad" },
      ],
    });
    const { gate } = rig(rule);
    const token = await sign(one, { address: { city: "Rome" }, bad: "a\r\nX-Evil: 1" });
    const requests = [
      { path: "/p?a=1", headers: ["x-token", token, "cookie", "a=b"] },
      { path: `/p?t=${token}&a=1`, headers: ["cookie", "a=b"] },
      { path: "/p?a=1", headers: ["cookie", `session=${token}; a=b`] },
    ];
    for (const request of requests) {
      request.headers.push("X-USER", "root", "x-payload", "forged", "X-Bad", "x");
      const outcome = await gate.examine(request);
      assert.ok(!("failure" in outcome), said(outcome));
      gate.apply(outcome, request);
      assert.equal(request.path, "/p?a=1");
      assert.deepEqual(request.headers, [
        ...["cookie", "a=b"],
        ...["X-Payload", token.split(".")[1]],
        ...["X-User", "ann", "X-City", "Rome"],
      ]);
    }
    const without = { path: "/", headers: ["x-user", "root"] };
    const outcome = gate.examine(without);
    assert.ok(!(outcome instanceof Promise) && !("failure" in outcome));
    gate.apply(outcome, without);
    assert.deepEqual(without.headers, []);
    const forwarding = rig({
      ...rule,
      forwardOriginalToken: true,
      outputPayloadToHeader: "",
      outputClaimToHeaders: [],
    });
    const kept = { path: `/?t=${token}`, headers: [] };
    const found = await forwarding.gate.examine(kept);
    assert.ok(!("failure" in found));
    forwarding.gate.apply(found, kept);
    assert.equal(kept.path, `/?t=${token}`);
  });

  it("are refused by rules whose keys are none, at once and by name", () => {
    assert.throws(() => rig(ruleOf({ jwks: "{}" })), /RequestAuthentication tokens: .*no JSON Web Key Set/);
    assert.throws(() => rig(ruleOf({ jwks: "no" })), /RequestAuthentication tokens/);
  });
});

interface KeyServer {
  readonly uri: string;
  text: string | undefined;
  requests: number;
}

/** Answers with `text`, or with 503. */
async function keyServer(context: TestContext, text: string | undefined): Promise<KeyServer> {
  const state: KeyServer = { uri: "", text, requests: 0 };
  const server = http.createServer((_, response) => {
    state.requests++;
    if (state.text === undefined) response.writeHead(503).end();
    else response.end(state.text);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  context.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return Object.assign(state, { uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys` });
}

describe("keys", () => {
  let one: Signer;
  let two: Signer;
  before(async () => {
    [one, two] = await Promise.all([signer("one"), signer("two")]);
  });

  it("are fetched once for many tokens, and again when a token names a new one", async (context) => {
    const server = await keyServer(context, jwks(one));
    const { ask, clock } = rig(ruleOf({ jwksUri: server.uri }));
    const tokens = await Promise.all([1, 2, 3].map((i) => sign(one, { sub: `u${i}` })));
    assert.deepEqual(await Promise.all(tokens.map(ask)), ["u1", "u2", "u3"]);
    assert.equal(server.requests, 1);
    const next = await sign(two);
    server.text = jwks(two);
    assert.match(await ask(next), /none of the issuer's keys/);
    assert.equal(server.requests, 1, "not so soon");
    clock.advance(RETRY_MS);
    assert.equal(await ask(next), "ann");
    assert.equal(server.requests, 2);
    assert.match(
      await ask(tokens[0] as string),
      /none of the issuer's keys/,
      "the old key is gone, and with it its tokens",
    );
    assert.equal(server.requests, 2);
  });

  it("that vanish are believed for an hour, and then nobody is", async (context) => {
    const server = await keyServer(context, jwks(one));
    const { ask, clock, problems } = rig(ruleOf({ jwksUri: server.uri }));
    const token = await sign(one);
    assert.equal(await ask(token), "ann");
    server.text = undefined;
    clock.advance(FRESH_MS + 1);
    assert.equal(await ask(token), "ann");
    clock.advance(STALE_MS - FRESH_MS - 2);
    assert.equal(await ask(await sign(one, { sub: "ben" })), "ben");
    clock.advance(RETRY_MS + 2);
    assert.match(await ask(token), /keys of its issuer cannot be had/);
    assert.match(problems.at(-1) ?? "", /answers 503/);
    server.text = jwks(one);
    clock.advance(RETRY_WITHOUT_MS);
    assert.equal(await ask(token), "ann");
  });

  it("that never were there make every token invalid, and are looked for once a second at most", async (context) => {
    const server = await keyServer(context, undefined);
    const { ask, clock } = rig(ruleOf({ jwksUri: server.uri }));
    const token = await sign(one);
    assert.match(await ask(token), /cannot be had/);
    assert.match(await ask(token), /cannot be had/);
    assert.equal(server.requests, 1);
    server.text = jwks(one);
    clock.advance(RETRY_WITHOUT_MS);
    assert.equal(await ask(token), "ann");
  });

  it("that are too many bytes, no keys or elsewhere are not taken", async (context) => {
    const elsewhere = await keyServer(context, jwks(one));
    const server = http.createServer((request, response) => {
      if (request.url === "/big") response.end(Buffer.alloc(KEYS_BYTES_MAX + 1));
      else if (request.url === "/html") response.end("<html>");
      else response.writeHead(302, { location: elsewhere.uri }).end();
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    context.after(() => {
      server.close();
      server.closeAllConnections();
    });
    const { port } = server.address() as AddressInfo;
    for (const path of ["/big", "/html", "/moved"]) {
      const { ask, problems } = rig(ruleOf({ jwksUri: `http://127.0.0.1:${port}${path}` }));
      assert.match(await ask(await sign(one)), /cannot be had/);
      assert.equal(problems.length, 1, path);
    }
    assert.equal(elsewhere.requests, 0);
  });

  it("may be in a file, which may change", async (context) => {
    const folder = await mkdtemp(join(tmpdir(), "heddle-keys-"));
    context.after(() => rm(folder, { recursive: true }));
    const file = join(folder, "keys.json");
    await writeFile(file, jwks(one));
    const { ask, clock, problems } = rig(ruleOf({ jwksUri: pathToFileURL(file).href }));
    assert.equal(await ask(await sign(one)), "ann");
    await writeFile(file, jwks(two));
    clock.advance(RETRY_MS);
    assert.equal(await ask(await sign(two)), "ann");
    await rm(file);
    clock.advance(RETRY_MS);
    assert.match(await ask(await sign(one)), /none of the issuer's keys/);
    assert.match(problems.at(-1) ?? "", /ENOENT/);
  });
});
