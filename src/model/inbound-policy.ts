/**
 * Who may call a workload: what its sidecar enforces, whichever dialect it was written in.
 *
 * Each dialect keeps its own order of evaluation, so each that has something to say about a port is one layer: its rules
 * stand in the order in which that dialect looks at them, the first rule whose conditions hold decides, and `otherwise`
 * decides where none does. A call passes if no layer refuses it. Where there is no layer, the default policy decides.
 *
 *   Istio    CUSTOM rules, DENY rules, ALLOW rules; otherwise: deny if there is an ALLOW policy, else allow
 *   Linkerd  what the authorizations of the Server allow; otherwise: the Server's accessPolicy
 *   SMI      what the TrafficTargets allow; otherwise: deny
 *   Consul   the permissions of the one intention of highest precedence, in order; otherwise: its action or the default
 */

/** Linkerd's names (config.linkerd.io/default-inbound-policy). "cluster" means the networks of `clusterNetworks`. */
export type DefaultPolicy =
  | "all-unauthenticated"
  | "all-authenticated"
  | "cluster-authenticated"
  | "cluster-unauthenticated"
  | "deny"
  | "audit";

export const DEFAULT_POLICIES: readonly DefaultPolicy[] = [
  "all-unauthenticated",
  "all-authenticated",
  "cluster-authenticated",
  "cluster-unauthenticated",
  "deny",
  "audit",
];

/** What a port takes (Istio's modes): TLS of the mesh or not; TLS of the mesh only; no TLS of the mesh. */
export type TlsMode = "permissive" | "strict" | "disable";

/** The document that something was written in, for verdicts, metrics and people. */
export interface Origin {
  /** "policy.linkerd.io/v1alpha1/AuthorizationPolicy", "consul/service-intentions", "default". */
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** "" where there is no document. */
  readonly file: string;
  /** From 1; 0 where there is no document. The line of the rule itself. */
  readonly line: number;
}

/** One text against what was written. Case matters unless `ignoreCase`. */
export type TextPattern =
  | { readonly kind: "exact"; readonly value: string; readonly ignoreCase?: boolean }
  | { readonly kind: "prefix"; readonly value: string; readonly ignoreCase?: boolean }
  | { readonly kind: "suffix"; readonly value: string; readonly ignoreCase?: boolean }
  | { readonly kind: "contains"; readonly value: string; readonly ignoreCase?: boolean }
  /** It is there and not empty. */
  | { readonly kind: "present" }
  /** RE2 syntax, against the whole value. */
  | { readonly kind: "regex"; readonly value: string }
  /** Istio's path templates: `{*}` is one segment, `{**}` any number of them. */
  | { readonly kind: "template"; readonly value: string };

/** An address or a network: "10.0.0.0/8", "::1". `except` are taken out of it. */
export interface Network {
  readonly cidr: string;
  readonly except: readonly string[];
}

/**
 * What a condition looks at. Those of `http` exist only in requests: in a byte stream a condition on one of them holds in
 * rules that deny or ask others and does not hold in the rest (Istio's "secure by default"). The same goes for whatever
 * cannot be known of a call.
 */
export type Condition =
  /** The peer has proved an identity of the mesh (true), or has not (false). */
  | { readonly on: "authenticated"; readonly value: boolean }
  /** Any of the patterns holds (or none, if `not`) of any form of the peer's identity that is named here. */
  | {
      readonly on: "identity";
      readonly form: IdentityForm;
      readonly any: readonly TextPattern[];
      readonly not: boolean;
    }
  /** The peer's address is in any of them. */
  | { readonly on: "source"; readonly any: readonly Network[]; readonly not: boolean }
  /** http: the client's address by X-Forwarded-For, the last hop; else the peer's. */
  | { readonly on: "client"; readonly any: readonly Network[]; readonly not: boolean }
  /** The workload's own address. */
  | { readonly on: "destination"; readonly any: readonly Network[]; readonly not: boolean }
  /** The port of the service, as callers say it, or the port of the application where that is known. */
  | { readonly on: "port"; readonly any: readonly number[]; readonly not: boolean }
  /** The TLS server name. */
  | { readonly on: "sni"; readonly any: readonly TextPattern[]; readonly not: boolean }
  /** http */
  | { readonly on: "method"; readonly any: readonly TextPattern[]; readonly not: boolean }
  /** http: without the query. */
  | { readonly on: "path"; readonly any: readonly TextPattern[]; readonly not: boolean }
  /** http: Host or :authority. A pattern without a port also matches with any port. */
  | { readonly on: "host"; readonly any: readonly TextPattern[]; readonly not: boolean }
  /** http: a field; several of one name are joined by "," (RFC 9110 §5.3). `name` is in lower case. */
  | { readonly on: "header"; readonly name: string; readonly any: readonly TextPattern[]; readonly not: boolean }
  /** http: "iss/sub" of a valid token. Absent without one. */
  | { readonly on: "jwt-principal"; readonly any: readonly TextPattern[]; readonly not: boolean }
  /** http: a claim by its path; of a list, any member. */
  | {
      readonly on: "jwt-claim";
      readonly path: readonly string[];
      readonly any: readonly TextPattern[];
      readonly not: boolean;
    };

