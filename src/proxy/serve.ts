/** What becomes of an accepted connection: looked at if need be, then HTTP, or bytes passed through, or refused. */
import type { Connection } from "../net/connection.ts";
import { type Detection, detectProtocol } from "../protocol/detect.ts";
import type { ProxyContext } from "./context.ts";
import { type HttpContext, serveHttp } from "./http-session.ts";
import type { Session } from "./listener.ts";
import type { Direction } from "./metrics.ts";

/** Milliseconds that detection waits for the first bytes. Linkerd waits ten times as long (design, decision 10). */
export const DETECT_TIMEOUT_MS = 1_000;

/**
 * Milliseconds that a listener which takes nothing but HTTP waits for the first bytes: there is nothing to decide, and
 * clients open connections ahead of their need.
 */
export const FIRST_BYTES_TIMEOUT_MS = 60_000;

/** Passes bytes through; `first` was read already. */
export type ServeOpaque = (connection: Connection, first: Buffer, ended: boolean, done: () => void) => Session;

/**
 * Detects the protocol and serves accordingly.
 *
 * @param opaque what to do with bytes that are not HTTP; undefined: they are refused
 */
export function serveDetected(
  connection: Connection,
  direction: Direction,
  context: ProxyContext,
  http: HttpContext,
  opaque: ServeOpaque | undefined,
  done: () => void,
): Session {
  const { metrics, clock, logger } = context;
  const startedAt = clock.now();
  let session: Session | undefined;
  const decide = (detection: Detection): void => {
    const { protocol, timedOut, first, ended } = detection;
    const result = RESULTS[protocol];
    metrics.detections[direction].labels({ direction, result: timedOut ? "read_timeout" : result }).inc();
    metrics.detectSeconds[direction].labels({ direction }).observe((clock.now() - startedAt) / 1_000);
    if (protocol === "http1" || protocol === "http2") {
      const codec = serveHttp(connection, protocol, http, done);
      session = codec;
      codec.onData(first);
      if (ended) codec.onEnd();
      connection.resume();
      return;
    }
    if (opaque !== undefined && !(ended && first.length === 0)) {
      session = opaque(connection, first, ended, done);
      return;
    }
    if (first.length > 0) {
      metrics.tcpErrors[direction].labels({ direction, error: "not_http" }).inc();
      logger.warn("refused a connection that does not speak HTTP", {
        direction,
        peer: `${connection.remoteAddress}:${connection.remotePort}`,
        found: protocol === "tls" ? "TLS" : first.subarray(0, 16).toString("latin1"),
      });
    }
    connection.handler = closing(done);
    connection.destroy();
  };
  const timeoutMs = opaque === undefined ? FIRST_BYTES_TIMEOUT_MS : DETECT_TIMEOUT_MS;
  detectProtocol(connection, { timeoutMs, clock, onClose: done }, decide);
  return {
    shutdown: () => (session === undefined ? connection.destroy() : session.shutdown()),
    destroy: () => (session === undefined ? connection.destroy() : session.destroy()),
  };
}

const RESULTS = { http1: "http/1", http2: "http/2", tls: "not_http", opaque: "not_http" } as const;

function closing(done: () => void): Connection["handler"] {
  return { onData() {}, onEnd() {}, onDrain() {}, onClose: done };
}
