/** Why a TLS handshake came to nothing, in words that can be counted. */

/** Milliseconds that a handshake may take, from the first byte on. Linkerd: 10 s. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;

export type HandshakeReason =
  /** The peer showed none. */
  | "no_certificate"
  | "expired"
  | "not_yet_valid"
  /** It leads to none of our roots. */
  | "unknown_ca"
  /** Anything else that is wrong with it. */
  | "bad_certificate"
  /** There is no SPIFFE id in it. */
  | "no_identity"
  /** There is one, of somebody else than is meant. */
  | "wrong_identity"
  /** It speaks no TLS 1.3. */
  | "protocol_version"
  /** Nothing in common: ciphers, groups, protocols inside. */
  | "no_agreement"
  /** It has sent an alert: it does not believe us. */
  | "refused_by_peer"
  /** It is not TLS, or broken. */
  | "protocol_error"
  | "timeout"
  | "closed"
  /** It spoke no TLS of the mesh where nothing else is taken. */
  | "plaintext"
  /** Too many handshakes are under way. */
  | "overload"
  /** We have no certificate yet. */
  | "no_credentials";

export class HandshakeError extends Error {
  override readonly name = "HandshakeError";
  /** As `tcp_close_total` counts it. */
  readonly code = "TLS_HANDSHAKE";
  readonly reason: HandshakeReason;

  constructor(reason: HandshakeReason, message: string, cause?: Error) {
    super(message, { cause });
    this.reason = reason;
  }
}

/** By OpenSSL's names of what is wrong with a certificate, and by those of its errors that are not alerts. */
const REASONS: Readonly<Record<string, HandshakeReason>> = {
  CERT_HAS_EXPIRED: "expired",
  CERT_NOT_YET_VALID: "not_yet_valid",
  UNABLE_TO_GET_ISSUER_CERT: "unknown_ca",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "unknown_ca",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "unknown_ca",
  SELF_SIGNED_CERT_IN_CHAIN: "unknown_ca",
  DEPTH_ZERO_SELF_SIGNED_CERT: "unknown_ca",
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: "no_certificate",
  ERR_SSL_UNSUPPORTED_PROTOCOL: "protocol_version",
  ERR_SSL_NO_SHARED_CIPHER: "no_agreement",
  ERR_SSL_NO_SUITABLE_KEY_SHARE: "no_agreement",
  ERR_SSL_NO_SUITABLE_GROUPS: "no_agreement",
  ERR_SSL_NO_APPLICATION_PROTOCOL: "no_agreement",
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: "no_agreement",
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: "protocol_version",
};

const SENTENCES: Partial<Readonly<Record<HandshakeReason, string>>> = {
  expired: "the peer's certificate has expired",
  not_yet_valid: "the peer's certificate is not valid yet; compare the clocks",
  unknown_ca: "the peer's certificate leads to none of our roots",
  no_certificate: "the peer has shown no certificate",
  protocol_version: "the peer does not speak TLS 1.3",
};

/** What OpenSSL or the system said, in our words. Without an error the connection was just closed. */
export function reasonOf(error: Error | undefined): HandshakeError {
  if (error instanceof HandshakeError) return error;
  const code = error !== undefined && "code" in error ? String(error.code) : "";
  const known = REASONS[code];
  if (known !== undefined)
    return new HandshakeError(
      known,
      SENTENCES[known] ?? `nothing that both sides take: ${error?.message ?? code}`,
      error,
    );
  if (/^ERR_SSL_.*_ALERT_/.test(code)) {
    return new HandshakeError("refused_by_peer", `the peer has refused us: ${alertOf(code)}`, error);
  }
  if (code.startsWith("ERR_SSL_") || code === "EPROTO") {
    return new HandshakeError("protocol_error", `broken TLS: ${error?.message ?? code}`, error);
  }
  if (/^[A-Z_]+$/.test(code) && !code.startsWith("E")) {
    return new HandshakeError(
      "bad_certificate",
      `the peer's certificate is not valid: ${error?.message ?? code}`,
      error,
    );
  }
  const detail = error === undefined ? "" : `: ${error.message}`;
  return new HandshakeError("closed", `the connection was lost during the TLS handshake${detail}`, error);
}

/** "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA" → "unknown ca" */
function alertOf(code: string): string {
  return code
    .replace(/^.*_ALERT_/, "")
    .replaceAll("_", " ")
    .toLowerCase();
}
