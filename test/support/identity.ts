/** A certificate authority for tests: credentials of any identity, also such as should be refused. */
import { createPublicKey, generateKeyPairSync } from "node:crypto";

import { makeIssuer, makeLeaf, makeRoot, type Signer, type Validity } from "../../src/control/identity/certificates.ts";
import { linkerdName, parseSpiffeId } from "../../src/model/identity.ts";
import type { Credentials, CredentialSource } from "../../src/net/credentials.ts";

const HOUR_MS = 3_600_000;

export interface TestCa {
  readonly root: Signer;
  readonly issuer: Signer;
  /** PEM: its root. */
  readonly anchors: string;
  /**
   * @param identity a SPIFFE id: "spiffe://cluster.local/ns/shop/sa/price"
   * @param over what is to differ: validity (an hour ago to in an hour), the names in the certificate, who is believed
   */
  credentials(identity: string, over?: Partial<LeafOptions>): Promise<Credentials>;
}

interface LeafOptions extends Validity {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly anchors: string;
}

/**
 * @param over validity of the root and the issuer: as a rule an hour ago to in an hour
 * @param by those of somebody else
 */
export async function makeTestCa(
  over: Partial<Validity> = {},
  by?: { readonly root: Signer; readonly issuer: Signer },
): Promise<TestCa> {
  const validity = { notBefore: Date.now() - HOUR_MS, notAfter: Date.now() + HOUR_MS, ...over };
  const root = by?.root ?? (await makeRoot(validity));
  const issuer = by?.issuer ?? (await makeIssuer(root, validity));
  return {
    root,
    issuer,
    anchors: root.certificate,
    async credentials(identity, leaf = {}) {
      const named = parseSpiffeId(identity);
      const options: LeafOptions = {
        ...validity,
        uris: [identity],
        dnsNames: named === undefined ? [] : [linkerdName(named)],
        anchors: root.certificate,
        ...leaf,
      };
      const { notBefore, notAfter } = options;
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "der" });
      const certificate = await makeLeaf(issuer, publicKey, options, options);
      return {
        key: privateKey.export({ type: "pkcs8", format: "pem" }),
        chain: certificate + issuer.certificate,
        anchors: options.anchors,
        identity,
        notBefore,
        notAfter,
      };
    },
  };
}

/** Credentials that a test replaces when it likes; undefined: there are none yet. */
export class TestCredentials implements CredentialSource {
  current: Credentials | undefined;
  readonly #listeners = new Set<(credentials: Credentials) => void>();

  constructor(current: Credentials | undefined) {
    this.current = current;
  }

  replace(credentials: Credentials): void {
    this.current = credentials;
    for (const listener of this.#listeners) listener(credentials);
  }

  watch(listener: (credentials: Credentials) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
