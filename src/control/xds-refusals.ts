/** Counts and logs who is refused at the xDS port: as strangers can come as often as they like, not each is a line. */
import type { Clock } from "../net/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Counter, Family } from "../telemetry/metrics.ts";
import { rareLine } from "./rare-line.ts";

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
  const log = rareLine(clock, (fields) => logger.warn("somebody was refused at the xDS port", fields));
  return (reason, detail, peer) => {
    refused.labels({ reason }).inc();
    log({ reason, peer, detail });
  };
}
