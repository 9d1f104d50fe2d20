/** The bounds that both HTTP codecs hold their peers to. Each is reached by a test. */
export interface HttpLimits {
  /** Bytes of a request line or status line. Beyond: 414 for a request. */
  readonly startLineBytes: number;
  /** Bytes of a whole head (HTTP/1) or the size of a header list by RFC 9113 §6.5.2 (HTTP/2). Beyond: 431. */
  readonly headBytes: number;
  /** Fields in one head or trailer section. Beyond: 431. */
  readonly headerCount: number;
  /** Milliseconds from the first byte of a head to its end. Beyond: 408. */
  readonly headTimeoutMs: number;
  /** Exchanges that a peer may have open at once on one HTTP/2 connection. */
  readonly concurrentStreams: number;
}

/** Linkerd's and Node's defaults lie between 16 KiB and 64 KiB for a head. */
export const defaultHttpLimits: HttpLimits = {
  startLineBytes: 16 * 1024,
  headBytes: 64 * 1024,
  headerCount: 128,
  headTimeoutMs: 10_000,
  concurrentStreams: 1_000,
};
