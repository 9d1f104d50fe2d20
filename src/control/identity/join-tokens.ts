/**
 * Secrets by which a workload that has no certificate yet proves who it is. Whoever starts a sidecar asks for one and gives
 * it to that sidecar only. Each is good once. What is kept of a token cannot be used as one.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

import type { Clock } from "../../net/clock.ts";
import { ProofError } from "./authority.ts";

/** Milliseconds in which a token must be used. */
export const TOKEN_LIFETIME_MS = 10 * 60_000;
/** Tokens that wait to be used. */
export const TOKENS_MAX = 10_000;

const ID_BYTES = 9;
const SECRET_BYTES = 32;

/** Whom a token stands for. */
export interface TokenSubject {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly workload: string;
}

interface Waiting {
  readonly subject: TokenSubject;
  readonly hash: Buffer;
  /** By the clock. */
  readonly until: number;
}

export class JoinTokens {
  readonly #clock: Clock;
  /** By the public half; the oldest first. */
  readonly #waiting = new Map<string, Waiting>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @returns the token's two halves (see xds/join-token.ts), or undefined if too many wait to be used */
  create(subject: TokenSubject): { readonly id: string; readonly secret: string } | undefined {
    this.#forgetExpired();
    if (this.#waiting.size >= TOKENS_MAX) return undefined;
    const id = randomBytes(ID_BYTES).toString("base64url");
    const secret = randomBytes(SECRET_BYTES).toString("base64url");
    this.#waiting.set(id, { subject, hash: hash(secret), until: this.#clock.now() + TOKEN_LIFETIME_MS });
    return { id, secret };
  }

  /**
   * Uses a token up.
   *
   * @param token "id.secret"
   * @throws ProofError if it is none, is not for `workload`, or was good once
   */
  redeem(token: string, workload: string): TokenSubject {
    this.#forgetExpired();
    const [id = "", secret = ""] = token.split(".");
    const found = this.#waiting.get(id);
    // Two hashes of equal length, compared in constant time; the id is no secret.
    if (found === undefined || !timingSafeEqual(found.hash, hash(secret))) {
      throw new ProofError("the join token is not known: each is good once, and for ten minutes");
    }
    this.#waiting.delete(id);
    if (found.subject.workload !== workload) {
      throw new ProofError(`the join token is not for the workload "${workload}"; it is used up now`);
    }
    return found.subject;
  }

  /** Tokens that wait to be used. */
  get size(): number {
    this.#forgetExpired();
    return this.#waiting.size;
  }

  #forgetExpired(): void {
    const now = this.#clock.now();
    for (const [id, { until }] of this.#waiting) {
      if (until > now) break;
      this.#waiting.delete(id);
    }
  }
}

function hash(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}
