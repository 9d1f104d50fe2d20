/** Serves `heddle.identity.v1.Identity/Certify`: proofs in, certificates and trust out. */
import { randomBytes } from "node:crypto";

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";

import { linkerdName, parseSpiffeId, type WorkloadIdentity } from "../../model/identity.ts";
import type { Clock } from "../../net/clock.ts";
import type { LogFields, Logger } from "../../telemetry/log.ts";
import { NONCE_BYTES } from "../../xds/certify.ts";
import {
  type Certification,
  type CertifyRequest,
  type CertifyResponse,
  CertifyResponseSchema,
  Identity,
  type Report,
} from "../../xds/gen/heddle/identity/v1/identity_pb.ts";
import { rareLine } from "../rare-line.ts";
import { type Authority, ProofError } from "./authority.ts";
import { RequestError, requestedKey } from "./certificate-request.ts";
import type { JoinTokens } from "./join-tokens.ts";
import type { Proxies, ProxySeat } from "./proxies.ts";

/** Streams that are served at once. */
export const CERTIFY_STREAMS_MAX = 10_000;
/**
 * … of those that have not proved anything yet; one more, and the oldest of them is ended: strangers who open many must not
 * keep out who has a proof, and gives it at once.
 */
export const UNPROVED_STREAMS_MAX = 1_000;
/** Milliseconds in which a stream must have proved who it is. */
export const PROOF_TIMEOUT_MS = 10_000;
/** Bytes of one message: a chain and a request. */
export const CERTIFY_MESSAGE_BYTES_MAX = 64 * 1024;
/** Certifications that a stream may ask for at once, and milliseconds until it may ask for one more. */
export const CERTIFICATIONS_BURST = 8;
export const CERTIFICATION_EVERY_MS = 2_000;
/** Roots that a report may name. */
const REPORTED_ROOTS_MAX = 64;
/** SHA-256. */
const FINGERPRINT_BYTES = 32;
/** Milliseconds: beyond there are no dates (ECMA-262 §21.4.1.1), and who asks about any proxy could not be answered. */
const TIME_MAX = 8_640_000_000_000_000;

export type RefusalReason = "proof" | "request" | "rate" | "silent" | "full";

export interface CertifyServiceOptions {
  readonly authority: Authority;
  readonly tokens: JoinTokens;
  readonly proxies: Proxies;
  readonly clock: Clock;
  /** The wall clock: milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Logger;
  readonly onRefused: (reason: RefusalReason) => void;
  readonly onIssued: () => void;
}

export class CertifyService {
  readonly #options: CertifyServiceOptions;
  readonly #streams = new Set<CertifyStream>();
  /** The oldest first. */
  readonly #unproved = new Set<CertifyStream>();
  readonly #unwatch: () => void;
  readonly #logStranger: (fields: LogFields) => void;
  #closed = false;

