/**
 * Field names whose values must never enter a compression table. Besides the obvious ones these are names that a peer has
 * sent as "never indexed": an intermediary has to keep that (RFC 7541 §6.2.3), and a header list has no place for the
 * mark, so it is kept by name for the whole process.
 */

/** Names learned from peers; when there are more, further ones are not remembered. */
export const LEARNED_NAMES_MAX = 256;

/** Characters of the longest name that is remembered. */
export const LEARNED_NAME_LENGTH_MAX = 64;

const sensitive = new Set(["authorization", "proxy-authorization", "cookie", "set-cookie"]);
const BUILT_IN = sensitive.size;

export function isSensitive(lowerCaseName: string): boolean {
  return sensitive.has(lowerCaseName);
}

/** Remembers a name that came as "never indexed". Pseudo-header fields are left out: tables are built around them. */
export function learnSensitive(lowerCaseName: string): void {
  if (lowerCaseName.length > LEARNED_NAME_LENGTH_MAX || lowerCaseName.startsWith(":")) return;
  if (sensitive.size < BUILT_IN + LEARNED_NAMES_MAX) sensitive.add(lowerCaseName);
}
