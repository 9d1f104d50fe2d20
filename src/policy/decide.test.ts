import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import {
  type Condition,
  DEFAULT_POLICIES,
  type InboundPolicy,
  type Network,
  NO_DOCUMENT,
  openPolicy,
  type PolicyLayer,
  type PolicyRule,
  type TextPattern,
} from "../model/inbound-policy.ts";
import { type Call, UNNAMED_PORT } from "./call.ts";
import { CLAUSES_MAX } from "./compile.ts";
import { compilePolicy, decide } from "./policy.ts";
import { REGEX_TEXT_MAX } from "./text.ts";
import { slowDecide } from "./testing/slow.ts";

const WEB = "spiffe://cluster.local/ns/shop/sa/web";

const call: Call = {
  peer: { identity: WEB, address: "10.1.2.3" },
  port: 80,
  localAddress: "10.9.9.9",
  sni: "",
  request: { method: "GET", path: "/price?x=1", host: "price:80", headers: ["X-Team", "blue"] },
};
const bytes: Call = { ...call, request: undefined };

function origin(name: string): PolicyRule["origin"] {
  return { kind: "test/Rule", namespace: "shop", name, file: "rules.yaml", line: 7 };
}

function rule(action: PolicyRule["action"], name: string, ...conditions: Condition[]): PolicyRule {
  return { action, origin: origin(name), clauses: [conditions] };
}

function layer(rules: readonly PolicyRule[], action: "allow" | "deny" | "audit" = "deny"): PolicyLayer {
  return { dialect: "istio", ports: [], rules, otherwise: { action, origin: origin("otherwise") } };
}

function policy(...layers: PolicyLayer[]): InboundPolicy {
  return { ...openPolicy, layers };
}

function ask(of: InboundPolicy, what: Call = call): ReturnType<typeof decide> {
  return decide(compilePolicy(of, what.port), what);
}

function bad(condition: Condition): void {
  compilePolicy(policy(layer([rule("allow", "bad", condition)])), 80);
}

const path = (...any: TextPattern[]): Condition => ({ on: "path", any, not: false });
const exact = (value: string): TextPattern => ({ kind: "exact", value });

