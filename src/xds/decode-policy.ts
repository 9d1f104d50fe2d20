/**
 * The inverse of `encode-policy.ts`, and a judge like `decode.ts`: a rule that is not understood in full is worse than
 * none, so the whole policy is refused by the name of the field, and the last one stays in force.
 */
import { BlockList, isIP } from "node:net";

import {
  type Condition,
  DEFAULT_POLICIES,
  type ExternalAuthorizer,
  type IdentityForm,
  type InboundPolicy,
  type JwtLocation,
  type JwtRule,
  type Network,
  type Origin,
  type PolicyLayer,
  type PolicyRule,
  type RateLimit,
  type RuleAction,
  type TextPattern,
  type TlsMode,
} from "../model/inbound-policy.ts";
import { parseWorkloadKey, type WorkloadKey } from "../model/workload.ts";
import { checkPort, milliseconds, parse, ResourceError } from "./decode.ts";
import {
  type Condition as ConditionMessage,
  type ExternalAuthorizer as ExternalAuthorizerMessage,
  InboundPolicySchema,
  type JwtLocation as JwtLocationMessage,
  type JwtRule as JwtRuleMessage,
  type Network as NetworkMessage,
  type Origin as OriginMessage,
  type PolicyLayer as PolicyLayerMessage,
  type PolicyRule as PolicyRuleMessage,
  type RateLimit as RateLimitMessage,
  type TextPattern as TextPatternMessage,
  type TlsSetting,
} from "./gen/heddle/xds/v1/inbound_policy_pb.ts";

const TLS_MODES: readonly TlsMode[] = ["permissive", "strict", "disable"];
const DIALECTS: readonly PolicyLayer["dialect"][] = ["linkerd", "istio", "smi", "consul"];
const ACTIONS: readonly RuleAction[] = ["allow", "deny", "audit", "external"];
const OTHERWISE: readonly PolicyLayer["otherwise"]["action"][] = ["allow", "deny", "audit"];
const IDENTITY_FORMS: readonly IdentityForm[] = [
  "spiffe",
  "principal",
  "linkerd",
  "namespace",
  "service-account",
  "trust-domain",
  "service",
];

export interface DecodedInboundPolicy {
  readonly name: WorkloadKey;
  readonly policy: InboundPolicy;
}

/** @throws {@link ResourceError} */
export function decodeInboundPolicy(bytes: Uint8Array): DecodedInboundPolicy {
  const message = parse(InboundPolicySchema, bytes);
  if (parseWorkloadKey(message.name) === undefined) {
    throw new ResourceError("name", `expected namespace/workload, found "${message.name}"`);
  }
  const providers = message.providers.map((provider, i) => decodeProvider(provider, `providers[${i}]`));
  const known = new Set(providers.map(({ name }) => name));
  if (known.size < providers.length) throw new ResourceError("providers", "two have the same name");
  return {
    name: message.name,
    policy: {
      defaultPolicy: oneOf("default_policy", message.defaultPolicy, DEFAULT_POLICIES),
      clusterNetworks: message.clusterNetworks.map((cidr, i) => checkNetwork(`cluster_networks[${i}]`, cidr)),
      tls: decodeTls(message.tls, "tls"),
      tlsByPort: message.tlsByPort.map(({ port, tls }, i) => {
        const field = `tls_by_port[${i}]`;
        return { port: checkPort(`${field}.port`, port), ...decodeTls(tls, `${field}.tls`) };
      }),
      layers: message.layers.map((layer, i) => decodeLayer(layer, known, `layers[${i}]`)),
      rateLimits: message.rateLimits.map((limit, i) => decodeRateLimit(limit, `rate_limits[${i}]`)),
      jwt: message.jwt.map((rule, i) => decodeJwtRule(rule, `jwt[${i}]`)),
      providers,
    },
  };
}

