/** Signs certificates for workloads, and tells whom somebody who has one is. */
import { verify, X509Certificate } from "node:crypto";

import { linkerdName, parseSpiffeId, spiffeId, type WorkloadIdentity } from "../../model/identity.ts";
import { fingerprint, possessionBytes } from "../../xds/certify.ts";
import { makeLeaf } from "./certificates.ts";
import type { TrustState } from "./trust-state.ts";

/** Milliseconds that clocks may differ (Linkerd's clockSkewAllowance): leaves are good from so long ago. */
export const CLOCK_SKEW_MS = 20_000;
/** Certificates in the chain that somebody shows, and bytes of each. */
export const CHAIN_LENGTH_MAX = 5;
export const CERTIFICATE_BYTES_MAX = 8 * 1024;

/** What was shown does not prove what it should. The message may be told to whoever showed it. */
export class ProofError extends Error {}

export interface AuthorityOptions {
  readonly trustDomain: string;
  /** Milliseconds that a leaf is good for. */
  readonly lifetimeMs: number;
  /** The wall clock: milliseconds since the epoch. */
  readonly now: () => number;
  readonly state: TrustState;
}

/** What every proxy is told. */
export interface Trust {
  /** DER. */
  readonly roots: readonly Buffer[];
  /** SHA-256. */
  readonly issuer: Buffer;
}

export interface Issued {
  /** DER, the leaf first. */
  readonly chain: readonly Buffer[];
  readonly notAfter: number;
}

interface KnownRoot {
  readonly certificate: X509Certificate;
  /** Undefined: it is trusted now. */
  readonly retiredAt: number | undefined;
}

export class Authority {
  readonly trustDomain: string;
  readonly lifetimeMs: number;
  readonly #listeners = new Set<() => void>();
  readonly #now: () => number;
  #state: TrustState;
  #trust: Trust;
  #known: readonly KnownRoot[];

  constructor({ trustDomain, lifetimeMs, now, state }: AuthorityOptions) {
    this.trustDomain = trustDomain;
    this.lifetimeMs = lifetimeMs;
    this.#now = now;
    this.#state = state;
    this.#trust = trustOf(state);
    this.#known = knownRoots(state);
  }

  get state(): TrustState {
    return this.#state;
  }

  get trust(): Trust {
    return this.#trust;
  }

  set(state: TrustState): void {
    const before = this.#trust;
    this.#state = state;
    this.#trust = trustOf(state);
    this.#known = knownRoots(state);
    if (sameTrust(before, this.#trust)) return;
    for (const listener of this.#listeners) listener();
  }

  /** Calls `listener` after each change of `trust`. @returns a function that ends it */
  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * A certificate for a workload's key. It never outlives what signs it.
   *
   * @param publicKey DER, SubjectPublicKeyInfo
   */
  async issue(identity: WorkloadIdentity, publicKey: Uint8Array): Promise<Issued> {
    const { issuer } = this.#state;
    const now = this.#now();
    const end = new X509Certificate(issuer.certificate).validToDate.getTime();
    const notAfter = Math.min(now + this.lifetimeMs, end);
    const names = { uris: [spiffeId(identity)], dnsNames: [linkerdName(identity)] };
    const leaf = await makeLeaf(issuer, publicKey, names, { notBefore: now - CLOCK_SKEW_MS, notAfter });
    const chain = [leaf, issuer.certificate, ...issuer.intermediates].map((text) => new X509Certificate(text).raw);
    return { chain, notAfter };
  }

  /**
   * Whose key has signed, by the chain that was shown with the signature. A certificate that expired, or whose root was
   * retired, less than a lifetime ago is taken too: who was away comes back.
   *
   * @throws ProofError
   */
  identityOf(
    proof: { readonly chain: readonly Uint8Array[]; readonly signature: Uint8Array },
    nonce: Uint8Array,
    request: Uint8Array,
  ): WorkloadIdentity {
    const chain = parseChain(proof.chain);
    const [leaf] = chain as [X509Certificate];
    if (leaf.ca) throw new ProofError("the certificate is an authority's, not a workload's");
    this.#mustDescend(chain);
    const identity = this.#named(leaf);
    if (leaf.publicKey.asymmetricKeyType !== "ec") throw new ProofError("the certificate's key is not an EC key");
    if (!verify("sha256", possessionBytes(nonce, request), leaf.publicKey, proof.signature)) {
      throw new ProofError("the signature is not by the certificate's key");
    }
    return identity;
  }

  #mustDescend(chain: readonly X509Certificate[]): void {
    const now = this.#now();
    for (const [index, certificate] of chain.entries()) {
      const what = index === 0 ? "certificate" : "authority's certificate";
      if (certificate.validFromDate.getTime() > now + CLOCK_SKEW_MS) {
        throw new ProofError(`the ${what} is not valid before ${certificate.validFromDate.toISOString()}`);
      }
      if (certificate.validToDate.getTime() + this.lifetimeMs < now) {
        throw new ProofError(`the ${what} has expired at ${certificate.validToDate.toISOString()}`);
      }
      const root = this.#known.find(({ certificate: known }) => signed(certificate, known));
      if (root !== undefined) {
        if (root.retiredAt === undefined || root.retiredAt + this.lifetimeMs >= now) return;
        throw new ProofError("the certificate descends from a root that was retired too long ago");
      }
      const above = chain[index + 1];
      if (above === undefined || !above.ca || !signed(certificate, above)) break;
    }
    throw new ProofError("the certificate does not descend from a root of this mesh");
  }

  #named(leaf: X509Certificate): WorkloadIdentity {
    const uris = (leaf.subjectAltName ?? "").split(", ").filter((name) => name.startsWith("URI:"));
    const identity = uris.length === 1 ? parseSpiffeId((uris[0] as string).slice("URI:".length)) : undefined;
    if (identity === undefined) throw new ProofError("the certificate names no workload: expected one SPIFFE id");
    if (identity.trustDomain === this.trustDomain) return identity;
    throw new ProofError(`the certificate is of the trust domain ${identity.trustDomain}, not ${this.trustDomain}`);
  }
}

function parseChain(chain: readonly Uint8Array[]): X509Certificate[] {
  if (chain.length === 0 || chain.length > CHAIN_LENGTH_MAX) {
    throw new ProofError(`expected 1 to ${CHAIN_LENGTH_MAX} certificates, found ${chain.length}`);
  }
  return chain.map((der) => {
    if (der.length > CERTIFICATE_BYTES_MAX) {
      throw new ProofError(`a certificate of ${der.length} bytes; at most ${CERTIFICATE_BYTES_MAX} are taken`);
    }
    try {
      return new X509Certificate(der);
    } catch {
      throw new ProofError("what was shown is not a certificate");
    }
  });
}

function signed(certificate: X509Certificate, by: X509Certificate): boolean {
  return certificate.checkIssued(by) && certificate.verify(by.publicKey);
}

function trustOf({ roots, issuer }: TrustState): Trust {
  return {
    roots: roots.map((root) => new X509Certificate(root).raw),
    issuer: fingerprint(new X509Certificate(issuer.certificate).raw),
  };
}

function knownRoots({ roots, retired }: TrustState): KnownRoot[] {
  return [
    ...roots.map((root) => ({ certificate: new X509Certificate(root), retiredAt: undefined })),
    ...retired.map(({ certificate, retiredAt }) => ({ certificate: new X509Certificate(certificate), retiredAt })),
  ];
}

function sameTrust(a: Trust, b: Trust): boolean {
  return a.issuer.equals(b.issuer) && Buffer.concat(a.roots).equals(Buffer.concat(b.roots));
}
