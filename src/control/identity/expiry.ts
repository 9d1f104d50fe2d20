/** Says in time that a root or the issuer is about to expire. */
import { X509Certificate } from "node:crypto";

import type { Clock, Timer } from "../../net/clock.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Authority } from "./authority.ts";
import { fingerprintOf } from "./trust-state.ts";

const DAY_MS = 86_400_000;
/** Milliseconds that are left: a warning, then an error. */
export const EXPIRY_WARNING_MS = 30 * DAY_MS;
export const EXPIRY_ERROR_MS = 7 * DAY_MS;
/** Milliseconds between two looks; each says it again. */
export const LOOK_AT_EXPIRY_EVERY_MS = DAY_MS / 2;

export interface Expiry {
  readonly what: "root" | "issuer";
  /** SHA-256 in hexadecimal. */
  readonly fingerprint: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Of the roots that are trusted, and of the issuer. */
export function expiriesOf(authority: Authority): Expiry[] {
  const { roots, issuer } = authority.state;
  const expiry = (what: Expiry["what"], text: string): Expiry => {
    const { validFromDate, validToDate } = new X509Certificate(text);
    const fingerprint = fingerprintOf(text);
    return { what, fingerprint, notBefore: validFromDate.getTime(), notAfter: validToDate.getTime() };
  };
  return [...roots.map((root) => expiry("root", root)), expiry("issuer", issuer.certificate)];
}

/** Looks now, and again and again. @returns a function that ends it */
export function warnOfExpiry(authority: Authority, clock: Clock, now: () => number, logger: Logger): () => void {
  let timer: Timer | undefined;
  const look = (): void => {
    for (const { what, fingerprint, notAfter } of expiriesOf(authority)) {
      const left = notAfter - now();
      if (left > EXPIRY_WARNING_MS) continue;
      const fields = {
        days: Math.floor(left / DAY_MS),
        expires: new Date(notAfter).toISOString(),
        fingerprint,
        change: what === "root" ? "heddle identity rotate" : "heddle identity rotate --issuer",
      };
      if (left > EXPIRY_ERROR_MS) logger.warn(`the ${what} certificate of the mesh expires soon`, fields);
      else
        logger.error(`the ${what} certificate of the mesh ${left > 0 ? "expires within days" : "has expired"}`, fields);
    }
    timer = clock.after(LOOK_AT_EXPIRY_EVERY_MS, look);
  };
  look();
  return () => timer?.cancel();
}
