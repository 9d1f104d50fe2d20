/** Making an API token, and telling it from all others. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** Bytes of a token of our own. */
const RANDOM_BYTES = 32;

export function newApiToken(): string {
  return randomBytes(RANDOM_BYTES).toString("base64url");
}

/**
 * @returns the question whether the value of an Authorization field has this token (RFC 6750 §2.1), answered in a time that
 * does not tell how much of another is like it
 */
export function bearerOf(token: string): (authorization: string | undefined) => boolean {
  const expected = hash(token);
  return (authorization) => {
    const found = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    return found !== undefined && timingSafeEqual(hash(found), expected);
  };
}

function hash(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
