import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";

import { type InboundPolicy, NO_DOCUMENT, openPolicy } from "../model/inbound-policy.ts";
import { decodeInboundPolicy } from "./decode-policy.ts";
import { ResourceError } from "./decode.ts";
import { encodeInboundPolicy } from "./encode-policy.ts";
import { type ConditionSchema, InboundPolicySchema } from "./gen/heddle/xds/v1/inbound_policy_pb.ts";
import { arbitraryPolicy } from "./testing/arbitrary-policy.ts";

const NAME = "shop/price-1";
type Init = Extract<MessageInitShape<typeof InboundPolicySchema>, { readonly $typeName?: never }>;

/** What is said about a policy that is open but for this. */
function refusal(change: Init): string {
  const { $typeName: _, ...open } = fromBinary(InboundPolicySchema, encodeInboundPolicy(NAME, openPolicy));
  const changed: Init = { ...open, ...change };
  const bytes = toBinary(InboundPolicySchema, create(InboundPolicySchema, changed));
  try {
    decodeInboundPolicy(bytes);
  } catch (error) {
    assert.ok(error instanceof ResourceError);
    return error.message;
  }
  return "";
}

function ofCondition(condition: MessageInitShape<typeof ConditionSchema>): string {
  const rules = [{ action: "allow", origin: NO_DOCUMENT, clauses: [{ conditions: [condition] }] }];
  return refusal({ layers: [{ dialect: "istio", rules, otherwise: { action: "deny", origin: NO_DOCUMENT } }] });
}

const otherwise = { action: "deny", origin: NO_DOCUMENT };

describe("decodeInboundPolicy", () => {
  it("refuses what could not be obeyed, by the name of the field", () => {
    const origin = NO_DOCUMENT;
    const where = "layers[0].rules[0].clauses[0].conditions[0]";
    const refused: [Init, string][] = [
      [{}, ""],
      [{ name: "price-1" }, 'name: expected namespace/workload, found "price-1"'],
      [{ defaultPolicy: "open" }, "default_policy: expected one of all-unauthenticated, "],
      [{ clusterNetworks: ["10.0.0.0/8", "10.0.0.0/33"] }, 'cluster_networks[1]: no network: "10.0.0.0/33"'],
      [{ clusterNetworks: ["fe80::1%eth0/64"] }, "cluster_networks[0]: no network"],
      [{ clusterNetworks: ["::1/129"] }, "cluster_networks[0]: no network"],
      [{ clusterNetworks: ["10.0.0.0/8/8"] }, "cluster_networks[0]: no network"],
      [{ tls: { mode: "mutual", origin } }, 'tls.mode: expected one of permissive, strict, disable, found "mutual"'],
      [{ tls: { mode: "strict" } }, "tls.origin: missing"],
      [{ tlsByPort: [{ port: 0, tls: { mode: "strict", origin } }] }, "tls_by_port[0].port: not in 1 to 65535: 0"],
      [{ tlsByPort: [{ port: 80 }] }, "tls_by_port[0].tls: missing"],
      [{ layers: [{ dialect: "opa", otherwise }] }, "layers[0].dialect: expected one of linkerd, "],
      [{ layers: [{ dialect: "smi" }] }, "layers[0].otherwise: missing"],
      [{ layers: [{ dialect: "smi", otherwise: { action: "external", origin } }] }, "layers[0].otherwise.action: "],
      [{ layers: [{ dialect: "smi", ports: [65_536], otherwise }] }, "layers[0].ports[0]: not in 1 to 65535"],
      [
        { layers: [{ dialect: "smi", rules: [{ action: "log", origin }], otherwise }] },
        "layers[0].rules[0].action: expected one of allow, deny, audit, external",
      ],
      [
        { layers: [{ dialect: "istio", rules: [{ action: "external", origin, provider: "opa" }], otherwise }] },
        'layers[0].rules[0].provider: none of the providers: "opa"',
      ],
      [{ rateLimits: [{ origin, ports: [0] }] }, "rate_limits[0].ports[0]: not in 1 to 65535"],
      [{ jwt: [{ origin, jwks: "{}", timeout: { seconds: 1n } }] }, "jwt[0].issuer: missing"],
      [{ jwt: [{ origin, issuer: "me" }] }, "jwt[0]: expected exactly one of jwks and jwks_uri"],
      [{ jwt: [{ origin, issuer: "me", jwks: "{}", jwksUri: "x" }] }, "jwt[0]: expected exactly one of"],
      [{ jwt: [{ origin, issuer: "me", jwks: "{}" }] }, "jwt[0].timeout: missing"],
      [{ jwt: [{ origin, issuer: "me", jwks: "{}", from: [{}] }] }, "jwt[0].from[0]: none that Heddle knows"],
      [{ providers: [{ name: "opa" }] }, "providers[0]: name or address missing"],
      [{ providers: [{ name: "opa", address: "opa:1" }] }, "providers[0].timeout: missing"],
    ];
    for (const [change, said] of refused) {
      const message = refusal(change);
      assert.ok(said === "" ? message === "" : message.startsWith(said), `${JSON.stringify(said)}: "${message}"`);
    }
    const any = [{}];
    const conditions: [MessageInitShape<typeof ConditionSchema>, string][] = [
      [{}, ": none that Heddle knows"],
      [{ on: { case: "authenticated", value: true }, not: true }, ".not: "],
      [{ on: { case: "identity", value: { form: "email" } } }, ".form: expected one of spiffe, "],
      [{ on: { case: "path", value: { any } } }, ".any[0]: no pattern that Heddle knows"],
      [
        { on: { case: "path", value: { any: [{ pattern: { case: "regex", value: "a" }, ignoreCase: true }] } } },
        ".any[0].ignore_case: not of regex",
      ],
      [{ on: { case: "header", value: { name: "X-User" } } }, '.name: not lower case: "X-User"'],
      [{ on: { case: "jwtClaim", value: {} } }, ".path: empty"],
      [{ on: { case: "source", value: { any: [{ cidr: "localhost" }] } } }, '.any[0].cidr: no network: "localhost"'],
      [{ on: { case: "client", value: { any: [{ cidr: "::1", except: ["x"] }] } } }, ".any[0].except[0]: no network"],
      [{ on: { case: "port", value: { any: [70_000] } } }, ".any[0]: not in 1 to 65535"],
    ];
    for (const [condition, said] of conditions) {
      const message = ofCondition(condition);
      assert.ok(message.startsWith(`${where}${said}`), `${said}: "${message}"`);
    }
  });

  it("either understands any bytes in full or refuses them with a ResourceError", () => {
    const torn = arbitraryPolicy.chain((policy) => {
      const bytes = encodeInboundPolicy(NAME, policy);
      return fc
        .array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
        .map((changes) => {
          const copy = Uint8Array.from(bytes);
          for (const [at, value] of changes) copy[at] = value;
          return copy;
        });
    });
    fc.assert(
      fc.property(torn, (bytes) => {
        let decoded: { name: string; policy: InboundPolicy };
        try {
          decoded = decodeInboundPolicy(bytes);
        } catch (error) {
          assert.ok(error instanceof ResourceError);
          return;
        }
        const again = decodeInboundPolicy(encodeInboundPolicy(decoded.name, decoded.policy));
        assert.deepStrictEqual(again, decoded);
      }),
    );
  });
});
