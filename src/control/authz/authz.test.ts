import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { compileInboundPolicy } from "../../dialects/compile-inbound.ts";
import { parseResources } from "../../dialects/registry.ts";
import { resourceSet } from "../../dialects/resource-set.ts";
import { defaultPolicySettings } from "../../dialects/target.ts";
import type { DefaultPolicy } from "../../model/inbound-policy.ts";
import { ApiError } from "../api-error.ts";
import { buildMesh } from "../mesh-builder.ts";
import { policyTarget } from "../policies.ts";
import { parseRegistration, type Registration } from "../sources/registration.ts";
import type { SeriesName } from "../stat/series-reader.ts";
import { SeriesTable } from "../stat/series-table.ts";
import { explain, type ExplainRequest } from "./explain.ts";
import { generate } from "./generate.ts";
import { authzRows } from "./list.ts";
import { resolveCaller, type World } from "./resolve.ts";

const ISSUER_NAMES = "serviceaccount.identity.linkerd.cluster.local";
const WINDOW = { windowMs: 60_000, namespace: undefined };

function workload(name: string, service: string, more: object = {}): Registration {
  const port = {
    service,
    name: "http",
    port: 80,
    protocol: "http",
    address: "127.0.0.1",
    addressPort: 1,
    meshed: true,
  };
  const body = { serviceAccount: service, ports: service === "" ? [] : [port], ttlSeconds: 10, ...more };
  const parsed = parseRegistration("default", name, body);
  if ("errors" in parsed) throw new Error(JSON.stringify(parsed.errors));
  return parsed.registration;
}

const keyboard = workload("keyboard", "", { serviceAccount: "keyboard", outbound: "127.0.0.1:4140" });

function world(
  registrations: readonly Registration[],
  text = "",
  certified: World["certified"] = new Map(),
  defaultPolicy: DefaultPolicy = "all-unauthenticated",
): World {
  const parsed = parseResources(text, "policy.yaml");
  const { resources, diagnostics } = resourceSet(parsed.resources);
  assert.deepEqual([...parsed.diagnostics, ...diagnostics], []);
  const policyOf = (one: Registration) =>
    compileInboundPolicy(resources, policyTarget(one), { ...defaultPolicySettings, defaultPolicy });
  const trustDomain = "cluster.local";
  const { mesh } = buildMesh([], registrations, { trustDomain, policyOf: (one) => policyOf(one as Registration) });
  return { mesh, registrations, trustDomain, certified };
}

function count(table: SeriesTable, family: SeriesName, name: string, labels: Record<string, string>): void {
  const source = { workload: name, namespace: "default", service: "" };
  table.add(source, new Map([[family + JSON.stringify(labels), { family, labels, value: 3 }]]), 0, 0);
}

function called(table: SeriesTable, from: string, to: string, tls = "true"): void {
  count(table, "request_total", from, { authority: `${to}.default:80`, tls });
}

function question(more: Partial<ExplainRequest>): ExplainRequest {
  const none = { port: undefined, method: undefined, path: undefined, host: undefined, claims: undefined };
  const rest = { headers: [], plaintext: false, tcp: false, address: undefined };
  return { from: "web", to: "price", namespace: "default", ...none, ...rest, ...more };
}

/** The policy of today as JSON documents, as `heddle authz generate` writes them. */
function applied(registrations: readonly Registration[], documents: readonly object[]): World {
  return world(registrations, documents.map((one) => JSON.stringify(one)).join("\n---\n"));
}

