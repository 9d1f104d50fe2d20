/**
 * Keeps a sidecar in possession of a certificate, over one stream to the control plane that stays open.
 *
 *   connecting ──challenge──▶ proving ──trust──▶ known ──lost──▶ waiting ──delay──▶ connecting
 *
 * The first certificate is asked for with the join token, every other with the one before. A new one is asked for when most
 * of the life of the present one is over, or when the authority says that another issuer signs now. Whatever goes wrong, the
 * present one stays until it is replaced.
 *
 * Time is reckoned from when a certificate came, by the authority's own clock and by how long it is good for; what our wall
 * clock says is compared only to notice that this machine slept. So a clock that is wrong does not make us ask again and
 * again; it is reported, since peers go by theirs.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject, sign, X509Certificate } from "node:crypto";

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

import { spiffeId, type WorkloadIdentity } from "../../model/identity.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import type { Credentials, CredentialSource } from "../../net/credentials.ts";
import { GrpcCode } from "../../protocol/grpc.ts";
import type { Logger } from "../../telemetry/log.ts";
import { fingerprint, possessionBytes } from "../../xds/certify.ts";
import type { ClientStream, ClientTransport } from "../../xds/client-transport.ts";
import {
  type Certificate,
  CertifyRequestSchema,
  type CertifyResponse,
  CertifyResponseSchema,
  type Trust,
} from "../../xds/gen/heddle/identity/v1/identity_pb.ts";
import { ReconnectDelay } from "../../xds/reconnect.ts";
import { certificateRequest } from "./certificate-request.ts";
import { checkGranted, type GrantedCertificate, ROOTS_MAX } from "./granted-certificate.ts";

/** The part of a certificate's remaining life after which the next is asked for (Linkerd: 0.7), and how far it is spread. */
export const RENEW_AFTER = 0.7;
export const RENEW_SPREAD = 0.05;
/** Milliseconds over which the proxies of a mesh spread when a new issuer signs. */
export const NEW_ISSUER_SPREAD_MS = 1_000;
/** Milliseconds between two looks at the time: a machine that sleeps stops our clock, but not a certificate's life. */
export const LOOK_AT_TIME_EVERY_MS = 30_000;
/** Milliseconds in which the control plane must answer. */
export const CERTIFY_TIMEOUT_MS = 10_000;
/** Milliseconds that clocks may differ before it is said. */
export const CLOCK_DIFFERENCE_MAX_MS = 20_000;

export interface IdentityClientOptions {
  readonly identity: WorkloadIdentity;
  readonly workload: string;
  readonly token: string;
  readonly transport: ClientTransport;
  readonly clock: Clock;
  /** The wall clock: milliseconds since the epoch. */
  readonly now: () => number;
  /** Uniform in 0 (inclusive) to 1. */
  readonly random: () => number;
  readonly logger: Logger;
  /** The control plane knows us no more, and there is no certificate that is still good: nothing can come of us. */
  readonly onRefused: (reason: string) => void;
}

/** The certificate in use, and the key that only we have. */
interface Held {
  readonly key: KeyObject;
  readonly pem: string;
  readonly granted: GrantedCertificate;
  /** When it came, by the clock and by the wall clock. */
  readonly cameAt: number;
  readonly cameAtWall: number;
  /** Milliseconds from then until the next is asked for, and until it is good no more. */
  readonly renewAfterMs: number;
  readonly lifeMs: number;
}

interface Trusted {
  /** DER. */
  readonly roots: readonly Buffer[];
  readonly certificates: readonly X509Certificate[];
  /** PEM. */
  readonly anchors: string;
  readonly issuer: Buffer;
}

export class IdentityClient implements CredentialSource {
  /** Certificates that came. */
  refreshes = 0;
  readonly #options: IdentityClientOptions;
  readonly #id: string;
  readonly #delay: ReconnectDelay;
  readonly #listeners = new Set<(credentials: Credentials) => void>();
  #current: Credentials | undefined;
  #held: Held | undefined;
  #trusted: Trusted | undefined;
  #stream: ClientStream | undefined;
  /** Of the stream that is open. */
  #nonce: Uint8Array | undefined;
  /** What a certificate is on its way for. */
  #asked: KeyObject | undefined;
  /** The next certificate is due though the present one is young: another issuer signs now. */
  #wanted = false;
  #timeout: Timer | undefined;
  #reconnect: Timer | undefined;
  #renewal: Timer | undefined;
  #failure = "";
  #expiryLogged = false;
  #clockLogged = false;
  #closed = false;

