/** Claims of a valid token, as conditions look at them. */
import type { JwtClaims } from "./call.ts";

/** Lists of words in one string (RFC 8693 §4.2), as in Istio. */
const WORD_LISTS: ReadonlySet<string> = new Set(["scope", "permission"]);

/** "iss/sub"; undefined without both. */
export function principalOf(claims: JwtClaims | undefined): string | undefined {
  if (claims === undefined) return undefined;
  const { iss, sub } = claims;
  return typeof iss === "string" && typeof sub === "string" ? `${iss}/${sub}` : undefined;
}

/** The values of a claim: of a list its members, of anything else but an object itself. Empty if it is not there. */
export function claimValues(claims: JwtClaims | undefined, path: readonly string[]): readonly string[] {
  let value: unknown = claims;
  for (const key of path) {
    if (typeof value !== "object" || value === null || Array.isArray(value) || !Object.hasOwn(value, key)) return [];
    value = (value as Record<string, unknown>)[key];
  }
  const [name = ""] = path;
  if (typeof value === "string" && path.length === 1 && WORD_LISTS.has(name)) return [value, ...value.split(" ")];
  return (Array.isArray(value) ? value : [value]).filter(isScalar).map(String);
}

function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}
