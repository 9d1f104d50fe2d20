/** Counts and logs who is refused at the xDS port: as strangers can come as often as they like, not each is a line. */
import type { Clock } from "../net/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Counter, Family } from "../telemetry/metrics.ts";

/** Milliseconds between two lines. */
export const REFUSAL_LOG_EVERY_MS = 10_000;

export type XdsRefusal =
  /** It speaks no TLS, and comes from another host. */
  | "plaintext"
  | "handshake"
  /** It took too long. */
  | "silent"
  /** Too many were about to come in. */
  | "full"
  /** It asks for what only workloads of the mesh are told, without a certificate. */
  | "no_certificate"
  /** … with one that is not by our authority, or not good now. */
  | "bad_certificate"
  /** … with one of another trust domain. */
  | "trust_domain"
  /** It says that it is of another namespace than its certificate. */
  | "namespace";

/** @param peer its address, or who it has proved to be */
export type OnRefused = (reason: XdsRefusal, detail: string, peer: string | undefined) => void;

export function xdsRefusals(refused: Family<Counter>, clock: Clock, logger: Logger): OnRefused {
  let loggedAt = -Infinity;
  let unlogged = 0;
  return (reason, detail, peer) => {
    refused.labels({ reason }).inc();
    if (clock.now() - loggedAt < REFUSAL_LOG_EVERY_MS) {
      unlogged++;
      return;
    }
    const others = unlogged === 0 ? undefined : unlogged;
    logger.warn("somebody was refused at the xDS port", { reason, peer, detail, others });
    loggedAt = clock.now();
    unlogged = 0;
  };
}