function decodeOrigin(origin: OriginMessage | undefined, field: string): Origin {
  if (origin === undefined) throw new ResourceError(`${field}.origin`, "missing");
  const { kind, namespace, name, file, line } = origin;
  return { kind, namespace, name, file, line };
}

function decodeTls(setting: TlsSetting | undefined, field: string): { mode: TlsMode; origin: Origin } {
  if (setting === undefined) throw new ResourceError(field, "missing");
  return { mode: oneOf(`${field}.mode`, setting.mode, TLS_MODES), origin: decodeOrigin(setting.origin, field) };
}

function decodePorts(ports: readonly number[], field: string): number[] {
  return ports.map((port, i) => checkPort(`${field}[${i}]`, port));
}

function decodeLayer(layer: PolicyLayerMessage, providers: ReadonlySet<string>, field: string): PolicyLayer {
  const { otherwise } = layer;
  if (otherwise === undefined) throw new ResourceError(`${field}.otherwise`, "missing");
  return {
    dialect: oneOf(`${field}.dialect`, layer.dialect, DIALECTS),
    ports: decodePorts(layer.ports, `${field}.ports`),
    rules: layer.rules.map((rule, i) => decodeRule(rule, providers, `${field}.rules[${i}]`)),
    otherwise: {
      action: oneOf(`${field}.otherwise.action`, otherwise.action, OTHERWISE),
      origin: decodeOrigin(otherwise.origin, `${field}.otherwise`),
    },
  };
}

function decodeRule(rule: PolicyRuleMessage, providers: ReadonlySet<string>, field: string): PolicyRule {
  const { provider, dryRun } = rule;
  const action = oneOf(`${field}.action`, rule.action, ACTIONS);
  if (action === "external" && !providers.has(provider ?? "")) {
    throw new ResourceError(`${field}.provider`, `none of the providers: "${provider ?? ""}"`);
  }
  return {
    action,
    origin: decodeOrigin(rule.origin, field),
    clauses: rule.clauses.map(({ conditions }, i) =>
      conditions.map((condition, at) => decodeCondition(condition, `${field}.clauses[${i}].conditions[${at}]`)),
    ),
    ...(provider !== undefined && { provider }),
    ...(dryRun !== undefined && { dryRun }),
  };
}

function decodeCondition({ on, not }: ConditionMessage, field: string): Condition {
  switch (on.case) {
    case undefined:
      throw new ResourceError(field, "none that Heddle knows");
    case "authenticated":
      if (not) throw new ResourceError(`${field}.not`, "not of authenticated, which says it by itself");
      return { on: "authenticated", value: on.value };
    case "identity": {
      const form = oneOf(`${field}.form`, on.value.form, IDENTITY_FORMS);
      return { on: "identity", form, any: decodePatterns(on.value.any, field), not };
    }
    case "source":
    case "client":
    case "destination":
      return { on: on.case, any: on.value.any.map((one, i) => decodeNetwork(one, `${field}.any[${i}]`)), not };
    case "port":
      return { on: "port", any: decodePorts(on.value.any, `${field}.any`), not };
    case "header": {
      const { name, any } = on.value;
      if (name === "" || name !== name.toLowerCase()) {
        throw new ResourceError(`${field}.name`, `not lower case: "${name}"`);
      }
      return { on: "header", name, any: decodePatterns(any, field), not };
    }
    case "jwtClaim": {
      const { path, any } = on.value;
      if (path.length === 0) throw new ResourceError(`${field}.path`, "empty");
      return { on: "jwt-claim", path, any: decodePatterns(any, field), not };
    }
    case "jwtPrincipal":
      return { on: "jwt-principal", any: decodePatterns(on.value.any, field), not };
    case "sni":
    case "method":
    case "path":
    case "host":
      return { on: on.case, any: decodePatterns(on.value.any, field), not };
  }
}

function decodePatterns(patterns: readonly TextPatternMessage[], field: string): TextPattern[] {
  return patterns.map((pattern, i) => decodePattern(pattern, `${field}.any[${i}]`));
}

