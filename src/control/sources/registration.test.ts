import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { FIELD_ERRORS_MAX, parseRegistration, parseSocketAddress } from "./registration.ts";
import { registration, registrationBody } from "../testing/registration.ts";

const [port] = registrationBody.ports;

/** `field: message` of everything wrong. */
function errors(body: unknown, namespace = "default", name = "price-1"): string[] {
  const parsed = parseRegistration(namespace, name, body);
  return "errors" in parsed ? parsed.errors.map(({ field, message }) => `${field}: ${message}`) : [];
}

function withPort(more: object): string[] {
  return errors({ ...registrationBody, ports: [{ ...port, ...more }] });
}

/** The protocol that a port registered under this number gets. */
function protocolOf(number: number, protocol?: string): string | undefined {
  const { protocol: _, ...rest } = port as (typeof registrationBody.ports)[number];
  const given = { ...rest, port: number, ...(protocol === undefined ? {} : { protocol }) };
  const parsed = parseRegistration("default", "db-1", { ...registrationBody, ports: [given] });
  return "registration" in parsed ? parsed.registration.ports[0]?.protocol : undefined;
}

function many(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}

describe("parseRegistration", () => {
  it("fills in what may be left out", () => {
    assert.deepEqual(registration("price-1"), {
      name: "price-1",
      namespace: "default",
      serviceAccount: "",
      labels: {},
      locality: { region: "", zone: "", subZone: "" },
      weight: 1,
      health: "healthy",
      ports: [port],
      admin: "",
      outbound: "",
      upstreams: [],
      ttlSeconds: 10,
    });
  });

  it("takes everything", () => {
    const body = {
      serviceAccount: "pricing.batch",
      labels: { version: "v2" },
      locality: { region: "eu", zone: "a", subZone: "1" },
      weight: 5,
      health: "draining",
      ports: [{ ...port, address: "::1", appPort: 8080, serviceAddresses: ["10.78.0.2", "fd77::2:2"] }],
      admin: "127.0.0.1:4191",
      outbound: "[::1]:4140",
      upstreams: [{ authority: "product", address: "127.0.0.1:1" }],
      ttlSeconds: 3_600,
    };
    assert.deepEqual(parseRegistration("shop", "price-1", body), {
      registration: { namespace: "shop", name: "price-1", ...body },
    });
  });

  it("knows a port's protocol by its number, its name or its appProtocol", () => {
    assert.equal(protocolOf(5432), "opaque");
    assert.equal(protocolOf(5432, "detect"), "detect");
    assert.equal(protocolOf(80), "detect");
    assert.equal(protocolOf(80, "linkerd.io/tcp"), "opaque");
    assert.equal(protocolOf(80, "kubernetes.io/h2c"), "http2");
  });

  it("says what is wrong with each field, all at once", () => {
    const label = 'expected a DNS label: small letters, digits and "-", at most 63 characters';
    assert.deepEqual(errors(null), [": expected a JSON object"]);
    assert.deepEqual(errors([]), [": expected a JSON object"]);
    assert.deepEqual(errors(registrationBody, "Bad", "also bad"), [`namespace: ${label}`, `name: ${label}`]);
    assert.deepEqual(errors({}), ["ports: expected a list of ports", "ttlSeconds: expected a whole number, 5 to 3600"]);
    assert.deepEqual(errors({ ...registrationBody, ttlSeconds: 4 }), [
      "ttlSeconds: expected a whole number, 5 to 3600",
    ]);
    assert.deepEqual(errors({ ...registrationBody, ttlSeconds: 3_601 }), [
      "ttlSeconds: expected a whole number, 5 to 3600",
    ]);
    for (const serviceAccount of ["Price", "a..b", "-a", "a/b", "a".repeat(254)]) {
      assert.deepEqual(errors({ ...registrationBody, serviceAccount }), [
        'serviceAccount: expected the name of a service account: small letters, digits, "-" and ".", at most 253 characters',
      ]);
    }
    assert.deepEqual(errors({ ...registrationBody, weight: 0 }), ["weight: expected a whole number, 1 to 4294967295"]);
    assert.deepEqual(errors({ ...registrationBody, health: "ill" }), [
      "health: expected one of healthy, unhealthy, draining",
    ]);
    assert.deepEqual(errors({ ...registrationBody, admin: "localhost:80" }), [
      'admin: expected an address like "127.0.0.1:4191"',
    ]);
    assert.deepEqual(errors({ ...registrationBody, identity: "x" }), [": unknown: identity"]);
    assert.deepEqual(errors({ ...registrationBody, labels: { a: 1 } }), [
      "labels.a: expected text of at most 256 characters",
    ]);
    assert.deepEqual(errors({ ...registrationBody, ports: [port, port] }), ["ports[1].port: price:80 is listed twice"]);
    assert.deepEqual(withPort({ address: "example.org" }), ["ports[0].address: expected an IP address"]);
    assert.deepEqual(withPort({ addressPort: 0 }), ["ports[0].addressPort: expected a whole number, 1 to 65535"]);
    assert.deepEqual(withPort({ service: "a.b" }), [`ports[0].service: ${label}`]);
    assert.deepEqual(withPort({ protocol: "smtp", meshed: 1 }), [
      "ports[0].protocol: expected one of detect, http, http2, grpc, opaque",
      "ports[0].meshed: expected true or false",
    ]);
  });

  it("has bounds", () => {
    const ports = many(65).map((i) => ({ ...port, port: i + 1 }));
    assert.deepEqual(errors({ ...registrationBody, ports: ports.slice(1) }), []);
    assert.deepEqual(errors({ ...registrationBody, ports }), ["ports: expected at most 64 ports"]);
    const labels = Object.fromEntries(many(65).map((i) => [`l${i}`, ""]));
    assert.deepEqual(errors({ ...registrationBody, labels }), ["labels: expected at most 64 labels"]);
    const upstreams = many(257).map((i) => ({ authority: `a${i}`, address: "127.0.0.1:1" }));
    assert.deepEqual(errors({ ...registrationBody, upstreams }), ["upstreams: expected at most 256 upstreams"]);
    assert.equal(errors({ ...registrationBody, ports: many(64) }).length, FIELD_ERRORS_MAX);
  });
});

describe("parseSocketAddress", () => {
  it("takes IP addresses with a port and nothing else", () => {
    assert.deepEqual(parseSocketAddress("127.0.0.1:80"), { host: "127.0.0.1", port: 80 });
    assert.deepEqual(parseSocketAddress("[::1]:65535"), { host: "::1", port: 65_535 });
    for (const bad of [
      "",
      "127.0.0.1",
      "127.0.0.1:0",
      "127.0.0.1:65536",
      "::1:80",
      "[127.0.0.1]:80",
      "a:80",
      "1.2.3:80",
    ]) {
      assert.equal(parseSocketAddress(bad), undefined, bad);
    }
  });
});
