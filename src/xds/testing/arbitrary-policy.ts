/** Random policies for property tests: every kind of rule, condition and pattern. */
import * as fc from "fast-check";

import {
  type Clause,
  type Condition,
  DEFAULT_POLICIES,
  type ExternalAuthorizer,
  type InboundPolicy,
  type JwtLocation,
  type JwtRule,
  type Network,
  type Origin,
  type PolicyLayer,
  type PolicyRule,
  type RateLimit,
  type TextPattern,
  type TlsMode,
} from "../../model/inbound-policy.ts";
import { record } from "./arbitraries.ts";

const UINT32_MAX = 0xffff_ffff;

const text = fc.string({ unit: "grapheme", maxLength: 12 });
const named = fc.string({ minLength: 1, maxLength: 8 });
const port = fc.integer({ min: 1, max: 65_535 });
const rate = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: UINT32_MAX }));
const milliseconds = fc.oneof(fc.nat(10_000), fc.constant(86_400_000));

function several<Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value[]> {
  return fc.array(value, { maxLength: 3 });
}

const origin: fc.Arbitrary<Origin> = record({ kind: text, namespace: text, name: text, file: text, line: fc.nat(1e6) });

function cased(kind: "exact" | "prefix" | "suffix" | "contains"): fc.Arbitrary<TextPattern> {
  return fc.oneof(
    record({ kind: fc.constant(kind), value: text }),
    record({ kind: fc.constant(kind), value: text, ignoreCase: fc.boolean() }),
  );
}

const pattern: fc.Arbitrary<TextPattern> = fc.oneof(
  cased("exact"),
  cased("prefix"),
  cased("suffix"),
  cased("contains"),
  fc.constant<TextPattern>({ kind: "present" }),
  record({ kind: fc.constantFrom("regex", "template"), value: text }),
);

const cidr = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.tuple(fc.ipV4(), fc.nat(32)).map(([address, prefix]) => `${address}/${prefix}`),
  fc.tuple(fc.ipV6(), fc.nat(128)).map(([address, prefix]) => `${address}/${prefix}`),
);
const network: fc.Arbitrary<Network> = record({ cidr, except: several(cidr) });

const any = several(pattern);
const not = fc.boolean();

const condition: fc.Arbitrary<Condition> = fc.oneof(
  record({ on: fc.constant("authenticated"), value: fc.boolean() }),
  record({
    on: fc.constant("identity"),
    form: fc.constantFrom("spiffe", "principal", "linkerd", "namespace", "service-account", "trust-domain", "service"),
    any,
    not,
  }),
  record({ on: fc.constantFrom("source", "client", "destination"), any: several(network), not }),
  record({ on: fc.constant("port"), any: several(port), not }),
  record({ on: fc.constantFrom("sni", "method", "path", "host", "jwt-principal"), any, not }),
  record({ on: fc.constant("header"), name: fc.stringMatching(/^[a-z0-9-]{1,12}$/), any, not }),
  record({
    on: fc.constant("jwt-claim"),
    path: fc.array(text, { minLength: 1, maxLength: 3 }),
    any,
    not,
  }),
);

const clauses: fc.Arbitrary<Clause[]> = several(several(condition));

function rule(providers: readonly ExternalAuthorizer[]): fc.Arbitrary<PolicyRule> {
  const plain = { action: fc.constantFrom("allow", "deny", "audit"), origin, clauses } as const;
  const rules: fc.Arbitrary<PolicyRule>[] = [record(plain), record({ ...plain, dryRun: fc.boolean() })];
  if (providers.length > 0) {
    const provider = fc.constantFrom(...providers.map(({ name }) => name));
    rules.push(record({ ...plain, action: fc.constant("external"), provider }));
  }
  return fc.oneof(...rules);
}

function layer(providers: readonly ExternalAuthorizer[]): fc.Arbitrary<PolicyLayer> {
  return record<PolicyLayer>({
    dialect: fc.constantFrom("linkerd", "istio", "smi", "consul"),
    ports: several(port),
    rules: several(rule(providers)),
    otherwise: record({ action: fc.constantFrom("allow", "deny", "audit"), origin }),
  });
}

const rateLimit: fc.Arbitrary<RateLimit> = record({
  origin,
  ports: several(port),
  total: rate,
  identity: rate,
  overrides: several(record({ requestsPerSecond: rate, identities: any })),
});

const location: fc.Arbitrary<JwtLocation> = fc.oneof(
  record({ in: fc.constant("header"), name: text, prefix: text }),
  record({ in: fc.constantFrom("query", "cookie"), name: text }),
);

const jwt: fc.Arbitrary<JwtRule> = fc.tuple(named, fc.boolean()).chain(([keys, inline]) =>
  record<JwtRule>({
    origin,
    issuer: named,
    audiences: several(text),
    jwks: fc.constant(inline ? keys : ""),
    jwksUri: fc.constant(inline ? "" : keys),
    from: several(location),
    forwardOriginalToken: fc.boolean(),
    outputPayloadToHeader: text,
    outputClaimToHeaders: several(record({ header: text, claim: text })),
    timeoutMs: milliseconds,
  }),
);

const providerLists: fc.Arbitrary<ExternalAuthorizer[]> = fc.uniqueArray(
  record({ name: named, address: named, timeoutMs: milliseconds, failOpen: fc.boolean() }),
  { maxLength: 3, selector: ({ name }) => name },
);

const mode = fc.constantFrom<TlsMode>("permissive", "strict", "disable");

export const arbitraryPolicy: fc.Arbitrary<InboundPolicy> = providerLists.chain((providers) =>
  record<InboundPolicy>({
    defaultPolicy: fc.constantFrom(...DEFAULT_POLICIES),
    clusterNetworks: several(cidr),
    tls: record({ mode, origin }),
    tlsByPort: several(record({ port, mode, origin })),
    layers: several(layer(providers)),
    rateLimits: several(rateLimit),
    jwt: several(jwt),
    providers: fc.constant(providers),
  }),
);
