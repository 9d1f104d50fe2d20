import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { defaultRoute, type Route, type RouteMatch } from "../../model/route.ts";
import type { HeaderList, RequestHead } from "../../protocol/exchange.ts";
import { Router } from "./router.ts";

const ANY: RouteMatch = { path: { kind: "prefix", value: "/" }, method: "", headers: [] };

function route(name: string, match: Partial<RouteMatch>, backends = [{ backend: "a.default:80", weight: 1 }]): Route {
  return { name, match: { ...ANY, ...match }, backends, timeoutMs: 0 };
}

function request(path: string, method = "GET", headers: HeaderList = []): RequestHead {
  return { method, scheme: "http", authority: "a", path, headers, version: "1.1", upgrade: "" };
}

function taken(routes: Route[], head: RequestHead): string | undefined {
  return new Router(routes).match(head)?.route.name;
}

describe("Router", () => {
  it("sends everything to the service itself by default", () => {
    const match = new Router([defaultRoute("a.default:80")]).match(request("/x"));
    assert.equal(match?.pickBackend(Math.random), "a.default:80");
  });

  it("takes the first route that matches", () => {
    const routes = [route("api", { path: { kind: "prefix", value: "/api" } }), route("rest", {})];
    assert.equal(taken(routes, request("/api/1")), "api");
    assert.equal(taken(routes, request("/other")), "rest");
  });

  it("gives byte streams the first route that asks for nothing of a request", () => {
    const routes = [route("posts", { method: "POST" }), route("rest", {}), route("never", {})];
    assert.equal(new Router(routes).forBytes?.route.name, "rest");
    assert.equal(new Router(routes.slice(0, 1)).forBytes, undefined);
  });

  it("matches paths without their query", () => {
    const routes = [route("exact", { path: { kind: "exact", value: "/a" } })];
    assert.equal(taken(routes, request("/a?b=/c")), "exact");
    assert.equal(taken(routes, request("/a/")), undefined);
  });

  it("matches regular expressions against the whole path", () => {
    const routes = [route("id", { path: { kind: "regex", value: "/items/\\d+|/all" } })];
    assert.equal(taken(routes, request("/items/17")), "id");
    assert.equal(taken(routes, request("/items/17/x")), undefined);
    assert.equal(taken(routes, request("/x/all")), undefined);
  });

  it("matches method and headers, whatever the case of their names", () => {
    const routes = [
      route("beta", { method: "POST", headers: [{ name: "x-user", value: { kind: "prefix", value: "beta-" } }] }),
      route("marked", { headers: [{ name: "x-mark", value: undefined }] }),
    ];
    assert.equal(taken(routes, request("/", "POST", ["X-User", "beta-7"])), "beta");
    assert.equal(taken(routes, request("/", "GET", ["X-User", "beta-7"])), undefined);
    assert.equal(taken(routes, request("/", "GET", ["X-MARK", ""])), "marked");
  });

  it("refuses a regular expression that does not compile", () => {
    assert.throws(() => new Router([route("bad", { path: { kind: "regex", value: "(" } })]), SyntaxError);
  });

  it("splits by weight: each backend gets its share of the draws, none without weight gets any", () => {
    const weights = fc.array(fc.nat(1_000), { minLength: 1, maxLength: 6 }).filter((list) => list.some((w) => w > 0));
    fc.assert(
      fc.property(weights, (list) => {
        const backends = list.map((weight, i) => ({ backend: `b${i}.default:80`, weight }));
        const match = new Router([route("split", {}, backends)]).match(request("/"));
        const total = list.reduce((sum, weight) => sum + weight, 0);
        const counts = list.map(() => 0);
        for (let i = 0; i < total; i++) {
          const backend = match?.pickBackend(() => (i + 0.5) / total) as string;
          const at = Number(backend.slice(1, backend.indexOf(".")));
          counts[at] = (counts[at] as number) + 1;
        }
        if (list.length === 1) assert.equal(counts[0], total);
        else assert.deepEqual(counts, list);
      }),
    );
  });
});