describe("a decision", () => {
  it("is of no concern where nothing is configured", () => {
    assert.equal(compilePolicy(openPolicy, 80).open, true);
    assert.equal(compilePolicy(policy(layer([])), 80).open, false);
    assert.equal(compilePolicy({ ...openPolicy, defaultPolicy: "audit" }, 80).open, false);
    assert.equal(ask(openPolicy).allowed, true);
  });

  it("at a port that no document can name does not know what is said of ports: nobody gets in or by for it", () => {
    const unnamed = { ...call, port: UNNAMED_PORT };
    for (const not of [false, true]) {
      const condition: Condition = { on: "port", any: [80], not };
      assert.equal(ask(policy(layer([rule("allow", "allow", condition)])), unnamed).allowed, false);
      assert.equal(ask(policy(layer([rule("deny", "deny", condition)], "allow")), unnamed).allowed, false);
    }
    assert.equal(ask(policy({ ...layer([]), ports: [80] }), unnamed).allowed, true);
  });

  it("names the document and the line", () => {
    const { reason, origin: by } = ask(policy(layer([rule("deny", "no-web")])));
    assert.equal(reason, "refused by Rule shop/no-web (rules.yaml:7)");
    assert.equal(by.line, 7);
  });

  it("follows the default policy where no layer is", () => {
    const anybody = { ...call, peer: { identity: "", address: "8.8.8.8" } };
    const inside = { ...call, peer: { identity: "", address: "::ffff:10.1.1.1" } };
    const verdicts = DEFAULT_POLICIES.map((defaultPolicy) =>
      [anybody, inside, { ...anybody, peer: { ...anybody.peer, identity: WEB } }, call]
        .map((one) => (ask({ ...openPolicy, defaultPolicy }, one).allowed ? "+" : "-"))
        .join(""),
    );
    assert.deepEqual(verdicts, ["++++", "--++", "---+", "-+-+", "----", "++++"]);
    const { audited, origin: by } = ask({ ...openPolicy, defaultPolicy: "audit" });
    assert.deepEqual(audited, [{ ...NO_DOCUMENT, name: "audit" }]);
    assert.equal(by.name, "audit");
  });

  it("wants TLS of the mesh where that is strict, and takes no identity where there is none", () => {
    const plain = { ...call, peer: { identity: "", address: "10.1.2.3" } };
    const strict: InboundPolicy = { ...openPolicy, tls: { mode: "strict", origin: origin("strict") } };
    assert.equal(ask(strict).allowed, true);
    assert.match(ask(strict, plain).reason, /Rule shop\/strict \(rules.yaml:7\) wants TLS of the mesh/);
    const open80: InboundPolicy = { ...strict, tlsByPort: [{ port: 80, mode: "permissive", origin: origin("port") }] };
    assert.equal(ask(open80, plain).allowed, true);
    assert.equal(ask(open80, { ...plain, port: 81 }).allowed, false);
    const disabled: InboundPolicy = {
      ...policy(layer([rule("allow", "web", { on: "authenticated", value: true })])),
      tls: { mode: "disable", origin: origin("off") },
    };
    assert.equal(ask(disabled).allowed, false);
  });

  it("refuses if one layer does", () => {
    const yes = layer([rule("allow", "yes")]);
    const no = layer([rule("deny", "no")]);
    assert.equal(ask(policy(yes, yes)).allowed, true);
    assert.equal(ask(policy(yes, no)).origin.name, "no");
    assert.equal(ask(policy(no, yes)).allowed, false);
    assert.equal(ask(policy(yes, { ...no, ports: [81] })).allowed, true);
    assert.equal(ask(policy({ ...no, ports: [80] })).allowed, false);
  });

  it("keeps the order of the rules, and a rule without a clause never holds", () => {
    assert.equal(ask(policy(layer([rule("deny", "first"), rule("allow", "second")]))).origin.name, "first");
    assert.equal(ask(policy(layer([rule("allow", "first"), rule("deny", "second")]))).origin.name, "first");
    assert.equal(ask(policy(layer([{ ...rule("allow", "none"), clauses: [] }]))).origin.name, "otherwise");
  });

  it("collects what is audited, on trial and to be asked", () => {
    const asks: PolicyRule = { ...rule("external", "ask"), provider: "opa" };
    const of: InboundPolicy = {
      ...policy(layer([asks, rule("audit", "note"), { ...rule("deny", "trial"), dryRun: true }, rule("allow", "yes")])),
      providers: [{ name: "opa", address: "127.0.0.1:1", timeoutMs: 1, failOpen: false }],
    };
    const { allowed, audited, external } = ask(of);
    assert.deepEqual([allowed, audited.map(({ name }) => name), external], [true, ["note", "trial"], ["opa"]]);
    assert.equal(ask({ ...of, layers: [...of.layers, layer([])] }).external, undefined);
    assert.throws(() => compilePolicy({ ...of, providers: [] }, 80), /shop\/ask.*provider "opa"/);
  });

  it("says what allowing on trial would leave refused", () => {
    const trial = { ...rule("allow", "trial", path(exact("/other"))), dryRun: true };
    assert.deepEqual(ask(policy(layer([trial], "allow"))).audited, [trial.origin]);
    const fits = { ...rule("allow", "fits", path(exact("/price"))), dryRun: true };
    assert.deepEqual(ask(policy(layer([trial, fits], "allow"))).audited, []);
  });

  it("holds what only requests have against byte streams", () => {
    for (const not of [true, false]) {
      const condition: Condition = { on: "header", name: "x-team", any: [exact("red")], not };
      assert.equal(ask(policy(layer([rule("deny", "no", condition)], "allow")), bytes).allowed, false);
      assert.equal(ask(policy(layer([rule("allow", "yes", condition)])), bytes).allowed, false);
    }
  });

  it("takes what is known to be absent for no match", () => {
    const stranger = { ...call, peer: { identity: "", address: "10.1.2.3" } };
    const notBilling: Condition = { on: "identity", form: "service", any: [exact("billing")], not: true };
    assert.equal(ask(policy(layer([rule("allow", "yes", notBilling)])), stranger).allowed, true);
    const noToken: Condition = { on: "jwt-principal", any: [{ kind: "present" }], not: true };
    assert.equal(ask(policy(layer([rule("deny", "no", noToken)], "allow"))).allowed, false);
    const token = { ...call, jwt: { iss: "a", sub: "b" } };
    assert.equal(ask(policy(layer([rule("deny", "no", noToken)], "allow")), token).allowed, true);
  });

  it("knows an identity in all its forms", () => {
    const forms = {
      spiffe: WEB,
      principal: "cluster.local/ns/shop/sa/web",
      linkerd: "web.shop.serviceaccount.identity.linkerd.cluster.local",
      namespace: "shop",
      "service-account": "shop/web",
      "trust-domain": "cluster.local",
      service: "web",
    } as const;
    for (const [form, value] of Object.entries(forms)) {
      const condition = { on: "identity", form, any: [exact(value)], not: false } as Condition;
      assert.equal(ask(policy(layer([rule("allow", form, condition)]))).allowed, true, form);
      const foreign = { ...call, peer: { identity: "spiffe://elsewhere/web", address: "" } };
      assert.equal(ask(policy(layer([rule("allow", form, condition)])), foreign).allowed, false, form);
    }
  });

  it("does not let a path be walked around", () => {
    const closed = policy(
      layer([rule("deny", "admin", path(exact("/admin"), { kind: "prefix", value: "/admin/" }))], "allow"),
    );
    const open = policy(layer([rule("allow", "public", path({ kind: "prefix", value: "/public/" }, exact("/ok")))]));
    const ways = [
      "/admin",
      "//admin",
      "/a/../admin",
      "/./admin",
      "/%61dmin",
      "/%2e/admin",
      "/a/%2E%2e/admin",
      "\\admin",
    ];
    const more = [
      "/admin;a=b",
      "/admin?x",
      "/x%2f..%2fadmin",
      "/a//../admin",
      "/admin/",
      "/admin%2Fx",
      "/admin%00",
      "/a/..;/admin",
    ];
    for (const one of [...ways, ...more]) {
      const request = { method: "GET", path: one, host: "price", headers: [] };
      assert.equal(ask(closed, { ...call, request }).allowed, false, `deny ${one}`);
    }
    const wrong = [
      "/public/../admin",
      "/public/%2e%2e/admin",
      "/public%2f..%2fadmin",
      "/admin/../ok",
      "//ok",
      "/public/..;/x",
      "/x/..%2fok",
    ];
    for (const one of wrong) {
      const request = { method: "GET", path: one, host: "price", headers: [] };
      assert.equal(ask(open, { ...call, request }).allowed, false, `allow ${one}`);
    }
    for (const one of ["/public/a%20b", "/public/", "/public//a", "/ok", "/ok?a=/../b", "/%6fk"]) {
      const request = { method: "GET", path: one, host: "price", headers: [] };
      assert.equal(ask(open, { ...call, request }).allowed, true, `allow ${one}`);
    }
  });

  it("knows hosts without regard to case, port and the root's dot, and methods by their case", () => {
    const host = (value: string): InboundPolicy =>
      policy(layer([rule("allow", "h", { on: "host", any: [exact(value)], not: false })]));
    const named = (name: string): Call => ({ ...call, request: { method: "GET", path: "/", host: name, headers: [] } });
    assert.equal(ask(host("Price"), named("PRICE:8080")).allowed, true);
    assert.equal(ask(host("price"), named("price.:80")).allowed, true);
    assert.equal(ask(host("price:80"), named("price:80")).allowed, true);
    assert.equal(ask(host("price:80"), named("price:81")).allowed, false);
    assert.equal(ask(host("[::1]"), named("[::1]:9")).allowed, true);
    const lower = { ...call, request: { method: "get", path: "/", host: "", headers: [] } };
    assert.equal(
      ask(policy(layer([rule("allow", "m", { on: "method", any: [exact("GET")], not: false })])), lower).allowed,
      false,
    );
  });

  it("refuses what it could not obey, and bounds the work of a call", () => {
    assert.throws(
      () => bad({ on: "source", any: [{ cidr: "10.0.0.0/33", except: [] }], not: false }),
      /shop\/bad.*no network/,
    );
    assert.throws(() => bad(path({ kind: "regex", value: "(a)\\1" })), /shop\/bad.*back-reference/);
    const clauses = Array.from({ length: CLAUSES_MAX + 1 }, () => []);
    assert.throws(() => compilePolicy(policy(layer([{ ...rule("allow", "many"), clauses }])), 80), /at most 20000/);
  });

  it("lets nobody in by an expression on a text that is too long to be tried", () => {
    const regex: Condition = { on: "header", name: "x-team", any: [{ kind: "regex", value: "a*" }], not: false };
    const long = {
      ...call,
      request: { method: "GET", path: "/", host: "", headers: ["x-team", "a".repeat(REGEX_TEXT_MAX + 1)] },
    };
    const fits = { ...call, request: { ...long.request, headers: ["x-team", "a".repeat(REGEX_TEXT_MAX)] } };
    assert.equal(ask(policy(layer([rule("allow", "a", regex)])), long).allowed, false);
    assert.equal(ask(policy(layer([rule("allow", "a", regex)])), fits).allowed, true);
    for (const not of [true, false]) {
      assert.equal(ask(policy(layer([rule("deny", "a", { ...regex, not })], "allow")), long).allowed, false);
    }
  });

  it("is what the rules say, read slowly", () => {
    fc.assert(
      fc.property(policies, calls, (of, what) => {
        const quick = ask(of, what);
        const slow = slowDecide(of, what);
        assert.deepEqual(
          {
            allowed: quick.allowed,
            by: quick.origin.name,
            audited: quick.audited.map(({ name }) => name),
            external: quick.external ?? [],
          },
          slow,
        );
      }),
      { numRuns: 3_000 },
    );
  });
});