describe("authz generate", () => {
  const registrations = [
    workload("web-1", "web"),
    workload("price-1", "price"),
    workload("price-2", "price"),
    workload("idle-1", "idle"),
    keyboard,
  ];

  it("allows who has called, by identity, and nobody else", () => {
    const table = new SeriesTable();
    called(table, "keyboard", "web");
    called(table, "web-1", "price");
    const { documents, notes } = generate(WINDOW, world(registrations), table, 0);
    const then = applied(registrations, documents);
    const may = (from: string, to: string, more: Partial<ExplainRequest> = {}): boolean =>
      explain(question({ from, to, ...more }), then).allowed;
    const answers = ["web", "price", "idle"].map((to) => ["web", "price", "keyboard"].map((from) => may(from, to)));
    assert.deepEqual(answers, [
      [false, false, true],
      [true, false, false],
      [false, false, false],
    ]);
    assert.equal(may("web", "price", { plaintext: true }), false);
    assert.deepEqual(notes, [
      "nobody called idle.default:80: nobody may",
      "callers without a sidecar are not seen, and are refused",
    ]);
  });

  it("allows by address who had no identity, and says so", () => {
    const table = new SeriesTable();
    called(table, "web-1", "price", "no_identity");
    const { documents, notes } = generate(WINDOW, world(registrations), table, 0);
    const then = applied(registrations, documents);
    assert.equal(explain(question({ from: "127.0.0.1" }), then).allowed, true);
    assert.equal(explain(question({ from: "127.0.0.2" }), then).allowed, false);
    assert.match(notes.join(), /without TLS of the mesh called: web-1\.default/);
  });

  it("allows who is not registered by the identity that its sidecar has proved", () => {
    const table = new SeriesTable();
    called(table, "stray-1", "price");
    const certified = new Map([["default/stray-1", "spiffe://cluster.local/ns/default/sa/stray"]]);
    const { documents, notes } = generate(WINDOW, world(registrations, "", certified), table, 0);
    const then = { ...applied(registrations, documents), certified };
    assert.equal(explain(question({ from: "stray-1" }), then).allowed, true);
    assert.equal(explain(question({ from: "web" }), then).allowed, false);
    assert.doesNotMatch(notes.join(), /not registered/);
  });

  it("writes nothing for who is not registered, and says so, whatever its TLS was", () => {
    const table = new SeriesTable();
    called(table, "stray-1", "price");
    const { documents, notes } = generate(WINDOW, world(registrations), table, 0);
    assert.doesNotMatch(JSON.stringify(documents), /AuthorizationPolicy|NetworkAuthentication/);
    assert.match(notes.join(), /not registered with the control plane: stray-1\.default/);
    assert.doesNotMatch(notes.join(), /without TLS/);
  });

  it("gives nobody what the policy of today refuses", () => {
    const table = new SeriesTable();
    called(table, "web-1", "price");
    called(table, "keyboard", "price");
    const verdict = { srv_port: "80", authz_kind: "server", authz_name: "price" };
    count(table, "inbound_http_authz_deny_total", "price-1", {
      ...verdict,
      client_id: `keyboard.default.${ISSUER_NAMES}`,
    });
    count(table, "inbound_http_authz_deny_total", "price-2", { ...verdict, client_id: `web.default.${ISSUER_NAMES}` });
    count(table, "inbound_http_authz_allow_total", "price-1", { ...verdict, client_id: `web.default.${ISSUER_NAMES}` });
    const { documents } = generate(WINDOW, world(registrations), table, 0);
    const accounts = JSON.stringify(documents).match(/"name":"(web|keyboard)"/g);
    assert.deepEqual(accounts, ['"name":"web"']);
  });

  it("tells workloads apart by more than app if need be, and leaves out what it cannot tell apart", () => {
    const same = { labels: { app: "all", tier: "one" } };
    const others = [
      workload("web-1", "web", same),
      workload("price-1", "price", { labels: { app: "all", tier: "two" } }),
      workload("cart-1", "cart", { labels: { app: "all", tier: "one" } }),
    ];
    const { documents, notes } = generate(WINDOW, world(others), new SeriesTable(), 0);
    assert.match(JSON.stringify(documents), /"matchLabels":\{"app":"all","tier":"two"\}/);
    assert.equal(documents.length, 1);
    assert.equal(notes.filter((note) => note.includes("is left out")).length, 2);
  });

  it("keeps to one namespace, and to what has a sidecar", () => {
    const [port] = workload("x", "legacy").ports;
    const plain = workload("vm", "legacy", { ports: [{ ...port, meshed: false }] });
    const { documents } = generate(
      { ...WINDOW, namespace: "shop" },
      world([...registrations, plain]),
      new SeriesTable(),
      0,
    );
    assert.deepEqual(documents, []);
    const all = generate(WINDOW, world([plain]), new SeriesTable(), 0);
    assert.deepEqual(all, { documents: [], notes: [] });
  });
});