function decodePattern({ pattern, ignoreCase }: TextPatternMessage, field: string): TextPattern {
  const { case: kind } = pattern;
  if (kind === undefined) throw new ResourceError(field, "no pattern that Heddle knows");
  if (kind === "present" || kind === "regex" || kind === "template") {
    if (ignoreCase !== undefined) throw new ResourceError(`${field}.ignore_case`, `not of ${kind}`);
    return kind === "present" ? { kind } : { kind, value: pattern.value };
  }
  return { kind, value: pattern.value, ...(ignoreCase !== undefined && { ignoreCase }) };
}

function decodeNetwork({ cidr, except }: NetworkMessage, field: string): Network {
  return {
    cidr: checkNetwork(`${field}.cidr`, cidr),
    except: except.map((one, i) => checkNetwork(`${field}.except[${i}]`, one)),
  };
}

/** "10.0.0.0/8", "fd00::/8", or one address. */
function checkNetwork(field: string, text: string): string {
  const [address = "", prefix, more] = text.split("/");
  const version = isIP(address);
  const family = version === 4 ? "ipv4" : "ipv6";
  try {
    if (version === 0 || more !== undefined || address.includes("%")) throw new Error();
    if (prefix !== undefined) {
      if (!/^\d{1,3}$/.test(prefix)) throw new Error();
      new BlockList().addSubnet(address, Number(prefix), family);
    }
  } catch {
    throw new ResourceError(field, `no network: "${text}"`);
  }
  return text;
}

function decodeRateLimit(limit: RateLimitMessage, field: string): RateLimit {
  const { total, identity } = limit;
  return {
    origin: decodeOrigin(limit.origin, field),
    ports: decodePorts(limit.ports, `${field}.ports`),
    total,
    identity,
    overrides: limit.overrides.map(({ requestsPerSecond, identities }, i) => ({
      requestsPerSecond,
      identities: decodePatterns(identities, `${field}.overrides[${i}]`),
    })),
  };
}

function decodeJwtRule(rule: JwtRuleMessage, field: string): JwtRule {
  const { issuer, audiences, jwks, jwksUri, forwardOriginalToken, outputPayloadToHeader } = rule;
  if (issuer === "") throw new ResourceError(`${field}.issuer`, "missing");
  if ((jwks === "") === (jwksUri === "")) throw new ResourceError(field, "expected exactly one of jwks and jwks_uri");
  return {
    origin: decodeOrigin(rule.origin, field),
    issuer,
    audiences,
    jwks,
    jwksUri,
    from: rule.from.map((location, i) => decodeLocation(location, `${field}.from[${i}]`)),
    forwardOriginalToken,
    outputPayloadToHeader,
    outputClaimToHeaders: rule.outputClaimToHeaders.map(({ header, claim }) => ({ header, claim })),
    timeoutMs: milliseconds(`${field}.timeout`, rule.timeout),
  };
}

function decodeLocation({ in: place }: JwtLocationMessage, field: string): JwtLocation {
  if (place.case === undefined) throw new ResourceError(field, "none that Heddle knows (header, query, cookie)");
  if (place.case !== "header") return { in: place.case, name: place.value };
  return { in: "header", name: place.value.name, prefix: place.value.prefix };
}

function decodeProvider(provider: ExternalAuthorizerMessage, field: string): ExternalAuthorizer {
  const { name, address, failOpen } = provider;
  if (name === "" || address === "") throw new ResourceError(field, "name or address missing");
  return { name, address, timeoutMs: milliseconds(`${field}.timeout`, provider.timeout), failOpen };
}

function oneOf<const Value extends string>(field: string, text: string, known: readonly Value[]): Value {
  const found = known.find((value) => value === text);
  if (found === undefined) throw new ResourceError(field, `expected one of ${known.join(", ")}, found "${text}"`);
  return found;
}
