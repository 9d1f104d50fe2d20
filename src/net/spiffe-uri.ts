/** The SPIFFE id among the names of a certificate. */

/**
 * @param names as Node prints a certificate's subjectAltName: "DNS:price.shop, URI:spiffe://cluster.local/ns/shop/sa/price".
 *   A name with characters that could be mistaken for this syntax is in quotes, as a JSON string.
 * @returns undefined unless there is exactly one URI, as X.509-SVID §2 wants it, and it is a SPIFFE id without quotes
 */
export function spiffeUri(names: string | undefined): string | undefined {
  if (names === undefined) return undefined;
  const uris: string[] = [];
  // A quoted name is one whatever is in it.
  for (const [, kind, value = ""] of names.matchAll(/([A-Za-z0-9 ]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/g)) {
    if (kind === "URI") uris.push(value);
  }
  const [uri = ""] = uris;
  return uris.length === 1 && uri.startsWith("spiffe://") ? uri : undefined;
}