  constructor(options: IdentityClientOptions) {
    this.#options = options;
    this.#id = spiffeId(options.identity);
    this.#delay = new ReconnectDelay(options.random);
    this.#connect();
  }

  get current(): Credentials | undefined {
    return this.#current;
  }

  watch(listener: (credentials: Credentials) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** What there is stays in use; no other is asked for. */
  close(): void {
    this.#closed = true;
    for (const timer of [this.#timeout, this.#reconnect, this.#renewal]) timer?.cancel();
    this.#stream?.close();
    this.#listeners.clear();
  }

  #connect(): void {
    this.#stream = this.#options.transport.open({
      onOpen: () => {},
      onMessage: (bytes) => this.#received(bytes),
      onClose: (reason, status) => this.#lost(reason, status),
    });
    this.#expectAnswer();
  }

  #received(bytes: Uint8Array): void {
    let response: CertifyResponse["response"];
    try {
      ({ response } = fromBinary(CertifyResponseSchema, bytes));
      if (response.case === "challenge") this.#challenged(response.value.nonce);
      else if (response.case === "trust") this.#told(response.value);
      else if (response.case === "certificate") this.#granted(response.value);
    } catch (error) {
      this.#stream?.close();
      this.#lost((error as Error).message);
    }
  }

  #challenged(nonce: Uint8Array): void {
    // The message is valid only during the call.
    this.#nonce = Uint8Array.from(nonce);
    this.#certify(this.#held === undefined || this.#wanted || this.#age(this.#held) >= this.#held.renewAfterMs);
  }

  /** Proves who we are. @param renew ask for a certificate, too */
  #certify(renew: boolean): void {
    const { identity, workload, token } = this.#options;
    if (this.#nonce === undefined) return;
    let request: Uint8Array = new Uint8Array(0);
    if (renew) {
      this.#asked = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
      request = certificateRequest(this.#asked, identity);
    }
    const held = this.#held;
    const value = { workload, request };
    if (held === undefined) {
      this.#send({ case: "certification", value: { ...value, proof: { case: "joinToken", value: token } } });
    } else {
      const signature = sign("sha256", possessionBytes(this.#nonce, request), held.key);
      const possession = { chain: [...held.granted.der], signature };
      this.#send({ case: "certification", value: { ...value, proof: { case: "possession", value: possession } } });
    }
    this.#expectAnswer();
  }

  #told({ roots, issuer }: Trust): void {
    if (roots.length === 0 || roots.length > ROOTS_MAX) {
      throw new Error(`the authority named ${roots.length} roots; expected 1 to ${ROOTS_MAX}`);
    }
    const certificates = roots.map((der) => new X509Certificate(der));
    const trusted = {
      roots: certificates.map(({ raw }) => raw),
      certificates,
      anchors: certificates.map((certificate) => certificate.toString()).join(""),
      issuer: Buffer.from(issuer),
    };
    const changed = trusted.anchors !== this.#trusted?.anchors;
    this.#trusted = trusted;
    this.#answered();
    const held = this.#held;
    if (held === undefined) return;
    if (changed) this.#adopt(held, trusted);
    this.#report(held, trusted);
    if (!held.granted.issuer.equals(trusted.issuer) && this.#asked === undefined) {
      this.#wanted = true;
      this.#lookAfter(this.#options.random() * NEW_ISSUER_SPREAD_MS);
    }
  }

  #granted({ chain, now }: Certificate): void {
    const { clock, random, logger } = this.#options;
    const key = this.#asked;
    const trusted = this.#trusted;
    if (key === undefined || trusted === undefined) throw new Error("the authority sent a certificate unasked");
    const der = chain.map((one) => Buffer.from(one));
    const granted = checkGranted(der, trusted.certificates, createPublicKey(key), this.#id);
    const lifeMs = granted.notAfter - Number(now);
    this.#asked = undefined;
    this.#wanted = false;
    this.#expiryLogged = false;
    this.refreshes++;
    const held: Held = {
      key,
      pem: key.export({ type: "pkcs8", format: "pem" }),
      granted,
      cameAt: clock.now(),
      cameAtWall: this.#options.now(),
      renewAfterMs: Math.max(0, lifeMs) * (RENEW_AFTER + (random() - 0.5) * RENEW_SPREAD),
      lifeMs,
    };
    this.#held = held;
    this.#compareClocks(Number(now));
    this.#adopt(held, trusted);
    this.#answered();
    this.#report(held, trusted);
    const expires = new Date(granted.notAfter).toISOString();
    logger.info("a new certificate is in use", { identity: this.#id, expires });
    this.#lookWhenDue(held, 0);
  }

  #adopt({ pem, granted }: Held, { anchors }: Trusted): void {
    const { chain, notBefore, notAfter } = granted;
    const credentials = { key: pem, chain, anchors, identity: this.#id, notBefore, notAfter };
    this.#current = credentials;
    for (const listener of this.#listeners) listener(credentials);
  }

  #report({ granted }: Held, { roots }: Trusted): void {
    const value = { roots: roots.map(fingerprint), issuer: granted.issuer, notAfter: BigInt(granted.notAfter) };
    this.#send({ case: "report", value });
  }

  /** How long it has been in use: the longer of what both clocks say. */
  #age({ cameAt, cameAtWall }: Held): number {
    const { clock, now } = this.#options;
    return Math.max(clock.now() - cameAt, now() - cameAtWall);
  }

  /** @param age what was just decided by: asked for anew, it may by now be past what was not yet due, and nobody would look for long */
  #lookWhenDue({ renewAfterMs }: Held, age: number): void {
    // Whole milliseconds: what rounding leaves of one would be waited for again and again.
    const leftMs = Math.ceil(renewAfterMs - age);
    this.#lookAfter(leftMs > 0 ? Math.min(leftMs, LOOK_AT_TIME_EVERY_MS) : LOOK_AT_TIME_EVERY_MS);
  }

  #lookAfter(ms: number): void {
    this.#renewal?.cancel();
    if (!this.#closed) this.#renewal = this.#options.clock.after(ms, () => this.#lookAtTime());
  }

  #lookAtTime(): void {
    const held = this.#held;
    if (held === undefined) return;
    const age = this.#age(held);
    if (age >= held.lifeMs && !this.#expiryLogged) {
      this.#expiryLogged = true;
      this.#options.logger.error("the certificate has expired; peers refuse it", { identity: this.#id });
    }
    const due = this.#wanted || age >= held.renewAfterMs;
    // Without a stream it is asked for as soon as there is one.
    if (due && this.#asked === undefined && this.#nonce !== undefined) this.#certify(true);
    this.#lookWhenDue(held, age);
  }

  #compareClocks(theirs: number): void {
    const ours = this.#options.now();
    const differ = Math.abs(ours - theirs) > CLOCK_DIFFERENCE_MAX_MS;
    if (differ && !this.#clockLogged) {
      const seconds = Math.round((ours - theirs) / 1_000);
      const direction = seconds > 0 ? "ahead of" : "behind";
      this.#options.logger.warn(
        `this machine's clock is ${Math.abs(seconds)} s ${direction} the control plane's: peers may take certificates for expired, or not valid yet; set the clock`,
      );
    }
    this.#clockLogged = differ;
  }

  #send(request: NonNullable<MessageInitShape<typeof CertifyRequestSchema>["request"]>): void {
    this.#stream?.send(toBinary(CertifyRequestSchema, create(CertifyRequestSchema, { request })));
  }

  #expectAnswer(): void {
    this.#timeout?.cancel();
    this.#timeout = this.#options.clock.after(CERTIFY_TIMEOUT_MS, () => {
      this.#stream?.close();
      this.#lost(`no answer within ${CERTIFY_TIMEOUT_MS / 1_000} s`);
    });
  }

  /** What was asked has been answered, unless a certificate is still on its way. */
  #answered(): void {
    if (this.#asked !== undefined) return;
    this.#failure = "";
    this.#delay.reset();
    this.#timeout?.cancel();
  }

  #lost(reason: string, status?: number): void {
    this.#stream = undefined;
    this.#nonce = undefined;
    this.#asked = undefined;
    this.#timeout?.cancel();
    if (this.#closed) return;
    const { logger, clock, onRefused } = this.#options;
    const refused = status === GrpcCode.unauthenticated || status === GrpcCode.permissionDenied;
    if (refused && (this.#held === undefined || this.#age(this.#held) >= this.#held.lifeMs)) {
      this.close();
      onRefused(reason);
      return;
    }
    if (reason !== this.#failure) {
      this.#failure = reason;
      const what = this.#held === undefined ? "no certificate yet" : "no connection to the certificate authority";
      logger.warn(`${what}; trying again`, { identity: this.#id, reason });
    }
    this.#reconnect = clock.after(this.#delay.next(), () => this.#connect());
  }
}