/**
 * How the same identity is written:
 * spiffe "spiffe://td/ns/shop/sa/price", principal "td/ns/shop/sa/price" (Istio), linkerd "price.shop.serviceaccount…",
 * namespace "shop", service-account "shop/price", trust-domain "td", service "price" (Consul: the service account's name).
 */
export type IdentityForm =
  | "spiffe"
  | "principal"
  | "linkerd"
  | "namespace"
  | "service-account"
  | "trust-domain"
  | "service";

/** All of it must hold; without any it holds of every call. */
export type Clause = readonly Condition[];

export type RuleAction =
  /** Decides: this layer lets the call pass. */
  | "allow"
  /** Decides: refused. */
  | "deny"
  /** Marks the call for the log and the metrics; what follows decides. */
  | "audit"
  /** Asks `provider`: refused if it says so, else what follows decides. */
  | "external";

export interface PolicyRule {
  readonly action: RuleAction;
  readonly origin: Origin;
  /** Any of them. A rule without one never holds. */
  readonly clauses: readonly Clause[];
  /** With "external": the name of one of `providers`. */
  readonly provider?: string;
  /** Evaluated and reported, never enforced (Istio's `istio.io/dry-run`). */
  readonly dryRun?: boolean;
}

export interface PolicyLayer {
  readonly dialect: "linkerd" | "istio" | "smi" | "consul";
  /** The service ports it is about, as callers say them; empty for all. */
  readonly ports: readonly number[];
  readonly rules: readonly PolicyRule[];
  readonly otherwise: { readonly action: "allow" | "deny" | "audit"; readonly origin: Origin };
}

/** Requests per second that one workload takes, by Linkerd's HTTPLocalRateLimitPolicy: a bucket for all, one for each identity. */
export interface RateLimit {
  readonly origin: Origin;
  /** The service ports it is about. */
  readonly ports: readonly number[];
  /** Requests per second in all; 0 for no limit. */
  readonly total: number;
  /** Requests per second for each client that no override names; 0 for no limit. */
  readonly identity: number;
  readonly overrides: readonly { readonly requestsPerSecond: number; readonly identities: readonly TextPattern[] }[];
}

/** Istio's jwtRules: one issuer whose tokens are believed. */
export interface JwtRule {
  readonly origin: Origin;
  readonly issuer: string;
  /** Empty: any audience. */
  readonly audiences: readonly string[];
  /** Keys: inline JSON, or where they are ("https://…", "file:///…"); exactly one of both is not "". */
  readonly jwks: string;
  readonly jwksUri: string;
  /** Where tokens are looked for, in this order. */
  readonly from: readonly JwtLocation[];
  readonly forwardOriginalToken: boolean;
  readonly outputPayloadToHeader: string;
  readonly outputClaimToHeaders: readonly { readonly header: string; readonly claim: string }[];
  /** Milliseconds that fetching keys may take. */
  readonly timeoutMs: number;
}

export type JwtLocation =
  /** The value begins with `prefix`, which is cut off. */
  | { readonly in: "header"; readonly name: string; readonly prefix: string }
  | { readonly in: "query"; readonly name: string }
  | { readonly in: "cookie"; readonly name: string };

/** A server of Envoy's external authorization (envoy.service.auth.v3.Authorization/Check). */
export interface ExternalAuthorizer {
  readonly name: string;
  /** "host:port" */
  readonly address: string;
  readonly timeoutMs: number;
  /** What happens if it does not answer. */
  readonly failOpen: boolean;
}

/** All of it for one workload: immutable, replaced in whole. */
export interface InboundPolicy {
  readonly defaultPolicy: DefaultPolicy;
  /** For "cluster-…". Linkerd: 10/8, 100.64/10, 172.16/12, 192.168/16, fd00::/8; ours has loopback as well. */
  readonly clusterNetworks: readonly string[];
  readonly tls: { readonly mode: TlsMode; readonly origin: Origin };
  /** Where a port differs: by the application's port in Istio; here already by the service port. */
  readonly tlsByPort: readonly { readonly port: number; readonly mode: TlsMode; readonly origin: Origin }[];
  readonly layers: readonly PolicyLayer[];
  readonly rateLimits: readonly RateLimit[];
  readonly jwt: readonly JwtRule[];
  readonly providers: readonly ExternalAuthorizer[];
}

export const CLUSTER_NETWORKS: readonly string[] = [
  "10.0.0.0/8",
  "100.64.0.0/10",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "fd00::/8",
  "127.0.0.0/8",
  "::1/128",
];

/** What no document has written. */
export const NO_DOCUMENT: Origin = { kind: "default", namespace: "", name: "", file: "", line: 0 };

/** What holds where nothing is configured: everybody may call, with TLS of the mesh or without. */
export const openPolicy: InboundPolicy = {
  defaultPolicy: "all-unauthenticated",
  clusterNetworks: CLUSTER_NETWORKS,
  tls: { mode: "permissive", origin: NO_DOCUMENT },
  tlsByPort: [],
  layers: [],
  rateLimits: [],
  jwt: [],
  providers: [],
};

/** What a port takes. @param port of the service, as callers say it */
export function tlsModeOf({ tls, tlsByPort }: InboundPolicy, port: number): TlsMode {
  return (tlsByPort.find((one) => one.port === port) ?? tls).mode;
}
