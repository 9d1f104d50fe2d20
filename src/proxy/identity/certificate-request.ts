/**
 * A certificate request (PKCS #10, RFC 2986 §4) for a workload's key, in DER. A library for it would cost every sidecar
 * megabytes; this is the one form that we need of it: no subject, and the names as a requested extension.
 */
import { createPublicKey, type KeyObject, sign } from "node:crypto";

import { linkerdName, spiffeId, type WorkloadIdentity } from "../../model/identity.ts";

/** ASN.1 tags (X.690 §8). */
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const BOOLEAN = 0x01;
const SEQUENCE = 0x30;
const SET = 0x31;
/** [0], constructed: the attributes (RFC 2986 §4.1). */
const ATTRIBUTES = 0xa0;
/** [2] and [6] of GeneralName: dNSName and uniformResourceIdentifier (RFC 5280 §4.2.1.6). */
const DNS_NAME = 0x82;
const URI_NAME = 0x86;

/** Object identifiers, whole with tag and length. */
const EXTENSION_REQUEST = Buffer.from("06092a864886f70d01090e", "hex");
const SUBJECT_ALT_NAME = Buffer.from("0603551d11", "hex");
const ECDSA_WITH_SHA256 = Buffer.from("06082a8648ce3d040302", "hex");

/** @param key P-256, the private half */
export function certificateRequest(key: KeyObject, identity: WorkloadIdentity): Buffer {
  const names = der(
    SEQUENCE,
    der(URI_NAME, Buffer.from(spiffeId(identity), "latin1")),
    der(DNS_NAME, Buffer.from(linkerdName(identity), "latin1")),
  );
  // Critical, since there is no subject.
  const extension = der(SEQUENCE, SUBJECT_ALT_NAME, der(BOOLEAN, Buffer.of(0xff)), der(OCTET_STRING, names));
  const attribute = der(SEQUENCE, EXTENSION_REQUEST, der(SET, der(SEQUENCE, extension)));
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
  const body = der(SEQUENCE, der(INTEGER, Buffer.of(0)), der(SEQUENCE), publicKey, der(ATTRIBUTES, attribute));
  const signature = sign("sha256", body, key);
  return der(SEQUENCE, body, der(SEQUENCE, ECDSA_WITH_SHA256), der(BIT_STRING, Buffer.of(0), signature));
}

/** Tag, length in the shortest form (X.690 §10.1), content. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const length: number[] = [];
  if (content.length < 0x80) length.push(content.length);
  else {
    for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
    length.unshift(0x80 | length.length);
  }
  return Buffer.concat([Buffer.of(tag, ...length), content]);
}