  constructor(options: CertifyServiceOptions) {
    this.#options = options;
    this.#logStranger = rareLine(options.clock, (fields) => options.logger.warn("refused a certificate", fields));
    this.#unwatch = options.authority.watch(() => {
      for (const stream of this.#streams) stream.trustChanged();
    });
  }

  /** Streams open now. */
  get size(): number {
    return this.#streams.size;
  }

  register(router: ConnectRouter): void {
    router.service(
      Identity,
      { certify: (requests, context) => this.#serve(requests, context) },
      { readMaxBytes: CERTIFY_MESSAGE_BYTES_MAX },
    );
  }

  /** Ends all streams and takes no more. */
  close(): void {
    this.#closed = true;
    this.#unwatch();
    for (const stream of this.#streams) stream.end();
  }

  async *#serve(requests: AsyncIterable<CertifyRequest>, context: HandlerContext): AsyncGenerator<CertifyResponse> {
    if (this.#closed) throw new ConnectError("the control plane is shutting down", Code.Unavailable);
    if (this.#streams.size >= CERTIFY_STREAMS_MAX) {
      this.#options.onRefused("full");
      throw new ConnectError(`more than ${CERTIFY_STREAMS_MAX} streams for certificates`, Code.ResourceExhausted);
    }
    const [oldest] = this.#unproved;
    if (this.#unproved.size >= UNPROVED_STREAMS_MAX) oldest?.crowdOut();
    const stream = new CertifyStream(this.#options, this.#logStranger, () => this.#unproved.delete(stream));
    const end = (): void => stream.end();
    this.#streams.add(stream);
    this.#unproved.add(stream);
    context.signal.addEventListener("abort", end);
    try {
      void stream.read(requests);
      yield* stream.responses();
    } finally {
      this.#streams.delete(stream);
      context.signal.removeEventListener("abort", end);
      stream.end();
    }
  }
}

/**
 *   challenged ──proof──▶ known ──▶ over       everything that is wrong leads to over, with a status that says what
 */
class CertifyStream {
  readonly #options: CertifyServiceOptions;
  readonly #nonce = randomBytes(NONCE_BYTES);
  readonly #logStranger: (fields: LogFields) => void;
  readonly #giveUp: () => void;
  /** Certificates that are not sent yet: one request is worked on at a time, so at most one. */
  readonly #certificates: MessageInitShape<typeof CertifyResponseSchema>[] = [];
  #wake = Promise.withResolvers<void>();
  #challenged = false;
  #identity: WorkloadIdentity | undefined;
  #workload = "";
  #seat: ProxySeat | undefined;
  #trustIsNews = false;
  #over = false;
  #failure: ConnectError | undefined;
  /** Certifications that may be asked for at once, and when that was reckoned, by the clock. */
  #allowance = CERTIFICATIONS_BURST;
  #reckonedAt: number;

  /**
   * @param logStranger logs a refusal of who has proved nothing
   * @param onSettled called when it is known who asks, and when it is over
   */
  constructor(options: CertifyServiceOptions, logStranger: (fields: LogFields) => void, onSettled: () => void) {
    this.#options = options;
    this.#logStranger = logStranger;
    this.#reckonedAt = options.clock.now();
    const timer = options.clock.after(PROOF_TIMEOUT_MS, () => {
      this.#refuse("silent", Code.DeadlineExceeded, `no proof within ${PROOF_TIMEOUT_MS / 1_000} s`);
    });
    this.#giveUp = () => {
      timer.cancel();
      onSettled();
    };
  }

  /** Others want its place. */
  crowdOut(): void {
    const message = `more than ${UNPROVED_STREAMS_MAX} streams have proved nothing yet`;
    this.#refuse("full", Code.ResourceExhausted, message);
  }

  trustChanged(): void {
    this.#trustIsNews = true;
    this.#wake.resolve();
  }

  end(): void {
    this.#over = true;
    this.#giveUp();
    this.#seat?.leave();
    this.#seat = undefined;
    this.#wake.resolve();
  }

  async read(requests: AsyncIterable<CertifyRequest>): Promise<void> {
    try {
      for await (const { request } of requests) {
        if (this.#over) break;
        await this.#handle(request).catch((error: unknown) => this.#failed(error));
      }
    } catch (error) {
      // The connection has ended, or a message was too long.
      this.#failure ??= ConnectError.from(error);
    }
    this.end();
  }

  async *responses(): AsyncGenerator<CertifyResponse> {
    while (!this.#over) {
      const response = this.#next();
      // While the proxy is slow to take it this rests, and the latest trust is what the next `#next` finds.
      if (response !== undefined) {
        yield create(CertifyResponseSchema, response);
        continue;
      }
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #next(): MessageInitShape<typeof CertifyResponseSchema> | undefined {
    if (!this.#challenged) {
      this.#challenged = true;
      return { response: { case: "challenge", value: { nonce: this.#nonce } } };
    }
    // Nobody is told anything before it is known who asks. Trust comes first: a certificate is judged by it.
    if (this.#identity === undefined) return undefined;
    if (this.#trustIsNews) {
      this.#trustIsNews = false;
      const { roots, issuer } = this.#options.authority.trust;
      return { response: { case: "trust", value: { roots: [...roots], issuer } } };
    }
    return this.#certificates.shift();
  }

  async #handle(request: CertifyRequest["request"]): Promise<void> {
    if (request.case === "certification") await this.#certify(request.value);
    else if (request.case === "report") this.#report(request.value);
    else throw new ConnectError("expected a certification or a report", Code.InvalidArgument);
  }

  async #certify(asked: Certification): Promise<void> {
    const { authority, logger, now } = this.#options;
    if (!this.#allowed()) {
      this.#refuse("rate", Code.ResourceExhausted, "too many certifications on one stream");
      return;
    }
    const identity = this.#prove(asked);
    if (asked.request.length > 0) {
      const key = await requestedKey(asked.request, identity);
      const { chain, notAfter } = await authority.issue(identity, key);
      this.#options.onIssued();
      if (this.#over) return;
      const value = { chain: [...chain], now: BigInt(Math.round(now())) };
      this.#certificates.push({ response: { case: "certificate", value } });
      const expires = new Date(notAfter).toISOString();
      logger.info("issued a certificate", { workload: asked.workload, identity: linkerdName(identity), expires });
    }
    this.#sit(asked.workload, identity);
    this.#wake.resolve();
  }

  /** @throws ProofError, ConnectError */
  #prove({ proof, request, workload }: Certification): WorkloadIdentity {
    const { authority, tokens } = this.#options;
    if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(workload)) {
      throw new ConnectError("expected the workload's name: a DNS label", Code.InvalidArgument);
    }
    if (proof.case === "possession") return authority.identityOf(proof.value, this.#nonce, request);
    if (proof.case === "joinToken") {
      const { namespace, serviceAccount } = tokens.redeem(proof.value, workload);
      return { trustDomain: authority.trustDomain, namespace, serviceAccount };
    }
    throw new ConnectError("expected a join token or a certificate as a proof", Code.InvalidArgument);
  }

  #sit(workload: string, identity: WorkloadIdentity): void {
    const known = this.#identity;
    if (known === undefined) {
      this.#seat = this.#options.proxies.join(workload, identity);
      if (this.#seat === undefined) {
        this.#refuse("full", Code.ResourceExhausted, "too many proxies are known");
        return;
      }
      this.#giveUp();
      this.#workload = workload;
      this.#identity = identity;
      this.#trustIsNews = true;
      return;
    }
    const same = known.namespace === identity.namespace && known.serviceAccount === identity.serviceAccount;
    if (same && this.#workload === workload) return;
    throw new ConnectError("a stream belongs to one workload", Code.PermissionDenied);
  }

  #report({ roots, issuer, notAfter }: Report): void {
    if (this.#seat === undefined || roots.length > REPORTED_ROOTS_MAX) {
      throw new ConnectError("expected a proof first, and a report of what is trusted then", Code.InvalidArgument);
    }
    const time = Number(notAfter);
    if ([...roots, issuer].some(({ length }) => length !== FINGERPRINT_BYTES) || time > TIME_MAX) {
      throw new ConnectError("expected fingerprints of SHA-256 and a time in milliseconds", Code.InvalidArgument);
    }
    this.#seat.report({
      roots: roots.map((root) => Buffer.from(root).toString("hex")),
      issuer: Buffer.from(issuer).toString("hex"),
      notAfter: time,
    });
  }

  #allowed(): boolean {
    const now = this.#options.clock.now();
    const earned = (now - this.#reckonedAt) / CERTIFICATION_EVERY_MS;
    this.#allowance = Math.min(CERTIFICATIONS_BURST, this.#allowance + earned);
    this.#reckonedAt = now;
    if (this.#allowance < 1) return false;
    this.#allowance--;
    return true;
  }

  #failed(error: unknown): void {
    if (error instanceof ProofError) this.#refuse("proof", Code.Unauthenticated, error.message);
    else if (error instanceof RequestError) this.#refuse("request", Code.InvalidArgument, error.message);
    else if (error instanceof ConnectError) this.#refuse("request", error.code, error.rawMessage);
    else {
      this.#options.logger.error("a certificate could not be issued", { reason: (error as Error).stack });
      this.#failure = new ConnectError("the authority failed to answer; its log says why", Code.Internal);
      this.end();
    }
  }

  #refuse(reason: RefusalReason, code: Code, message: string): void {
    if (this.#over) return;
    this.#options.onRefused(reason);
    const identity = this.#identity && linkerdName(this.#identity);
    if (identity === undefined) this.#logStranger({ reason, message });
    else this.#options.logger.warn("refused a certificate", { reason, message, identity, workload: this.#workload });
    this.#failure = new ConnectError(message, code);
    this.end();
  }
}

/** Can this be the name of a workload's service account? Its certificate must have room for both forms of it. */
export function isNameable(identity: WorkloadIdentity): boolean {
  const { trustDomain, namespace, serviceAccount } = identity;
  const parsed = parseSpiffeId(`spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`);
  return parsed !== undefined && linkerdName(identity).length <= 253;
}
