/** What a sidecar proves itself with, and whom it believes. Replaced in whole when a certificate is renewed. */

export interface Credentials {
  /** PEM, PKCS #8. It never leaves the process that made it. */
  readonly key: string;
  /** PEM: the leaf first, then its issuer. */
  readonly chain: string;
  /** PEM: every root that a peer may descend from. More than one while roots are changed. */
  readonly anchors: string;
  /** The SPIFFE id in the leaf. */
  readonly identity: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface CredentialSource {
  /** undefined until the first ones are there. */
  readonly current: Credentials | undefined;
  /** Called with each new ones. @returns a function that ends it */
  watch(listener: (credentials: Credentials) => void): () => void;
}
