/** What a workload asks to have certified (PKCS #10, RFC 2986). */
import "reflect-metadata";

import { createPublicKey } from "node:crypto";

import * as x509 from "@peculiar/x509";

import { linkerdName, spiffeId, type WorkloadIdentity } from "../../model/identity.ts";

/** Bytes of a request: one of ours has about 350. */
export const REQUEST_BYTES_MAX = 4 * 1024;

/** The request cannot be granted. The message may be told to whoever made it. */
export class RequestError extends Error {}

/**
 * The key in a request that is signed by that key, and asks for no other names than those of `identity`.
 *
 * @param der PKCS #10
 * @returns DER, SubjectPublicKeyInfo, of a P-256 key
 * @throws RequestError
 */
export async function requestedKey(der: Uint8Array, identity: WorkloadIdentity): Promise<Buffer> {
  if (der.length > REQUEST_BYTES_MAX) {
    throw new RequestError(`a certificate request of ${der.length} bytes; at most ${REQUEST_BYTES_MAX} are taken`);
  }
  const request = parse(der);
  const key = Buffer.from(request.publicKey.rawData);
  if (!isP256(key)) throw new RequestError("the certificate request is not for a P-256 key");
  if (!(await request.verify().catch(() => false))) {
    throw new RequestError("the certificate request is not signed by its own key");
  }
  const allowed = [`url ${spiffeId(identity)}`, `dns ${linkerdName(identity)}`];
  for (const name of namesIn(request)) {
    if (!allowed.includes(name)) {
      throw new RequestError(`the certificate request asks for the name "${name}"; allowed are ${allowed.join(", ")}`);
    }
  }
  return key;
}

function parse(der: Uint8Array): x509.Pkcs10CertificateRequest {
  try {
    return new x509.Pkcs10CertificateRequest(new Uint8Array(der));
  } catch {
    throw new RequestError("the certificate request is not PKCS #10 in DER");
  }
}

function isP256(key: Buffer): boolean {
  try {
    return createPublicKey({ key, type: "spki", format: "der" }).asymmetricKeyDetails?.namedCurve === "prime256v1";
  } catch {
    return false;
  }
}

function namesIn(request: x509.Pkcs10CertificateRequest): string[] {
  try {
    const extensions = [...request.extensions].filter((found) => found instanceof x509.SubjectAlternativeNameExtension);
    return extensions.flatMap(({ names }) => names.items.map(({ type, value }) => `${type} ${value}`));
  } catch {
    throw new RequestError("the names in the certificate request cannot be read");
  }
}
