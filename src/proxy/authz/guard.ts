/**
 * Who may use one inbound port, at this moment. Holds the policy made ready, and swaps it when another one comes; what is
 * under way then is judged again by whoever has it (live-call.ts).
 *
 * A policy that cannot be obeyed changes nothing: the last good one stays. If there is none yet, nobody is let in.
 */
import { isDeepStrictEqual } from "node:util";

import {
  type InboundPolicy,
  type JwtRule,
  openPolicy,
  type Origin,
  type RateLimit,
  type TlsMode,
} from "../../model/inbound-policy.ts";
import { RegexError } from "../../model/regex.ts";
import type { Connection } from "../../net/connection.ts";
import {
  type Call,
  type CompiledPolicy,
  compilePolicy,
  decide,
  type Decision,
  type JwtClaims,
  JwtGate,
  type Peer,
  PolicyError,
  RateLimiter,
  whereOf,
} from "../../policy/policy.ts";
import type { LogFields } from "../../telemetry/log.ts";
import type { Counter, Family, Labels } from "../../telemetry/metrics.ts";
import type { InboundConfig } from "../config.ts";
import type { ProxyContext } from "../context.ts";
import { callerLabels } from "../tls/labels.ts";
import type { RequestForm } from "./check-attributes.ts";
import { External, type ExternalVerdict, type Lasting } from "./external.ts";
import { explainCommand, originLabels, peerName, portLabels } from "./labels.ts";

interface Ready {
  readonly policy: InboundPolicy;
  readonly compiled: CompiledPolicy;
  readonly labels: Labels;
  readonly limits: readonly RateLimit[];
  readonly limiter: RateLimiter | undefined;
  readonly jwt: JwtGate | undefined;
  readonly external: External | undefined;
  readonly open: boolean;
}

const CLOSED: InboundPolicy = { ...openPolicy, defaultPolicy: "deny" };

export class Guard {
  readonly context: ProxyContext;
  readonly #port: number;
  /** "price.shop" */
  readonly #name: string;
  readonly #unwatch: () => void;
  #ready: Ready;

  constructor({ service, port }: Pick<InboundConfig, "service" | "port">, context: ProxyContext) {
    this.context = context;
    this.#port = port;
    this.#name = `${service}.${context.config.namespace}`;
    this.#ready = this.#prepare(context.policy.current) ?? this.#compile(CLOSED, undefined);
    this.#unwatch = context.policy.watch((policy) => this.#change(policy));
  }

  /** Everybody may do everything, and nobody wants to know. */
  get open(): boolean {
    return this.#ready.open;
  }

  get tlsMode(): TlsMode {
    return this.#ready.compiled.tls.mode;
  }

  /** Requests are counted here, and there may be too many. */
  get counts(): boolean {
    return this.#ready.limiter !== undefined;
  }

  /** Whose tokens are believed; undefined where nobody asks. */
  get jwt(): JwtGate | undefined {
    return this.#ready.jwt;
  }

  /** Who is asked, where a rule wants somebody asked: another object when they are others. */
  get external(): External | undefined {
    return this.#ready.external;
  }

  close(): void {
    this.#unwatch();
    this.#ready.external?.close();
  }

  /** Who is at the other end. */
  peerOf(connection: Connection): Peer {
    return { identity: connection.peerIdentity, address: connection.remoteAddress };
  }

  /** A call by which the connection gets at the bytes of the application. */
  bytesCall(connection: Connection): Call {
    return {
      peer: this.peerOf(connection),
      port: this.#port,
      localAddress: connection.localAddress,
      sni: connection.sni,
    };
  }

