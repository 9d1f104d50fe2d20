/** Verifies one token by `jose`: loaded when the first token comes, since most sidecars never see one. */
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTPayload, jwtVerify, type JWTVerifyOptions } from "jose";

import type { JwtRule } from "../../model/inbound-policy.ts";
import type { Jwks } from "./key-set.ts";

/** Seconds by which clocks may differ. Istio: 60. */
export const CLOCK_SKEW_S = 60;

/** Signatures that need a private key to make: with a secret, whoever can verify tokens could make them as well. */
const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
];

export type Verdict =
  | { readonly claims: JWTPayload }
  /** None of the keys is meant. */
  | { readonly failure: string; readonly unknownKey: boolean };

const resolvers = new WeakMap<Jwks, ReturnType<typeof createLocalJWKSet>>();

/** @param now milliseconds since the epoch */
export async function verifyToken(
  token: string,
  { issuer, audiences }: JwtRule,
  keys: Jwks,
  now: number,
): Promise<Verdict> {
  let resolve = resolvers.get(keys);
  if (resolve === undefined) {
    resolve = createLocalJWKSet(keys as unknown as JSONWebKeySet);
    resolvers.set(keys, resolve);
  }
  const options: JWTVerifyOptions = {
    issuer,
    algorithms: ALGORITHMS,
    clockTolerance: CLOCK_SKEW_S,
    currentDate: new Date(now),
    ...(audiences.length === 0 ? {} : { audience: [...audiences] }),
  };
  try {
    return { claims: (await jwtVerify(token, resolve, options)).payload };
  } catch (error) {
    if (error instanceof errors.JWKSMultipleMatchingKeys) return anyOf(token, error, options);
    return failed(error);
  }
}

/** The token does not say which of several keys it is signed with. */
async function anyOf(
  token: string,
  candidates: errors.JWKSMultipleMatchingKeys,
  options: JWTVerifyOptions,
): Promise<Verdict> {
  let failure: unknown = candidates;
  for await (const key of candidates) {
    try {
      return { claims: (await jwtVerify(token, key, options)).payload };
    } catch (error) {
      failure = error;
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) break;
    }
  }
  return failed(failure);
}

function failed(error: unknown): Verdict {
  if (error instanceof errors.JWKSNoMatchingKey) {
    return { failure: "it is signed with none of the issuer's keys", unknownKey: true };
  }
  // Whatever a library throws at a token of a stranger makes the token invalid, not the sidecar.
  return { failure: error instanceof Error ? error.message : "it cannot be read", unknownKey: false };
}