const POLICY = `
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: price }
spec: { podSelector: { matchLabels: { app: price } }, port: 80 }
---
apiVersion: policy.linkerd.io/v1beta1
kind: ServerAuthorization
metadata: { name: callers }
spec:
  server: { name: price }
  client: { meshTLS: { serviceAccounts: [{ name: web }] } }
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: strict }
spec:
  selector: { matchLabels: { app: price } }
  mtls: { mode: STRICT }
`;

describe("authz list", () => {
  const registrations = [
    workload("web-1", "web"),
    workload("price-1", "price"),
    workload("price-2", "price"),
    keyboard,
  ];
  const table = new SeriesTable();
  const verdict = { srv_port: "80", authz_name: "callers", authz_kind: "serverauthorization" };
  count(table, "inbound_http_authz_allow_total", "price-1", verdict);
  count(table, "inbound_tcp_authz_allow_total", "price-2", verdict);
  count(table, "inbound_http_authz_deny_total", "price-2", {
    srv_port: "80",
    authz_name: "price",
    authz_kind: "server",
  });

  const shown = (of: string | undefined): string[] =>
    authzRows({ windowMs: 60_000, of, namespace: undefined }, world(registrations, POLICY), table, 0).map(
      ({ service, action, document, allowed, denied }) =>
        `${service} ${action} ${document.name}:${document.line} ${allowed}/${denied}`,
    );

  it("has each document that is about a port, with what it did in all workloads", () => {
    assert.deepEqual(shown(undefined), [
      "price tls strict strict:14 0/0",
      "price allow callers:7 6/0",
      "price else deny price:2 0/3",
      "web all-unauthenticated all-unauthenticated:0 0/0",
    ]);
  });

  it("has nothing of what no call by the port comes to", () => {
    const text = `apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: price, namespace: default }
spec: { podSelector: {}, port: 80, accessPolicy: all-unauthenticated }
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-admin, namespace: default }
spec: { action: DENY, rules: [{ to: [{ operation: { paths: [/admin] } }] }] }
`;
    const query = { windowMs: 60_000, of: "price", namespace: undefined };
    const rows = authzRows(query, world(registrations, text, new Map(), "deny"), table, 0);
    assert.deepEqual(
      rows.map(({ dialect, action, document }) => `${dialect} ${action} ${document.name}`),
      ["linkerd else allow price", "istio deny no-admin", "istio else allow "],
    );
  });

  it("shows one service or workload, and says who is none", () => {
    assert.equal(shown("price").length, 3);
    assert.equal(shown("web-1").length, 1);
    assert.throws(
      () => shown("prise"),
      (error) => error instanceof ApiError && error.hint === "did you mean price?",
    );
  });
});

