/** One rule of an AuthorizationPolicy as clauses: each of `from` with each of `to`, and every condition of `when`. */
import { DEFAULT_TRUST_DOMAIN } from "../../model/identity.ts";
import type { Clause, Condition, IdentityForm, TextPattern } from "../../model/inbound-policy.ts";
import { type PolicyTarget, portsEnforced } from "../target.ts";
import type { ConditionText, OperationText, RuleText, SourceText } from "./authorization-rules.ts";
import { hostPattern, istioPattern, pathPattern } from "./patterns.ts";

export interface RuleContext {
  /** Of the document: that of service accounts that are written without one. */
  readonly namespace: string;
  readonly trustDomain: string;
  readonly target: PolicyTarget;
}

export function clausesOf({ from, to, when }: RuleText, context: RuleContext): Clause[] {
  const conditions = when.flatMap((one) => conditionsOf(one, context));
  const sources = from?.map(({ source }) => sourceConditions(source, context)) ?? [[]];
  const operations = to?.map(({ operation }) => operationConditions(operation, context)) ?? [[]];
  return sources.flatMap((source) => operations.map((operation) => [...source, ...operation, ...conditions]));
}

function sourceConditions(source: SourceText, context: RuleContext): Condition[] {
  const principal = (values: readonly string[], not: boolean): Condition[] =>
    identity(
      "principal",
      values.map((value) => principalPattern(value, context)),
      not,
    );
  const account = (values: readonly string[], not: boolean): Condition[] =>
    identity(
      "service-account",
      values.map((value) => accountPattern(value, context)),
      not,
    );
  return [
    ...principal(source.principals, false),
    ...principal(source.notPrincipals, true),
    ...texts("jwt-principal", source.requestPrincipals, false),
    ...texts("jwt-principal", source.notRequestPrincipals, true),
    ...identity("namespace", source.namespaces.map(istioPattern), false),
    ...identity("namespace", source.notNamespaces.map(istioPattern), true),
    ...account(source.serviceAccounts, false),
    ...account(source.notServiceAccounts, true),
    ...identity("trust-domain", source.trustDomains.map(istioPattern), false),
    ...identity("trust-domain", source.notTrustDomains.map(istioPattern), true),
    ...networks("source", source.ipBlocks, false),
    ...networks("source", source.notIpBlocks, true),
    ...networks("client", source.remoteIpBlocks, false),
    ...networks("client", source.notRemoteIpBlocks, true),
  ];
}

function operationConditions(operation: OperationText, context: RuleContext): Condition[] {
  return [
    ...patterns("host", operation.hosts.map(hostPattern), false),
    ...patterns("host", operation.notHosts.map(hostPattern), true),
    ...ports(operation.ports, false, context),
    ...ports(operation.notPorts, true, context),
    ...patterns("method", operation.methods.map(istioPattern), false),
    ...patterns("method", operation.notMethods.map(istioPattern), true),
    ...patterns("path", operation.paths.map(pathPattern), false),
    ...patterns("path", operation.notPaths.map(pathPattern), true),
  ];
}

function conditionsOf(condition: ConditionText, context: RuleContext): Condition[] {
  return [
    ...valueConditions(condition, condition.values, false, context),
    ...valueConditions(condition, condition.notValues, true, context),
  ];
}

function valueConditions(
  { key: { key, names } }: ConditionText,
  values: readonly string[],
  not: boolean,
  context: RuleContext,
): Condition[] {
  switch (key) {
    case "request.headers[…]":
      return values.length === 0
        ? []
        : [{ on: "header", name: (names[0] ?? "").toLowerCase(), any: values.map(istioPattern), not }];
    case "request.auth.principal":
      return texts("jwt-principal", values, not);
    case "request.auth.audiences":
      return claim(["aud"], values, not);
    case "request.auth.presenter":
      return claim(["azp"], values, not);
    case "request.auth.claims[…]":
      return claim(names, values, not);
    case "source.ip":
      return networks("source", values, not);
    case "remote.ip":
      return networks("client", values, not);
    case "destination.ip":
      return networks("destination", values, not);
    case "source.namespace":
      return identity("namespace", values.map(istioPattern), not);
    case "source.principal":
      return identity(
        "principal",
        values.map((value) => principalPattern(value, context)),
        not,
      );
    case "source.serviceAccount":
      return identity(
        "service-account",
        values.map((value) => accountPattern(value, context)),
        not,
      );
    case "destination.port":
      return ports(values.map(Number), not, context);
    case "connection.sni":
      return patterns("sni", values.map(istioPattern), not);
  }
}

/** "cluster.local" means the mesh's own trust domain, whatever it is called. */
function principalPattern(value: string, { trustDomain }: RuleContext): TextPattern {
  const old = `${DEFAULT_TRUST_DOMAIN}/`;
  return istioPattern(value.startsWith(old) ? `${trustDomain}/${value.slice(old.length)}` : value);
}

function accountPattern(value: string, { namespace }: RuleContext): TextPattern {
  return { kind: "exact", value: value.includes("/") ? value : `${namespace}/${value}` };
}

function identity(form: IdentityForm, any: readonly TextPattern[], not: boolean): Condition[] {
  return any.length === 0 ? [] : [{ on: "identity", form, any, not }];
}

function texts(on: "jwt-principal", values: readonly string[], not: boolean): Condition[] {
  return patterns(on, values.map(istioPattern), not);
}

function patterns(
  on: "jwt-principal" | "host" | "method" | "path" | "sni",
  any: readonly TextPattern[],
  not: boolean,
): Condition[] {
  return any.length === 0 ? [] : [{ on, any, not }];
}

function claim(path: readonly string[], values: readonly string[], not: boolean): Condition[] {
  return values.length === 0 ? [] : [{ on: "jwt-claim", path, any: values.map(istioPattern), not }];
}

function networks(on: "source" | "client" | "destination", values: readonly string[], not: boolean): Condition[] {
  return values.length === 0 ? [] : [{ on, any: values.map((cidr) => ({ cidr, except: [] })), not }];
}

/** By the application's port, as Istio means it. */
function ports(values: readonly number[], not: boolean, { target }: RuleContext): Condition[] {
  if (values.length === 0) return [];
  const meant = values.flatMap((value) => portsEnforced(target, value));
  return [{ on: "port", any: [...new Set(meant)], not }];
}
