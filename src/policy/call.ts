/** What is asked of a policy, and what it answers. */
import type { Origin } from "../model/inbound-policy.ts";

/** Field names and values by turns, as the codecs have them. */
type Fields = readonly string[];

/** In place of a service port: the application has one that no document can name. What is said of ports is not known of it. */
export const UNNAMED_PORT = 0;

export interface Peer {
  /** The SPIFFE id that it has proved; "" if none. */
  readonly identity: string;
  /** IP address; "" if it is not known (a Unix socket). */
  readonly address: string;
}

export interface CallRequest {
  readonly method: string;
  /** Origin form, with the query. */
  readonly path: string;
  /** Host or :authority. */
  readonly host: string;
  readonly headers: Fields;
}

/** The claims of a token that was found valid. */
export type JwtClaims = Readonly<Record<string, unknown>>;

/** One request, or one connection whose bytes nobody looks at (without `request`). */
export interface Call {
  readonly peer: Peer;
  /** The service port, as callers say it, or {@link UNNAMED_PORT}. */
  readonly port: number;
  /** Of the workload; "" if it is not known. */
  readonly localAddress: string;
  /** The TLS server name; "" if there is none. */
  readonly sni: string;
  readonly request?: CallRequest | undefined;
  readonly jwt?: JwtClaims | undefined;
}

export interface Decision {
  readonly allowed: boolean;
  /** What decided. */
  readonly origin: Origin;
  /** For humans: one sentence, with the document and its line. */
  readonly reason: string;
  /** What would have refused the call, or marks it for the log: audit rules, audit modes, rules on trial (dry-run). */
  readonly audited: readonly Origin[];
  /** Allowed if these providers, asked in this order, all say so. Only with `allowed`. */
  readonly external?: readonly string[];
}
