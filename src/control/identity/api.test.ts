import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Hono } from "hono";

import { ApiError } from "../api-error.ts";
import { addIdentityRoutes, IDENTITY_BODY_BYTES_MAX, type IdentityApi } from "./api.ts";

const subject = { namespace: "shop", serviceAccount: "price", workload: "price-1" };

function setUp(over: Partial<IdentityApi> = {}) {
  const app = new Hono();
  const asked: unknown[] = [];
  addIdentityRoutes(app, {
    joinToken: (wanted) => {
      asked.push(wanted);
      return { token: "secret", trustDomain: "mesh.test" };
    },
    rotate: async (what) => {
      asked.push(what);
      return "started";
    },
    status: { trustDomain: "mesh.test" } as IdentityApi["status"],
    ...over,
  });
  app.onError((error, c) =>
    error instanceof ApiError ? c.json(error.body, error.status) : c.text(error.message, 500),
  );
  const post = async (path: string, body: unknown, type = "application/json") => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const response = await app.request(path, { method: "POST", body: text, headers: { "content-type": type } });
    return { status: response.status, body: (await response.json()) as { error?: { code: string; message: string } } };
  };
  return { app, asked, post };
}

describe("the API of certificates", () => {
  it("makes join tokens", async () => {
    const { asked, post } = setUp();
    const { status, body } = await post("/api/v1/join-tokens", subject);
    assert.deepEqual([status, body], [201, { token: "secret", trustDomain: "mesh.test", expiresInSeconds: 600 }]);
    assert.deepEqual(asked, [subject]);
  });

  const bad: Readonly<Record<string, [body: unknown, type: string | undefined, code: string, says: RegExp]>> = {
    "a page's form": [subject, "text/plain", "bad-json", /expected a body of the type application\/json/],
    "no JSON": ["{", undefined, "bad-json", /not JSON/],
    "no object": ["[]", undefined, "bad-fields", /expected an object with/],
    "a missing field": [{ namespace: "shop" }, undefined, "bad-fields", /serviceAccount: .*; workload: /],
    "an unknown field": [{ ...subject, admin: true }, undefined, "bad-fields", /nothing else/],
    "a name that is none": [
      { ...subject, serviceAccount: "a/b" },
      undefined,
      "bad-fields",
      /serviceAccount: expected small/,
    ],
    "a long body": [
      { ...subject, workload: "x".repeat(IDENTITY_BODY_BYTES_MAX) },
      undefined,
      "too-large",
      /4096 bytes/,
    ],
  };
  for (const [name, [body, type, code, says]] of Object.entries(bad)) {
    it(`refuses ${name}`, async () => {
      const { asked, post } = setUp();
      const answer = await post("/api/v1/join-tokens", body, type);
      assert.equal(answer.body.error?.code, code);
      assert.match(answer.body.error?.message ?? "", says);
      assert.deepEqual(asked, []);
    });
  }

  it("says when there are too many tokens, or names do not fit", async () => {
    assert.equal((await setUp({ joinToken: () => "full" }).post("/api/v1/join-tokens", subject)).status, 507);
    assert.equal((await setUp({ joinToken: () => "bad-name" }).post("/api/v1/join-tokens", subject)).status, 422);
  });

  it("begins a rotation, unless there is one or the files are not ours", async () => {
    const { asked, post } = setUp();
    assert.equal((await post("/api/v1/identity/rotation", { what: "issuer" })).status, 202);
    assert.deepEqual(asked, ["issuer"]);
    assert.equal((await post("/api/v1/identity/rotation", { what: "everything" })).status, 422);
    for (const outcome of ["under way", "not ours"] as const) {
      const answer = await setUp({ rotate: async () => outcome }).post("/api/v1/identity/rotation", { what: "all" });
      assert.deepEqual([answer.status, answer.body.error?.code], [409, "conflict"]);
    }
  });
});
