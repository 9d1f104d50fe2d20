/**
 * What the control plane proves with who it is, towards sidecars: a certificate by its own authority, like theirs. Its key
 * is in memory only. It is renewed when most of its life is over, and at once when the roots or the issuer change.
 */
import { generateKeyPairSync, X509Certificate } from "node:crypto";

import { controlIdentity, spiffeId } from "../../model/identity.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import type { Credentials, CredentialSource } from "../../net/credentials.ts";
import type { Logger } from "../../telemetry/log.ts";
import { type Authority, CLOCK_SKEW_MS } from "./authority.ts";

/** The part of its life after which the next is made, as sidecars do. */
const RENEW_AFTER = 0.7;
/** Milliseconds between two looks at the wall clock, at most: a machine may sleep. */
export const LOOK_AT_WALL_CLOCK_EVERY_MS = 30_000;
/** Milliseconds until the next is made, at least: an issuer that has expired signs nothing that lasts. */
export const RENEW_LEAST_MS = 1_000;

export interface ServerCertificateOptions {
  readonly authority: Authority;
  readonly clock: Clock;
  /** The wall clock: milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Logger;
}

export class ServerCertificate implements CredentialSource {
  readonly #options: ServerCertificateOptions;
  readonly #listeners = new Set<(credentials: Credentials) => void>();
  readonly #unwatch: () => void;
  #current: Credentials | undefined;
  /** Milliseconds since the epoch. */
  #renewAt = 0;
  #timer: Timer | undefined;
  /** One at a time. */
  #renewing: Promise<void> | undefined;
  #wanted = false;
  #closed = false;

  private constructor(options: ServerCertificateOptions) {
    this.#options = options;
    this.#unwatch = options.authority.watch(() => void this.#renew());
  }

  /** @throws Error if the authority cannot sign */
  static async open(options: ServerCertificateOptions): Promise<ServerCertificate> {
    const certificate = new ServerCertificate(options);
    try {
      await certificate.#make();
    } catch (error) {
      certificate.close();
      throw error;
    }
    certificate.#lookLater();
    return certificate;
  }

  get current(): Credentials | undefined {
    return this.#current;
  }

  watch(listener: (credentials: Credentials) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    this.#closed = true;
    this.#unwatch();
    this.#timer?.cancel();
    this.#listeners.clear();
  }

  #lookLater(): void {
    if (this.#closed) return;
    const { clock, now } = this.#options;
    // A timer may come a moment early.
    const left = Math.max(1, Math.ceil(this.#renewAt - now()));
    this.#timer?.cancel();
    this.#timer = clock.after(Math.min(LOOK_AT_WALL_CLOCK_EVERY_MS, left), () => {
      if (now() >= this.#renewAt) void this.#renew();
      else this.#lookLater();
    });
  }

  /** What is asked for while one is made is made after it: that one may be by the issuer of before. */
  #renew(): Promise<void> {
    this.#wanted = true;
    this.#renewing ??= this.#renewAll().finally(() => (this.#renewing = undefined));
    return this.#renewing;
  }

  async #renewAll(): Promise<void> {
    try {
      while (this.#wanted && !this.#closed) {
        this.#wanted = false;
        await this.#make();
      }
    } catch (error) {
      const { message } = error as Error;
      this.#renewAt = this.#options.now() + LOOK_AT_WALL_CLOCK_EVERY_MS;
      this.#options.logger.error("the control plane's own certificate cannot be renewed; the one before stays", {
        reason: message,
      });
    }
    this.#lookLater();
  }

  async #make(): Promise<void> {
    const { authority, now } = this.#options;
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const { roots, crosses } = authority.state;
    const identity = controlIdentity(authority.trustDomain);
    const begun = now();
    const { chain, notAfter } = await authority.issue(identity, publicKey.export({ type: "spki", format: "der" }));
    if (this.#closed) return;
    const good = crosses.filter((cross) => new X509Certificate(cross).validToDate.getTime() > begun);
    const credentials: Credentials = {
      key: privateKey.export({ type: "pkcs8", format: "pem" }),
      chain: [...chain.map((der) => new X509Certificate(der).toString()), ...good].join(""),
      anchors: roots.join(""),
      identity: spiffeId(identity),
      notBefore: begun - CLOCK_SKEW_MS,
      notAfter,
    };
    this.#renewAt = begun + Math.max(RENEW_LEAST_MS, (notAfter - begun) * RENEW_AFTER);
    this.#current = credentials;
    for (const listener of this.#listeners) listener(credentials);
  }
}