describe("authz explain", () => {
  const registrations = [
    workload("web-1", "web"),
    workload("price-1", "price"),
    workload("price-2", "price"),
    keyboard,
  ];
  const here = world(registrations, POLICY);

  it("knows callers by service, workload, service account, SPIFFE id and address", () => {
    const id = "spiffe://cluster.local/ns/default/sa/web";
    for (const name of ["web", "web-1", "web.default", "web-1.default", id]) {
      assert.equal(resolveCaller(name, "default", here).identity, id, name);
    }
    assert.deepEqual(resolveCaller("keyboard", "default", here), {
      name: "keyboard.default",
      identity: "spiffe://cluster.local/ns/default/sa/keyboard",
      address: "127.0.0.1",
    });
    assert.deepEqual(resolveCaller("::1", "default", here), { name: "::1", identity: "", address: "::1" });
    assert.equal(resolveCaller("spiffe://else.where/ns/a/sa/b", "default", here).address, "");
    assert.throws(() => resolveCaller("web", "shop", here), ApiError);
  });

  it("knows sidecars that are not registered by what they have proved, which goes before what is registered", () => {
    const stray = "spiffe://cluster.local/ns/default/sa/stray";
    const other = "spiffe://cluster.local/ns/default/sa/other";
    const certified = new Map([
      ["default/stray-1", stray],
      ["default/web-1", other],
      ["shop/stray-2", stray],
    ]);
    const there = world(registrations, POLICY, certified);
    for (const name of ["stray-1", "stray", "stray-1.default"]) {
      const expected = { name: "stray-1.default", identity: stray, address: "" };
      assert.deepEqual(resolveCaller(name, "default", there), expected, name);
    }
    assert.equal(resolveCaller("stray-2", "shop", there).identity, stray);
    assert.equal(resolveCaller("web-1", "default", there).identity, other);
    assert.throws(() => resolveCaller("stray-2", "default", there), ApiError);
    assert.throws(
      () => resolveCaller("stray-3", "shop", there),
      (error) => error instanceof ApiError && error.hint === "did you mean stray-2?",
    );
  });

  it("gives one verdict for workloads of whom the same is true, and one each where they differ", () => {
    assert.deepEqual(
      explain(question({}), here).verdicts.map(({ workloads }) => workloads),
      [["price-1", "price-2"]],
    );
    const differ = world(
      [...registrations.slice(0, 2), workload("price-2", "price", { labels: { app: "x" } })],
      POLICY,
    );
    const { allowed, verdicts } = explain(question({ from: "127.0.0.1" }), differ);
    assert.equal(allowed, false);
    assert.deepEqual(
      verdicts.map(({ workloads, allowed: may }) => [workloads, may]),
      [
        [["price-1"], false],
        [["price-2"], true],
      ],
    );
  });

  it("says of a refusal by the TLS mode what else would refuse it", () => {
    const [verdict] = explain(question({ plaintext: true }), here).verdicts;
    assert.match(
      verdict?.suggestions.join() ?? "",
      /PeerAuthentication default\/strict .* to PERMISSIVE\. Then it would still/,
    );
  });

  it("knows ports, and says which there are", () => {
    assert.throws(
      () => explain(question({ port: 81 }), here),
      (error) => error instanceof ApiError && error.message === "price has no port 81" && error.hint === "it has 80",
    );
    assert.throws(() => explain(question({ to: "keyboard" }), here), /keyboard has no port/);
  });

  it("says that nothing is enforced where there is no sidecar, and that nobody may call before there is a policy", () => {
    const [port] = workload("x", "legacy").ports;
    const plain = world([...registrations, workload("vm", "legacy", { ports: [{ ...port, meshed: false }] })]);
    const answer = explain(question({ to: "legacy" }), plain);
    assert.deepEqual([answer.allowed, answer.verdicts, answer.notes.length], [true, [], 1]);
    const unknown = { ...here, mesh: { ...here.mesh, inboundPolicies: new Map() } };
    assert.throws(() => explain(question({}), unknown), /there is no policy for price-1 yet/);
  });

  it("takes opaque ports for bytes, unless something of a request is said", () => {
    const [port] = workload("x", "db").ports;
    const db = world([...registrations, workload("db-1", "db", { ports: [{ ...port, protocol: "opaque" }] })]);
    assert.equal(explain(question({ to: "db" }), db).call.request, null);
    assert.deepEqual(explain(question({ to: "db", path: "/x" }), db).call.request, {
      method: "GET",
      path: "/x",
      host: "db.default",
    });
    assert.equal(explain(question({ tcp: true }), db).call.request, null);
  });
});
