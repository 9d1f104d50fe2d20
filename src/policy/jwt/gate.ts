/**
 * Istio's RequestAuthentication: a request without a token passes without a principal, one with valid tokens has the
 * claims of the first, one with any other is refused. A token that was found valid once is known again by a look-up,
 * until it or its keys change.
 */
import type { JwtLocation, JwtRule } from "../../model/inbound-policy.ts";
import type { Clock } from "../../net/clock.ts";
import type { JwtClaims } from "../call.ts";
import { claimValues } from "../claims.ts";
import { whereOf } from "../compile.ts";
import { PolicyError } from "../error.ts";
import { type OpenTokenCarrier, removeTokens, setField, type TokenCarrier, tokensAt } from "./found-token.ts";
import { FetchedKeys, fixedKeys, type KeySource } from "./key-set.ts";

/** Characters of a token; longer ones are refused without a look at them. */
export const TOKEN_LENGTH_MAX = 16_384;
/** Tokens of one request. */
export const TOKENS_MAX = 4;
/** Valid tokens that are remembered; then the oldest are forgotten. */
export const REMEMBERED_MAX = 1_000;
/** Characters that these have together. */
export const REMEMBERED_LENGTH_MAX = 1_048_576;
/** Milliseconds that one is remembered at most. */
const REMEMBERED_MS = 300_000;
/** Milliseconds after its end that a token is still taken. */
const SKEW_MS = 60_000;

export type JwtOutcome =
  /** No token; `claims` undefined. Else all of them are valid. */
  { readonly claims: JwtClaims | undefined; readonly tokens: readonly ValidToken[] } | { readonly failure: string };

export interface ValidToken {
  readonly token: string;
  readonly rule: JwtRule;
  readonly location: JwtLocation;
  readonly claims: JwtClaims;
}

export interface JwtGateOptions {
  readonly clock: Clock;
  /** Milliseconds since the epoch. */
  readonly wallClock: () => number;
  /** Keys could not be had. */
  readonly onKeysFailure: (rule: JwtRule, detail: string) => void;
}

interface Issuer {
  readonly rule: JwtRule;
  readonly keys: KeySource;
}

interface Found {
  readonly token: string;
  readonly location: JwtLocation;
  readonly issuers: Issuer[];
}

interface Remembered {
  readonly claims: JwtClaims;
  readonly issuer: Issuer;
  readonly version: number;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

const NOTHING: JwtOutcome = { claims: undefined, tokens: [] };

export class JwtGate {
  readonly #issuers: readonly Issuer[];
  readonly #wallClock: () => number;
  readonly #remembered = new Map<string, Remembered>();
  #rememberedLength = 0;

