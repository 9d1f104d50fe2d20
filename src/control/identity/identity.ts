/** The certificate authority of a control plane, put together. */
import { X509Certificate } from "node:crypto";

import type { ConnectRouter } from "@connectrpc/connect";

import { CONTROL_NAMESPACE, CONTROL_SERVICE_ACCOUNT, DEFAULT_TRUST_DOMAIN } from "../../model/identity.ts";
import { workloadKey } from "../../model/workload.ts";
import type { Clock } from "../../net/clock.ts";
import type { Logger } from "../../telemetry/log.ts";
import { encodeJoinToken } from "../../xds/join-token.ts";
import { Authority } from "./authority.ts";
import { CertifyService, isNameable, type RefusalReason } from "./certify-service.ts";
import { EmbeddedAuthority } from "./embedded.ts";
import { expiriesOf, warnOfExpiry } from "./expiry.ts";
import { FollowedFiles } from "./follow-files.ts";
import { GivenMemory, type IdentityFiles, readGiven } from "./given.ts";
import { JoinTokens, type TokenSubject } from "./join-tokens.ts";
import { Proxies } from "./proxies.ts";
import { Rotation, type RotationStatus } from "./rotation.ts";
import { ServerCertificate } from "./server-certificate.ts";
import { fingerprintOf, subjectOf, type TrustState } from "./trust-state.ts";

/** Milliseconds that a leaf is good for when nobody says otherwise (Linkerd's issuanceLifetime), and the least. */
export const LEAF_LIFETIME_MS = 24 * 3_600_000;
export const LEAF_LIFETIME_MIN_MS = 10_000;

export interface IdentitySettings {
  readonly trustDomain: string;
  readonly lifetimeMs: number;
  /** undefined: the control plane keeps an authority of its own. */
  readonly files: IdentityFiles | undefined;
}

export const defaultIdentitySettings: IdentitySettings = {
  trustDomain: DEFAULT_TRUST_DOMAIN,
  lifetimeMs: LEAF_LIFETIME_MS,
  files: undefined,
};

export interface IdentityOptions extends IdentitySettings {
  readonly stateDirectory: string | undefined;
  readonly clock: Clock;
  /** The wall clock: milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Logger;
  readonly onRefused: (reason: RefusalReason) => void;
}

/** What `joinToken` can answer. */
export type JoinTokenOutcome =
  | { readonly token: string; readonly trustDomain: string }
  | "full"
  | "bad-name"
  | "reserved";

/** What `rotate` can answer. */
export type RotateOutcome = "started" | "under way" | "not ours";

interface Source {
  readonly kind: "embedded" | "files";
  readonly state: TrustState;
  save(state: TrustState): Promise<void>;
}

export class ControlIdentity {
  readonly #options: IdentityOptions;
  readonly #authority: Authority;
  readonly #tokens: JoinTokens;
  readonly #proxies: Proxies;
  readonly #rotation: Rotation;
  readonly #service: CertifyService;
  /** Certificates given to sidecars since the start. */
  #issued = 0;
  readonly #embedded: EmbeddedAuthority | undefined;
  readonly #cleanups: (() => void | Promise<void>)[];
  #followed: FollowedFiles | undefined;

  private constructor(options: IdentityOptions, source: Source, embedded: EmbeddedAuthority | undefined) {
    const { clock, now, logger, files, onRefused } = options;
    this.#options = options;
    this.#embedded = embedded;
    const { trustDomain, lifetimeMs } = options;
    const authority = new Authority({ trustDomain, lifetimeMs, now, state: source.state });
    const tokens = new JoinTokens(clock);
    const proxies = new Proxies(now);
    const rotation = new Rotation({ authority, proxies, clock, now, logger, save: (state) => source.save(state) });
    const onIssued = (): void => void this.#issued++;
    const service = new CertifyService({ authority, tokens, proxies, clock, now, logger, onRefused, onIssued });
    this.#authority = authority;
    this.#tokens = tokens;
    this.#proxies = proxies;
    this.#rotation = rotation;
    this.#service = service;
    this.#cleanups = [() => rotation.close(), () => service.close(), warnOfExpiry(authority, clock, now, logger)];
    if (files === undefined) return;
    const { goal, roots, issuer, crosses } = source.state;
    const first = goal ?? { roots, issuer, crosses };
    const onChange = (changed: typeof first): Promise<void> => rotation.start(changed);
    const followed = new FollowedFiles({ files, clock, now, logger, first, onChange });
    this.#followed = followed;
    this.#cleanups.unshift(() => followed.close());
  }

  /** @throws Error in words for the person who started the control plane */
  static async open(options: IdentityOptions): Promise<ControlIdentity> {
    const { files, stateDirectory, now, logger } = options;
    if (files === undefined) {
      const embedded = await EmbeddedAuthority.open(stateDirectory, now);
      if (stateDirectory === undefined) {
        logger.info("the certificate authority is kept in memory: a restart of the control plane begins with another");
      }
      const source = { kind: "embedded", state: embedded.trust, save: embedded.save.bind(embedded) } as const;
      return new ControlIdentity(options, source, embedded);
    }
    const memory = new GivenMemory(stateDirectory);
    const given = await readGiven(files, now());
    const { roots, retired } = await memory.load();
    const others = roots.filter((root) => !given.roots.includes(root));
    const state: TrustState = {
      roots: [...others, ...given.roots],
      issuer: given.issuer,
      crosses: given.crosses,
      retired,
      // Roots that were changed while the control plane was away are retired as carefully as others.
      goal: others.length === 0 ? undefined : { ...given, phase: "renew", startedAt: now() },
    };
    await memory.save(state);
    return new ControlIdentity(options, { kind: "files", state, save: memory.save.bind(memory) }, undefined);
  }

