/** What an authority goes by at one moment, and where it wants to get. Plain data, replaced in whole. */
import { X509Certificate } from "node:crypto";

import { fingerprint } from "../../xds/certify.ts";
import type { Signer } from "./certificates.ts";

/** Who signs leaves. */
export interface Issuer extends Signer {
  /** PEM: the certificates between it and a root, the nearest first; sent with each leaf. */
  readonly intermediates: readonly string[];
}

export interface TrustGoal {
  /** PEM: every root that proxies are to trust. */
  readonly roots: readonly string[];
  readonly issuer: Issuer;
  /**
   * PEM: each root certified by the one before it, the newest first. The control plane shows them to sidecars, so that one
   * which was away while its only root was retired still believes it, and comes back.
   */
  readonly crosses: readonly string[];
}

export interface TrustState extends TrustGoal {
  /** Roots that are trusted no more, but still good as a proof for who was away meanwhile. */
  readonly retired: readonly { readonly certificate: string; readonly retiredAt: number }[];
  /** What a rotation that is under way leads to, and how far it is. Times are milliseconds since the epoch. */
  readonly goal: (TrustGoal & { readonly phase: RotationPhase; readonly startedAt: number }) | undefined;
}

/** See rotation.ts. */
export type RotationPhase = "trust" | "renew" | "retire";

const BLOCK = /-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]*-----END CERTIFICATE-----/g;

/** The certificates of a PEM text, each as a PEM text of its own in one form, so that equal ones are equal texts. */
export function splitPem(text: string): string[] {
  return (text.match(BLOCK) ?? []).map((block) => new X509Certificate(block).toString());
}

/** SHA-256 in hexadecimal. */
export function fingerprintOf(certificate: string): string {
  return fingerprint(new X509Certificate(certificate).raw).toString("hex");
}

/** On one line. A certificate without a subject has names instead; Node says undefined for it, whatever its types say. */
export function subjectOf({ subject, subjectAltName }: X509Certificate): string {
  return (subject || subjectAltName || "").replaceAll("\n", ", ");
}
