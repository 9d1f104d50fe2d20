/** Makes X.509 certificates: roots, issuers below them, leaves for workloads (RFC 5280; X.509-SVID of spiffe.io §3 to §4). */
import "reflect-metadata";

import { createPrivateKey, KeyObject, webcrypto } from "node:crypto";

import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto);

/** A certificate that signs others, with its key. */
export interface Signer {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS #8. */
  readonly key: string;
}

/** Milliseconds since the epoch; certificates keep whole seconds. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Whom a leaf is for. */
export interface Subject {
  /** SPIFFE ids, as a rule one. */
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
}

/** A new P-256 key and a certificate that it has signed itself. */
export async function makeRoot({ notBefore, notAfter }: Validity): Promise<Signer> {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: await authorityName("root", keys.publicKey),
    keys,
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pem(certificate), key: privatePem(keys.privateKey) };
}

/** A new P-256 key and a certificate for it that may sign leaves and nothing else. */
export async function makeIssuer(root: Signer, { notBefore, notAfter }: Validity): Promise<Signer> {
  const keys = await newKeys();
  const above = new x509.X509Certificate(root.certificate);
  const signing = signingKey(root.key);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: await authorityName("issuer", keys.publicKey),
    issuer: above.subjectName,
    publicKey: keys.publicKey,
    signingKey: signing.key,
    signingAlgorithm: signing.algorithm,
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...authorityKey(above),
    ],
  });
  return { certificate: pem(certificate), key: privatePem(keys.privateKey) };
}

/**
 * A certificate by `below` for another root's name and key (RFC 5280 §3.2, cross-certificate): whoever trusts `below`
 * alone follows it from what that root has signed.
 *
 * @param root PEM
 * @returns PEM
 */
export async function makeCross(root: string, below: Signer, { notBefore, notAfter }: Validity): Promise<string> {
  const above = new x509.X509Certificate(below.certificate);
  const { subjectName, publicKey } = new x509.X509Certificate(root);
  const signing = signingKey(below.key);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: subjectName,
    issuer: above.subjectName,
    publicKey,
    signingKey: signing.key,
    signingAlgorithm: signing.algorithm,
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      ...authorityKey(above),
    ],
  });
  return pem(certificate);
}

/**
 * A certificate for a workload's key, for both ends of a TLS connection. It has no subject: who it is stands in the
 * alternative names, which are critical then (RFC 5280 §4.2.1.6).
 *
 * @param publicKey DER, SubjectPublicKeyInfo
 * @returns PEM
 */
export async function makeLeaf(
  issuer: Signer,
  publicKey: Uint8Array,
  subject: Subject,
  { notBefore, notAfter }: Validity,
): Promise<string> {
  const above = new x509.X509Certificate(issuer.certificate);
  const key = new x509.PublicKey(new Uint8Array(publicKey));
  const signing = signingKey(issuer.key);
  const names: x509.JsonGeneralNames = [
    ...subject.uris.map((value) => ({ type: "url" as const, value })),
    ...subject.dnsNames.map((value) => ({ type: "dns" as const, value })),
  ];
  const certificate = await x509.X509CertificateGenerator.create({
    subject: "",
    issuer: above.subjectName,
    publicKey: key,
    signingKey: signing.key,
    signingAlgorithm: signing.algorithm,
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension(names, true),
      await x509.SubjectKeyIdentifierExtension.create(key),
      ...authorityKey(above),
    ],
  });
  return pem(certificate);
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
}

/** Every authority has a name of its own, so that who looks for the signer of a certificate by name finds the right one. */
async function authorityName(what: string, publicKey: CryptoKey): Promise<string> {
  const identifier = await (await x509.PublicKey.create(publicKey)).getKeyIdentifier();
  return `O=heddle, CN=heddle ${what} ${Buffer.from(identifier).toString("hex").slice(0, 16)}`;
}

/** Which key signed: by the identifier that the certificate above gives to its key. One of another maker may have none. */
function authorityKey(above: x509.X509Certificate): x509.Extension[] {
  const own = above.getExtension(x509.SubjectKeyIdentifierExtension);
  return own === null ? [] : [new x509.AuthorityKeyIdentifierExtension(own.keyId)];
}

interface SigningKey {
  readonly key: CryptoKey;
  readonly algorithm: webcrypto.Algorithm | webcrypto.EcdsaParams;
}

/** Hashes as long as the curve; RSA in the form that every verifier takes. */
const EC_ALGORITHMS: Readonly<Record<string, { readonly curve: string; readonly hash: string }>> = {
  prime256v1: { curve: "P-256", hash: "SHA-256" },
  secp384r1: { curve: "P-384", hash: "SHA-384" },
  secp521r1: { curve: "P-521", hash: "SHA-512" },
};

/** @throws Error if the key is of a kind that cannot sign certificates here */
export function signingKey(text: string): SigningKey {
  const key = createPrivateKey(text);
  const usages = ["sign"] as const;
  if (key.asymmetricKeyType === "ed25519") {
    const algorithm = { name: "Ed25519" };
    return { key: key.toCryptoKey(algorithm, false, usages), algorithm };
  }
  if (key.asymmetricKeyType === "rsa") {
    const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
    return { key: key.toCryptoKey(algorithm, false, usages), algorithm };
  }
  const found = EC_ALGORITHMS[key.asymmetricKeyDetails?.namedCurve ?? ""];
  if (found === undefined) {
    throw new Error("expected a key of the kind EC P-256, P-384 or P-521, RSA, or Ed25519");
  }
  const { curve, hash } = found;
  return {
    key: key.toCryptoKey({ name: "ECDSA", namedCurve: curve }, false, usages),
    algorithm: { name: "ECDSA", hash },
  };
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

function privatePem(key: CryptoKey): string {
  return KeyObject.from(key).export({ type: "pkcs8", format: "pem" });
}