  get trustDomain(): string {
    return this.#options.trustDomain;
  }

  register(router: ConnectRouter): void {
    this.#service.register(router);
  }

  /**
   * @returns a token; or why there is none: too many wait, the names are no names, or they are the control plane's own
   * @throws JoinTokenError if the roots that are trusted do not fit into one
   */
  joinToken(subject: TokenSubject): JoinTokenOutcome {
    const { namespace, serviceAccount } = subject;
    if (!isNameable({ trustDomain: this.trustDomain, namespace, serviceAccount })) return "bad-name";
    if (namespace === CONTROL_NAMESPACE && serviceAccount === CONTROL_SERVICE_ACCOUNT) return "reserved";
    const made = this.#tokens.create(subject);
    if (made === undefined) return "full";
    return { token: encodeJoinToken({ ...made, roots: this.#authority.trust.roots }), trustDomain: this.trustDomain };
  }

  /** What the control plane itself proves who it is with, kept new until it is closed. */
  serverCertificate(): Promise<ServerCertificate> {
    const { clock, now, logger } = this.#options;
    return ServerCertificate.open({ authority: this.#authority, clock, now, logger });
  }

  /** Begins a rotation. One that is under way is not begun again. @throws Error if it cannot be saved */
  async rotate(what: "all" | "issuer"): Promise<RotateOutcome> {
    if (this.#embedded === undefined) return "not ours";
    if (this.#authority.state.goal !== undefined) return "under way";
    await this.#rotation.start(await this.#embedded.goal(what));
    return "started";
  }

  /** Certificates signed since the start, and join tokens that wait. */
  get counts(): { readonly issued: number; readonly tokens: number; readonly streams: number } {
    return { issued: this.#issued, tokens: this.#tokens.size, streams: this.#service.size };
  }

  /** Milliseconds since the epoch. */
  get expiries(): ReturnType<typeof expiriesOf> {
    return expiriesOf(this.#authority);
  }

  /** The SPIFFE ids of living proxies, by workload. */
  get certified(): ReadonlyMap<string, string> {
    return new Map(
      this.#proxies
        .living()
        .map(({ namespace, workload: name, identity }) => [workloadKey({ namespace, name }), identity]),
    );
  }

  /** For the API. No secrets. */
  get status(): IdentityStatus {
    const { state, lifetimeMs } = this.#authority;
    const rotation = this.#rotation.status;
    return {
      trustDomain: this.trustDomain,
      source: this.#embedded === undefined ? "files" : "embedded",
      leafLifetimeSeconds: lifetimeMs / 1_000,
      roots: state.roots.map((root) => {
        const leaves = state.goal !== undefined && !state.goal.roots.includes(root);
        return { ...certificateRow(root), pem: root, retiring: leaves };
      }),
      issuer: {
        ...certificateRow(state.issuer.certificate),
        chain: [state.issuer.certificate, ...state.issuer.intermediates],
      },
      rotation: rotation === undefined ? null : { ...rotation, startedAt: new Date(rotation.startedAt).toISOString() },
      proxies: this.#proxies.living().map((proxy) => ({
        namespace: proxy.namespace,
        workload: proxy.workload,
        identity: proxy.identity,
        connected: proxy.lostAt === undefined,
        roots: proxy.report?.roots ?? [],
        issuer: proxy.report?.issuer ?? null,
        notAfter: proxy.report === undefined ? null : new Date(proxy.report.notAfter).toISOString(),
      })),
      problem: this.#followed?.failure ?? "",
      kept: this.#options.stateDirectory !== undefined,
    };
  }

  async close(): Promise<void> {
    for (const cleanup of this.#cleanups) await cleanup();
  }
}

interface CertificateRow {
  /** SHA-256 in hexadecimal. */
  readonly fingerprint: string;
  readonly subject: string;
  readonly notBefore: string;
  readonly notAfter: string;
}

export interface IdentityStatus {
  readonly trustDomain: string;
  readonly source: "embedded" | "files";
  readonly leafLifetimeSeconds: number;
  /** `retiring`: trusted until the rotation is complete. */
  readonly roots: readonly (CertificateRow & { readonly pem: string; readonly retiring: boolean })[];
  /** `chain`: PEM, itself and those between it and a root. */
  readonly issuer: CertificateRow & { readonly chain: readonly string[] };
  readonly rotation: (Omit<RotationStatus, "startedAt"> & { readonly startedAt: string }) | null;
  readonly proxies: readonly {
    readonly namespace: string;
    readonly workload: string;
    readonly identity: string;
    readonly connected: boolean;
    /** Fingerprints of the roots that it trusts, and of the certificate that signed its leaf. */
    readonly roots: readonly string[];
    readonly issuer: string | null;
    readonly notAfter: string | null;
  }[];
  /** Why what the files of the authority say now is not in force; "" if it is. */
  readonly problem: string;
  /** A restarted control plane goes on with the same authority. */
  readonly kept: boolean;
}

function certificateRow(text: string): CertificateRow {
  const certificate = new X509Certificate(text);
  const { validFromDate, validToDate } = certificate;
  return {
    fingerprint: fingerprintOf(text),
    subject: subjectOf(certificate),
    notBefore: validFromDate.toISOString(),
    notAfter: validToDate.toISOString(),
  };
}
