/** From an {@link InboundPolicy} to the resource of our own that carries it. The same policy always gives the same bytes. */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import type {
  Condition,
  ExternalAuthorizer,
  InboundPolicy,
  JwtLocation,
  JwtRule,
  PolicyRule,
  TextPattern,
} from "../model/inbound-policy.ts";
import type { WorkloadKey } from "../model/workload.ts";
import {
  type ConditionSchema,
  type ExternalAuthorizerSchema,
  InboundPolicySchema,
  type JwtLocationSchema,
  type JwtRuleSchema,
  type PolicyRuleSchema,
  type TextPatternSchema,
} from "./gen/heddle/xds/v1/inbound_policy_pb.ts";

export function encodeInboundPolicy(name: WorkloadKey, policy: InboundPolicy): Uint8Array<ArrayBuffer> {
  const { defaultPolicy, clusterNetworks, tls, tlsByPort, layers, rateLimits, jwt, providers } = policy;
  return toBinary(
    InboundPolicySchema,
    create(InboundPolicySchema, {
      name,
      defaultPolicy,
      clusterNetworks: [...clusterNetworks],
      tls,
      tlsByPort: tlsByPort.map(({ port, mode, origin }) => ({ port, tls: { mode, origin } })),
      layers: layers.map(({ dialect, ports, rules, otherwise }) => ({
        dialect,
        ports: [...ports],
        rules: rules.map(encodeRule),
        otherwise,
      })),
      rateLimits: rateLimits.map(({ origin, ports, total, identity, overrides }) => ({
        origin,
        ports: [...ports],
        total,
        identity,
        overrides: overrides.map(({ requestsPerSecond, identities }) => ({
          requestsPerSecond,
          identities: identities.map(encodePattern),
        })),
      })),
      jwt: jwt.map(encodeJwtRule),
      providers: providers.map(encodeProvider),
    }),
  );
}

function encodeRule({
  action,
  origin,
  clauses,
  provider,
  dryRun,
}: PolicyRule): MessageInitShape<typeof PolicyRuleSchema> {
  return {
    action,
    origin,
    clauses: clauses.map((clause) => ({ conditions: clause.map(encodeCondition) })),
    ...(provider !== undefined && { provider }),
    ...(dryRun !== undefined && { dryRun }),
  };
}

function encodeCondition(condition: Condition): MessageInitShape<typeof ConditionSchema> {
  switch (condition.on) {
    case "authenticated":
      return { on: { case: "authenticated", value: condition.value } };
    case "identity": {
      const { form, any, not } = condition;
      return { on: { case: "identity", value: { form, any: any.map(encodePattern) } }, not };
    }
    case "source":
    case "client":
    case "destination": {
      const { on, any, not } = condition;
      return { on: { case: on, value: { any: any.map(({ cidr, except }) => ({ cidr, except: [...except] })) } }, not };
    }
    case "port":
      return { on: { case: "port", value: { any: [...condition.any] } }, not: condition.not };
    case "header": {
      const { name, any, not } = condition;
      return { on: { case: "header", value: { name, any: any.map(encodePattern) } }, not };
    }
    case "jwt-claim": {
      const { path, any, not } = condition;
      return { on: { case: "jwtClaim", value: { path: [...path], any: any.map(encodePattern) } }, not };
    }
    case "sni":
    case "method":
    case "path":
    case "host":
    case "jwt-principal": {
      const { on, any, not } = condition;
      return {
        on: { case: on === "jwt-principal" ? "jwtPrincipal" : on, value: { any: any.map(encodePattern) } },
        not,
      };
    }
  }
}

function encodePattern(pattern: TextPattern): MessageInitShape<typeof TextPatternSchema> {
  if (pattern.kind === "present") return { pattern: { case: "present", value: {} } };
  const { kind, value } = pattern;
  const ignoreCase = "ignoreCase" in pattern ? pattern.ignoreCase : undefined;
  return { pattern: { case: kind, value }, ...(ignoreCase !== undefined && { ignoreCase }) };
}

function encodeJwtRule(rule: JwtRule): MessageInitShape<typeof JwtRuleSchema> {
  const { timeoutMs, audiences, from, outputClaimToHeaders, ...rest } = rule;
  return {
    ...rest,
    audiences: [...audiences],
    from: from.map(encodeLocation),
    outputClaimToHeaders: [...outputClaimToHeaders],
    timeout: durationFromMs(Math.round(timeoutMs)),
  };
}

function encodeLocation(location: JwtLocation): MessageInitShape<typeof JwtLocationSchema> {
  if (location.in !== "header") return { in: { case: location.in, value: location.name } };
  return { in: { case: "header", value: { name: location.name, prefix: location.prefix } } };
}

function encodeProvider({
  name,
  address,
  timeoutMs,
  failOpen,
}: ExternalAuthorizer): MessageInitShape<typeof ExternalAuthorizerSchema> {
  return { name, address, timeout: durationFromMs(Math.round(timeoutMs)), failOpen };
}