  /** @throws PolicyError if keys that are written out are none */
  constructor(rules: readonly JwtRule[], { clock, wallClock, onKeysFailure }: JwtGateOptions) {
    this.#wallClock = wallClock;
    this.#issuers = rules.map((rule) => ({
      rule,
      keys:
        rule.jwks !== ""
          ? writtenKeys(rule)
          : new FetchedKeys({
              clock,
              load: async () => (await import("./load-keys.ts")).loadKeys(rule.jwksUri, rule.timeoutMs),
              onFailure: (detail) => onKeysFailure(rule, detail),
            }),
    }));
    // The first token need not wait for them.
    for (const { keys } of this.#issuers) keys.current();
  }

  /** Known at once where there is no token, or one that is remembered. The promise never rejects. */
  examine(carrier: TokenCarrier): JwtOutcome | Promise<JwtOutcome> {
    const found = this.#find(carrier);
    if (typeof found === "string") return { failure: found };
    if (found.length === 0) return NOTHING;
    const valid: ValidToken[] = [];
    for (const one of found) {
      const known = this.#recall(one);
      if (known === undefined) return this.#examine(found);
      valid.push({ token: one.token, location: one.location, rule: known.issuer.rule, claims: known.claims });
    }
    return { claims: valid[0]?.claims, tokens: valid };
  }

  /** The request as the application is to have it: without tokens that are not for it, with the claims that are. */
  apply({ tokens }: { readonly tokens: readonly ValidToken[] }, carrier: OpenTokenCarrier): void {
    for (const { rule } of this.#issuers) {
      // Only from here: a caller must not be able to pose as having a claim.
      if (rule.outputPayloadToHeader !== "") setField(carrier.headers, rule.outputPayloadToHeader, undefined);
      for (const { header } of rule.outputClaimToHeaders) setField(carrier.headers, header, undefined);
    }
    for (const { token, rule, location, claims } of tokens) {
      if (!rule.forwardOriginalToken) removeTokens(carrier, location);
      if (rule.outputPayloadToHeader !== "") {
        setField(carrier.headers, rule.outputPayloadToHeader, token.split(".")[1] ?? "");
      }
      for (const { header, claim } of rule.outputClaimToHeaders) {
        const values = claimValues(claims, Object.hasOwn(claims, claim) ? [claim] : claim.split("."));
        const [value] = values;
        if (value !== undefined && /^[\x20-\x7e]*$/.test(value)) setField(carrier.headers, header, value);
      }
    }
  }

  /** @returns why not */
  #find(carrier: TokenCarrier): Found[] | string {
    const found: Found[] = [];
    for (const issuer of this.#issuers) {
      for (const location of issuer.rule.from) {
        const tokens = new Set(tokensAt(carrier, location));
        if (tokens.size > 1) return "there are several tokens at one place";
        for (const token of tokens) {
          if (token.length > TOKEN_LENGTH_MAX) {
            return `it has ${token.length} characters: at most ${TOKEN_LENGTH_MAX} are taken`;
          }
          const same = found.find((one) => one.token === token && sameLocation(one.location, location));
          if (same !== undefined) same.issuers.push(issuer);
          else found.push({ token, location, issuers: [issuer] });
        }
        if (found.length > TOKENS_MAX) return `there are more than ${TOKENS_MAX} tokens`;
      }
    }
    return found;
  }

  #recall({ token, issuers }: Found): Remembered | undefined {
    const known = this.#remembered.get(token);
    if (known === undefined || !issuers.includes(known.issuer)) return undefined;
    const { keys } = known.issuer;
    if (keys.current() !== undefined && keys.version === known.version && this.#wallClock() < known.until) return known;
    this.#forget(token);
    return undefined;
  }

  async #examine(found: readonly Found[]): Promise<JwtOutcome> {
    const valid: ValidToken[] = [];
    for (const { token, location, issuers } of found) {
      const claimed = issuerOf(token);
      if (claimed === undefined) return { failure: "it is no JSON Web Token" };
      const believed = issuers.filter(({ rule }) => rule.issuer === claimed);
      if (believed.length === 0) return { failure: "nobody here believes its issuer" };
      let verdict: ValidToken | string = "";
      for (const issuer of believed) {
        verdict = await this.#verify(token, location, issuer);
        if (typeof verdict !== "string") break;
      }
      if (typeof verdict === "string") return { failure: verdict };
      valid.push(verdict);
    }
    return { claims: valid[0]?.claims, tokens: valid };
  }

  /** @returns why not */
  async #verify(token: string, location: JwtLocation, issuer: Issuer): Promise<ValidToken | string> {
    const { rule, keys } = issuer;
    const { verifyToken } = await import("./verify.ts");
    if (keys.current() === undefined) await keys.refresh();
    // A second time with newer keys, if there are any.
    for (let tries = 0; ; tries++) {
      const current = keys.current();
      if (current === undefined) return "the keys of its issuer cannot be had";
      const { version } = keys;
      const now = this.#wallClock();
      const verdict = await verifyToken(token, rule, current, now);
      if ("claims" in verdict) {
        this.#remember(token, { claims: verdict.claims, issuer, version, until: endOf(verdict.claims, now) });
        return { token, rule, location, claims: verdict.claims };
      }
      if (!verdict.unknownKey || tries > 0) return verdict.failure;
      await keys.refresh();
      if (keys.version === version) return verdict.failure;
    }
  }

  #remember(token: string, entry: Remembered): void {
    this.#forget(token);
    this.#remembered.set(token, entry);
    this.#rememberedLength += token.length;
    for (const [oldest] of this.#remembered) {
      if (this.#remembered.size <= REMEMBERED_MAX && this.#rememberedLength <= REMEMBERED_LENGTH_MAX) break;
      this.#forget(oldest);
    }
  }

  #forget(token: string): void {
    if (this.#remembered.delete(token)) this.#rememberedLength -= token.length;
  }
}

function writtenKeys({ jwks, origin }: JwtRule): KeySource {
  try {
    return fixedKeys(jwks);
  } catch (error) {
    throw new PolicyError(`${whereOf(origin)}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function endOf({ exp }: JwtClaims, now: number): number {
  const latest = now + REMEMBERED_MS;
  return typeof exp === "number" ? Math.min(exp * 1_000 + SKEW_MS, latest) : latest;
}

function sameLocation(a: JwtLocation, b: JwtLocation): boolean {
  return a.in === b.in && a.name.toLowerCase() === b.name.toLowerCase();
}

/** What an unverified token says of its issuer. undefined if it is no token at all. */
function issuerOf(token: string): string | undefined {
  const [, payload = "", signature] = token.split(".", 4);
  if (signature === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    const iss = typeof claims === "object" && claims !== null && "iss" in claims ? claims.iss : undefined;
    return typeof iss === "string" ? iss : "";
  } catch {
    return undefined;
  }
}