const word = fc.constantFrom("web", "shop", "a", "ab", "blue", "/price", "/price/x", "GET", "price", "cluster.local");
const texts: fc.Arbitrary<TextPattern> = fc.oneof(
  fc.record({
    kind: fc.constantFrom("exact" as const, "prefix" as const, "suffix" as const, "contains" as const),
    value: word,
    ignoreCase: fc.boolean(),
  }),
  fc.constant<TextPattern>({ kind: "present" }),
  fc.constantFrom("/p.*", "[a-z]+", "(?:we|b)b?", ".{1,3}").map((value) => ({ kind: "regex" as const, value })),
  fc.constantFrom("/{*}", "/{**}", "/price/{*}", "/{**}/x").map((value) => ({ kind: "template" as const, value })),
);
const addresses = fc.constantFrom("10.1.2.3", "10.200.0.1", "::ffff:10.1.2.9", "fd00::5", "8.8.8.8", "");
const networks: fc.Arbitrary<Network> = fc.record({
  cidr: fc.constantFrom("10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "fd00::/8", "::/0", "10.128.0.0/9"),
  except: fc.array(fc.constantFrom("10.1.2.0/24", "fd00::5", "10.200.0.0/16"), { maxLength: 2 }),
});
const any = fc.array(texts, { maxLength: 3 });
const not = fc.boolean();
const nets = fc.array(networks, { maxLength: 2 });
const conditions: fc.Arbitrary<Condition> = fc.oneof(
  fc.record({ on: fc.constant("authenticated" as const), value: fc.boolean() }),
  fc.record({
    on: fc.constant("identity" as const),
    form: fc.constantFrom(
      "spiffe" as const,
      "principal" as const,
      "linkerd" as const,
      "namespace" as const,
      "service-account" as const,
      "trust-domain" as const,
      "service" as const,
    ),
    any,
    not,
  }),
  fc.record({ on: fc.constantFrom("source" as const, "client" as const, "destination" as const), any: nets, not }),
  fc.record({ on: fc.constant("port" as const), any: fc.array(fc.constantFrom(80, 81), { maxLength: 2 }), not }),
  fc.record({
    on: fc.constantFrom("sni" as const, "method" as const, "path" as const, "host" as const, "jwt-principal" as const),
    any,
    not,
  }),
  fc.record({ on: fc.constant("header" as const), name: fc.constantFrom("x-team", "x-none"), any, not }),
  fc.record({
    on: fc.constant("jwt-claim" as const),
    path: fc.constantFrom("sub", "groups", "none").map((name) => [name]),
    any,
    not,
  }),
);
const rules: fc.Arbitrary<PolicyRule> = fc.record({
  action: fc.constantFrom("allow" as const, "deny" as const, "audit" as const, "external" as const),
  origin: fc.constantFrom("one", "two", "three").map(origin),
  clauses: fc.array(fc.array(conditions, { maxLength: 3 }), { maxLength: 3 }),
  provider: fc.constantFrom("opa", "other"),
  dryRun: fc.boolean(),
});
const policies: fc.Arbitrary<InboundPolicy> = fc.record({
  defaultPolicy: fc.constantFrom(...DEFAULT_POLICIES),
  clusterNetworks: fc.constantFrom(openPolicy.clusterNetworks, ["8.0.0.0/8"]),
  tls: fc.record({
    mode: fc.constantFrom("permissive" as const, "permissive" as const, "strict" as const, "disable" as const),
    origin: fc.constant(origin("tls")),
  }),
  tlsByPort: fc.constantFrom([], [{ port: 81, mode: "strict" as const, origin: origin("tls81") }]),
  layers: fc.array(
    fc.record({
      dialect: fc.constantFrom("linkerd" as const, "istio" as const, "smi" as const, "consul" as const),
      ports: fc.constantFrom([], [80], [81], [80, 81]),
      rules: fc.array(rules, { maxLength: 4 }),
      otherwise: fc.record({
        action: fc.constantFrom("allow" as const, "deny" as const, "audit" as const),
        origin: fc.constant(origin("otherwise")),
      }),
    }),
    { maxLength: 3 },
  ),
  rateLimits: fc.constant([]),
  jwt: fc.constant([]),
  providers: fc.constant(
    ["opa", "other"].map((name) => ({ name, address: "127.0.0.1:1", timeoutMs: 1, failOpen: false })),
  ),
});
const calls: fc.Arbitrary<Call> = fc.record({
  peer: fc.record({
    identity: fc.constantFrom("", WEB, "spiffe://cluster.local/ns/a/sa/ab"),
    address: addresses,
  }),
  port: fc.constantFrom(80, 81),
  localAddress: addresses,
  sni: fc.constantFrom("", "Price", "a"),
  request: fc.option(
    fc.record({
      method: fc.constantFrom("GET", "POST"),
      path: fc.constantFrom("/price", "/price/x?q", "//price", "/a/../price", "/%70rice", "/price%00", "/a"),
      host: fc.constantFrom("price", "PRICE:80", "ab"),
      headers: fc.constantFrom(
        [],
        ["X-Team", "blue"],
        ["x-team", "a", "X-TEAM", "b"],
        ["X-Forwarded-For", "8.8.8.8, 10.1.2.3"],
      ),
    }),
    { nil: undefined },
  ),
  jwt: fc.option(fc.constant({ iss: "a", sub: "web", groups: ["ab", "blue"] }), { nil: undefined }),
});
