/** What the authority has answered to our request, checked before it is used. */
import { type KeyObject, X509Certificate } from "node:crypto";

import { fingerprint } from "../../xds/certify.ts";

/** Certificates in a chain, and roots. */
const CHAIN_LENGTH_MAX = 8;
export const ROOTS_MAX = 64;

export interface GrantedCertificate {
  /** PEM, the leaf first. */
  readonly chain: string;
  /** DER, the same. */
  readonly der: readonly Buffer[];
  /** SHA-256 of the certificate that signed the leaf. */
  readonly issuer: Buffer;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/**
 * @param chain DER, the leaf first
 * @param publicKey ours
 * @param identity the SPIFFE id that we asked for
 * @throws Error that says what does not fit
 */
export function checkGranted(
  chain: readonly Buffer[],
  roots: readonly X509Certificate[],
  publicKey: KeyObject,
  identity: string,
): GrantedCertificate {
  if (chain.length === 0 || chain.length > CHAIN_LENGTH_MAX) {
    throw new Error(`the authority sent ${chain.length} certificates; expected 1 to ${CHAIN_LENGTH_MAX}`);
  }
  const certificates = chain.map((der) => new X509Certificate(der));
  const [leaf] = certificates as [X509Certificate];
  if (!leaf.publicKey.equals(publicKey)) throw new Error("the certificate is not for our key");
  if (!(leaf.subjectAltName ?? "").split(", ").includes(`URI:${identity}`)) {
    throw new Error(`the certificate is not for ${identity}: it names ${leaf.subjectAltName ?? "nobody"}`);
  }
  const signer = signerOf(certificates, roots);
  return {
    chain: certificates.map((certificate) => certificate.toString()).join(""),
    der: chain,
    issuer: fingerprint(signer.raw),
    notBefore: leaf.validFromDate.getTime(),
    notAfter: leaf.validToDate.getTime(),
  };
}

/** The certificate that signed the leaf; the rest of the chain must lead to a root. */
function signerOf(certificates: readonly X509Certificate[], roots: readonly X509Certificate[]): X509Certificate {
  let first: X509Certificate | undefined;
  for (const [index, certificate] of certificates.entries()) {
    const root = roots.find((candidate) => signed(certificate, candidate));
    const above = root ?? certificates[index + 1];
    if (above === undefined || !signed(certificate, above)) break;
    first ??= above;
    if (root !== undefined) return first;
  }
  throw new Error("the certificate does not descend from a root that the authority named");
}

function signed(certificate: X509Certificate, by: X509Certificate): boolean {
  return certificate.checkIssued(by) && certificate.verify(by.publicKey);
}
