import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Hono } from "hono";

import { ApiError } from "../api-error.ts";
import type { ExplainRequest, Explanation } from "./explain.ts";
import { authzRoutes, QUESTION_BYTES_MAX } from "./routes.ts";

const answer = { allowed: true, verdicts: [], notes: [] } as unknown as Explanation;

function setUp() {
  const asked: ExplainRequest[] = [];
  const queries: object[] = [];
  const app = new Hono();
  app.route(
    "/authz",
    authzRoutes({
      list: (query) => (queries.push(query), []),
      explain: (request) => (asked.push(request), answer),
      generate: (query) => (queries.push(query), { documents: [], notes: [] }),
    }),
  );
  app.onError((error, c) => (error instanceof ApiError ? c.json(error.body, error.status) : c.text("internal", 500)));
  const explain = async (body: unknown): Promise<{ status: number; said: string }> => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const response = await app.request("/authz/explain", { method: "POST", body: text });
    const json = (await response.json()) as { error?: { message: string } };
    return { status: response.status, said: json.error?.message ?? "" };
  };
  return { app, asked, queries, explain };
}

describe("/api/v1/authz", () => {
  it("takes a question with everything or nearly nothing in it", async () => {
    const { asked, explain } = setUp();
    assert.equal((await explain({ from: "web", to: "price" })).status, 200);
    const whole = {
      from: "spiffe://cluster.local/ns/shop/sa/web",
      to: "price.shop",
      namespace: "shop",
      port: 80,
      method: "GET",
      path: "/",
      host: "price",
      headers: [["x-user", "ann"]],
      claims: { sub: "ann" },
      plaintext: true,
      tcp: false,
      address: "::1",
    };
    assert.equal((await explain(whole)).status, 200);
    const [little, much] = asked;
    assert.deepEqual(
      [little?.namespace, little?.headers, little?.plaintext, little?.tcp],
      ["default", [], false, false],
    );
    assert.deepEqual(much, whole);
  });

  it("says what is wrong with a question", async () => {
    const { explain, asked } = setUp();
    const wrong: [unknown, number, string][] = [
      ["{", 400, "the body is not JSON"],
      [[], 422, "expected a JSON object"],
      [{ to: "price" }, 422, "from: expected a caller"],
      [{ from: "a", to: "b", port: 0 }, 422, "port: expected a port, 1 to 65535"],
      [{ from: "a", to: "b", path: "x" }, 422, 'path: expected a path that begins with "/"'],
      [{ from: "a", to: "b", address: "there" }, 422, "address: expected an IP address"],
      [{ from: "a", to: "b", headers: ["x"] }, 422, "headers.0: "],
      [{ from: "a", to: "b", claims: "token" }, 422, "claims: expected the claims of a token, an object"],
      [{ from: "a", to: "b", form: 1 }, 422, "unknown: form"],
      [{ from: "a", to: "b", host: "x".repeat(QUESTION_BYTES_MAX) }, 413, "the body has more than 262144 bytes"],
    ];
    for (const [body, status, said] of wrong) {
      const got = await explain(body);
      assert.ok(got.status === status && got.said.startsWith(said), `${status} ${said}: ${JSON.stringify(got)}`);
    }
    assert.equal(asked.length, 0);
  });

  it("reads the parameters of list and generate", async () => {
    const { app, queries } = setUp();
    await app.request("/authz?of=price&namespace=shop&window=5m");
    await app.request("/authz");
    await app.request("/authz/generate?window=10m");
    assert.deepEqual(queries, [
      { windowMs: 300_000, of: "price", namespace: "shop" },
      { windowMs: 60_000, of: undefined, namespace: undefined },
      { windowMs: 600_000, namespace: undefined },
    ]);
    assert.equal((await app.request("/authz?by=service")).status, 400);
    assert.equal((await app.request("/authz/generate?window=1h")).status, 400);
  });
});
