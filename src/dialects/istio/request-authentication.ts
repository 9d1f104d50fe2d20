/** Istio's RequestAuthentication: whose tokens are believed (security.istio.io). */
import { parseDuration } from "../duration.ts";
import { kubernetesDocument, matchLabels } from "../kubernetes.ts";
import {
  boolean,
  defaulted,
  isMapping,
  list,
  mapping,
  optional,
  orEmpty,
  refused,
  required,
  type Shape,
  text,
} from "../shape.ts";
import type { JwtLocation, JwtRule } from "../../model/inbound-policy.ts";

export interface RequestAuthentication {
  /** Empty: every workload of the namespace, or in the root namespace of the mesh. */
  readonly selector: Readonly<Record<string, string>>;
  readonly rules: readonly { readonly line: number; readonly rule: Omit<JwtRule, "origin"> }[];
}

/** Characters of a key set that is written out. */
const JWKS_LENGTH_MAX = 262_144;
/** Milliseconds. */
const FETCH_TIMEOUT_MS = 5_000;

const NO_GATEWAYS = "it attaches to gateways and waypoints, which Heddle does not have; use selector";
const FIELD_NAME = text("the name of a header", /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 256);

const duration: Shape<number> = {
  read(node) {
    const ms = typeof node.value === "string" ? parseDuration(node.value) : undefined;
    return ms !== undefined && ms >= 1 && ms <= 60_000
      ? { value: ms }
      : node.unexpected('a time from 1ms to 60s, like "5s"');
  },
};

/** https is wanted wherever the keys come over a network, for who can change them can be anybody. */
const jwksUri: Shape<string> = {
  read(node) {
    const { value } = node;
    const url = typeof value === "string" && value.length <= 2_048 ? URL.parse(value) : null;
    if (url !== null && ["https:", "http:", "file:"].includes(url.protocol)) return { value: String(value) };
    return node.unexpected('a URL like "https://issuer.example/keys" or "file:///etc/keys.json"');
  },
};

const jwks: Shape<string> = {
  read(node) {
    const read = text("a JSON Web Key Set as text", /./s, JWKS_LENGTH_MAX).read(node);
    if (read === undefined) return undefined;
    try {
      const parsed: unknown = JSON.parse(read.value);
      const keys = typeof parsed === "object" && parsed !== null && "keys" in parsed ? parsed.keys : undefined;
      if (Array.isArray(keys) && keys.every(isMapping)) return read;
      node.error('expected a JSON Web Key Set, {"keys": […]}; found other JSON');
    } catch {
      node.error("expected a JSON Web Key Set as text; found no JSON");
    }
    return undefined;
  },
};

const jwtRule = mapping(
  {
    issuer: required(text("the issuer of the tokens")),
    audiences: defaulted(list("a list of audiences", text("an audience")), []),
    jwksUri: optional(jwksUri),
    jwks: optional(jwks),
    fromHeaders: defaulted(
      list("a list of headers", mapping({ name: required(FIELD_NAME), prefix: defaulted(text("text", /^/), "") })),
      [],
    ),
    fromParams: defaulted(list("a list of query parameters", text("the name of a parameter")), []),
    fromCookies: defaulted(list("a list of cookies", text("the name of a cookie")), []),
    outputPayloadToHeader: defaulted(FIELD_NAME, ""),
    outputClaimToHeaders: defaulted(
      list(
        "a list of headers",
        mapping({ header: required(FIELD_NAME), claim: required(text("the name of a claim")) }),
      ),
      [],
    ),
    forwardOriginalToken: defaulted(boolean, false),
    timeout: defaulted(duration, FETCH_TIMEOUT_MS),
    spaceDelimitedClaims: refused("only scope and permission are read as lists of words"),
  },
  (value, node) => {
    const { jwksUri: where, jwks: keys } = value;
    if (where !== undefined && keys !== undefined)
      node.at("jwks").error("jwks and jwksUri do not go together", "", "key");
    if (where === undefined && keys === undefined) {
      node
        .at("jwksUri")
        .unexpected("jwksUri or jwks", "keys are not looked up by the issuer's name (OpenID discovery)");
    }
  },
);

export const requestAuthentication = kubernetesDocument(
  {
    spec: orEmpty(
      mapping({
        selector: optional(matchLabels),
        targetRef: refused(NO_GATEWAYS),
        targetRefs: refused(NO_GATEWAYS),
        jwtRules: defaulted(list("a list of rules", jwtRule), []),
      }),
    ),
  },
  ({ spec: { selector, jwtRules } }, node): RequestAuthentication => ({
    selector: selector?.matchLabels ?? {},
    rules: jwtRules.map((one, i) => ({
      line: node.at("spec", "jwtRules", i).line,
      rule: {
        issuer: one.issuer,
        audiences: one.audiences,
        jwks: one.jwks ?? "",
        jwksUri: one.jwksUri ?? "",
        from: locations(one.fromHeaders, one.fromParams, one.fromCookies),
        forwardOriginalToken: one.forwardOriginalToken,
        outputPayloadToHeader: one.outputPayloadToHeader,
        outputClaimToHeaders: one.outputClaimToHeaders,
        timeoutMs: one.timeout,
      },
    })),
  }),
);

/** Where nothing is said: the Authorization header, then a query parameter of RFC 6750 §2.3. */
function locations(
  headers: readonly { readonly name: string; readonly prefix: string }[],
  params: readonly string[],
  cookies: readonly string[],
): JwtLocation[] {
  if (headers.length + params.length + cookies.length === 0) {
    return [
      { in: "header", name: "authorization", prefix: "Bearer " },
      { in: "query", name: "access_token" },
    ];
  }
  return [
    ...headers.map(({ name, prefix }): JwtLocation => ({ in: "header", name: name.toLowerCase(), prefix })),
    ...params.map((name): JwtLocation => ({ in: "query", name })),
    ...cookies.map((name): JwtLocation => ({ in: "cookie", name })),
  ];
}