  /** Decides; counts and reports what there is to report. */
  judge(call: Call): Decision {
    const decision = decide(this.#ready.compiled, call);
    for (const origin of decision.audited) this.#audit(call, origin);
    if (!decision.allowed) this.#refused(call, decision);
    return decision;
  }

  /** Decides without a word to anybody. */
  decide(call: Call): Decision {
    return decide(this.#ready.compiled, call);
  }

  /** Whether the issuer of claims that were found valid is one still. */
  believes(claims: JwtClaims | undefined): boolean {
    return claims === undefined || this.#ready.policy.jwt.some(({ issuer }) => issuer === claims["iss"]);
  }

  /** Counts and reports what was under way and is ended. @param tunnel both ways were opaque bytes */
  terminated(call: Call, { origin }: Decision, tunnel: boolean, reason: string): void {
    const { terminated } = tunnel ? this.context.metrics.authz.tcp : this.#families(call);
    this.#counter(terminated, call.peer, origin).inc();
    this.context.logger.info("a call that was under way was cut by a change of the policy", {
      reason,
      ...this.#describe(call),
    });
  }

  /** For the caller: who it was taken for, and what refused it, but not where that is written. */
  tell({ peer }: Call, { origin }: Decision): string {
    return `${peerName(peer)} is refused by ${whereOf({ ...origin, file: "" })}`;
  }

  /** The counter of a decision: to be kept as long as the decision is the same object. */
  counterOf(call: Call, { allowed, origin }: Decision): Counter {
    const families = this.#families(call);
    return this.#counter(allowed ? families.allowed : families.denied, call.peer, origin);
  }

  /** Counts a request against the rate limits. @returns why there are too many, for the caller; undefined if there are not */
  limit(call: Call): string | undefined {
    const excess = this.#ready.limiter?.admit(call.peer.identity, this.context.clock.now());
    if (excess === undefined) return undefined;
    const { limit, scope, rate } = excess;
    const labels = {
      ...this.#ready.labels,
      ...originLabels("ratelimit", limit.origin),
      ...this.#callerLabels(call.peer),
    };
    this.context.metrics.rateLimited.labels({ ...labels, scope }).inc();
    const whose = scope === "total" ? "all callers together" : peerName(call.peer);
    return `${whose} may send ${rate} requests per second, by ${whereOf({ ...limit.origin, file: "" })}`;
  }

  /** Asks those whom a decision wants to be asked. @returns a function that gives it up; `done` is never called from inside */
  ask(
    names: readonly string[],
    call: Call,
    form: RequestForm | undefined,
    done: (verdict: ExternalVerdict) => void,
    about?: Lasting,
  ): () => void {
    const report = (verdict: ExternalVerdict): void => {
      if (verdict.kind !== "ok") {
        const reason =
          verdict.kind === "denied" ? `${verdict.by} does not consent` : `${verdict.by} could not be asked`;
        this.context.logger.info("a call was refused by an external authorizer", { reason, ...this.#describe(call) });
      }
      done(verdict);
    };
    // Rules that ask come with those whom they ask.
    return (this.#ready.external as External).ask(names, call, form, report, about);
  }

  #families(call: Call): ProxyContext["metrics"]["authz"]["http"] {
    const { authz } = this.context.metrics;
    return call.request === undefined ? authz.tcp : authz.http;
  }

  #counter(family: Family<Counter>, peer: Peer, origin: Origin): Counter {
    return family.labels({ ...this.#ready.labels, ...originLabels("authz", origin), ...this.#callerLabels(peer) });
  }

  #callerLabels({ identity }: Peer): Labels {
    return callerLabels(this.context.security !== undefined, identity, false);
  }

  #audit(call: Call, origin: Origin): void {
    this.#counter(this.#families(call).audited, call.peer, origin).inc();
    this.context.logger.info("a call was marked by the policy, and let pass unless something else refuses it", {
      rule: `${origin.kind} ${origin.name}`,
      file: origin.file === "" ? undefined : `${origin.file}:${origin.line}`,
      ...this.#describe(call),
    });
  }

  #refused(call: Call, decision: Decision): void {
    this.context.logger.info("a call was refused by the policy", { reason: decision.reason, ...this.#describe(call) });
  }

  #describe(call: Call): LogFields {
    return {
      client: peerName(call.peer),
      address: call.peer.address,
      service: this.#name,
      port: call.port,
      explain: explainCommand(call, this.#name),
    };
  }

  #change(policy: InboundPolicy): void {
    const ready = this.#prepare(policy, this.#ready);
    if (ready === undefined) return;
    if (ready.external !== this.#ready.external) this.#ready.external?.close();
    this.#ready = ready;
  }

  /** @returns undefined, and has said so, if it cannot be obeyed */
  #prepare(policy: InboundPolicy, before?: Ready): Ready | undefined {
    try {
      return this.#compile(policy, before);
    } catch (error) {
      if (!(error instanceof PolicyError || error instanceof RegexError)) throw error;
      this.context.logger.error("a policy cannot be obeyed; what was in force before stays", {
        service: this.#name,
        port: this.#port,
        detail: error.message,
      });
      return undefined;
    }
  }

  /** What has a memory is kept, unless its own part of the policy is another: requests taken, keys fetched. */
  #compile(policy: InboundPolicy, before: Ready | undefined): Ready {
    const compiled = compilePolicy(policy, this.#port);
    const limits = policy.rateLimits.filter(({ ports }) => ports.includes(this.#port));
    const limiter =
      before !== undefined && isDeepStrictEqual(limits, before.limits)
        ? before.limiter
        : limits.length === 0
          ? undefined
          : new RateLimiter(limits);
    const jwt =
      before !== undefined && isDeepStrictEqual(policy.jwt, before.policy.jwt) ? before.jwt : this.#gate(policy.jwt);
    return {
      policy,
      compiled,
      labels: portLabels(policy, this.#port),
      limits,
      limiter,
      jwt,
      external:
        before !== undefined && isDeepStrictEqual(policy.providers, before.policy.providers)
          ? before.external
          : policy.providers.length === 0
            ? undefined
            : new External(policy.providers, this.context),
      open: compiled.open && limiter === undefined && jwt === undefined,
    };
  }

  #gate(rules: readonly JwtRule[]): JwtGate | undefined {
    if (rules.length === 0) return undefined;
    const { clock, logger } = this.context;
    return new JwtGate(rules, {
      clock,
      wallClock: Date.now,
      onKeysFailure: ({ issuer, jwksUri }, detail) =>
        logger.warn("the keys of an issuer cannot be fetched; the last ones are believed for an hour", {
          issuer,
          from: jwksUri,
          detail,
        }),
    });
  }
}
