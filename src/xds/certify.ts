/** What both ends of `heddle.identity.v1.Identity/Certify` must agree on, beside the messages. */
import { createHash } from "node:crypto";

/** The method, as in the HTTP/2 path after the first "/". */
export const CERTIFY_METHOD = "heddle.identity.v1.Identity/Certify";

/** Octets of a challenge. */
export const NONCE_BYTES = 32;

/** What the holder of a certificate signs to prove it, so that the signature is good for one stream and one request. */
export function possessionBytes(nonce: Uint8Array, request: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${CERTIFY_METHOD}\0`), nonce, request]);
}

/** By which both name a certificate: SHA-256 of its DER. */
export function fingerprint(der: Uint8Array): Buffer {
  return createHash("sha256").update(der).digest();
}
