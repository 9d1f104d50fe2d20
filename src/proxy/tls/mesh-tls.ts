/**
 * TLS with the other sidecars of the mesh: proves who this one is, and judges who they are. Certificates come and go
 * beneath it: each connection is made with the newest, and those that are open stay as they are.
 */
import type { Endpoint } from "../../model/endpoint.ts";
import { isLinkerdName, linkerdName, parseSpiffeId, type WorkloadIdentity } from "../../model/identity.ts";
import type { Clock } from "../../net/clock.ts";
import type { Connection } from "../../net/connection.ts";
import type { Credentials, CredentialSource } from "../../net/credentials.ts";
import { HandshakeError, type HandshakeReason } from "../../net/handshake-error.ts";
import { dialTls, serveTls, TlsContext, type TlsSession } from "../../net/tls.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Direction, ProxyMetrics } from "../metrics.ts";
import { nameOf } from "./labels.ts";

/** Handshakes that are under way at once in one thread, in each direction; each holds some 40 KB. */
export const HANDSHAKES_MAX = 1_000;

/** What may be spoken inside, by ALPN; a client that offers none of them is refused, one that offers nothing is not. */
const PROTOCOLS = ["h2", "http/1.1"];
const HTTP2 = ["h2"];
const NONE: readonly string[] = [];

export interface MeshTlsOptions {
  readonly credentials: CredentialSource;
  /** Of the process, for session tickets: 32 random bytes. */
  readonly ticketSecret: Uint8Array;
  readonly clock: Clock;
  readonly metrics: ProxyMetrics;
  readonly logger: Logger;
}

/** An endpoint as a TLS server, with the session that its last connection left. */
export interface TlsPeer {
  readonly endpoint: Endpoint;
  readonly serverName: string;
  session: TlsSession | undefined;
}

export class MeshTls {
  readonly #options: MeshTlsOptions;
  readonly #unwatch: () => void;
  #context: TlsContext | undefined;
  #self: WorkloadIdentity | undefined;
  /** What other sidecars call us in TLS. */
  #name = "";
  readonly #underWay: Record<Direction, number> = { inbound: 0, outbound: 0 };

  constructor(options: MeshTlsOptions) {
    this.#options = options;
    const { credentials } = options;
    this.#unwatch = credentials.watch((next) => this.#use(next));
    if (credentials.current !== undefined) this.#use(credentials.current);
  }

  /** What is established stays. */
  close(): void {
    this.#unwatch();
  }

  /**
   * Whether TLS for this server name is meant for this sidecar, and not the application's own. Before there is a
   * certificate all names are of which a sidecar may be called by: better none gets in than the application gets it.
   */
  isFor(serverName: string): boolean {
    return this.#context === undefined ? isLinkerdName(serverName) : serverName !== "" && serverName === this.#name;
  }

  /** @returns undefined if the endpoint has to prove nothing: it is spoken to in plain */
  peer(endpoint: Endpoint): TlsPeer | undefined {
    if (endpoint.identity === "") return undefined;
    return { endpoint, serverName: nameOf(endpoint.identity), session: undefined };
  }

  /**
   * Accepts a connection whose first bytes, which have been read, say that it is for us. `done` is called once: with true
   * it is paused, and `peerIdentity` is believed; with false it is closed, counted and logged.
   */
  accept(connection: Connection, first: Buffer, done: (accepted: boolean) => void): void {
    const { clock, metrics } = this.#options;
    const peer = `${connection.remoteAddress}:${connection.remotePort}`;
    const refuse = (error: HandshakeError): void => {
      this.report("inbound", error, peer);
      connection.reset();
      done(false);
    };
    const refusal = this.#begin("inbound");
    if (refusal instanceof HandshakeError) {
      refuse(refusal);
      return;
    }
    serveTls(connection, { context: refusal, clock, protocols: PROTOCOLS, first }, (error, resumed) => {
      this.#underWay.inbound--;
      const wrong = error ?? this.#judgeCaller(connection.peerIdentity);
      if (wrong !== undefined) {
        refuse(wrong);
        return;
      }
      metrics.tlsHandshakes.labels({ direction: "inbound", resumed: String(resumed) }).inc();
      done(true);
    });
  }

  /**
   * Makes sure that a fresh connection leads to who it should. `done` is called once, unless it is given up: without an
   * error the connection is paused; with one it is closed, counted and logged.
   *
   * @param http2 that is what will be spoken on it
   * @returns a function that gives it up
   */
  prove(
    connection: Connection,
    peer: TlsPeer,
    http2: boolean,
    done: (error: HandshakeError | undefined) => void,
  ): () => void {
    const { clock, metrics } = this.#options;
    const { endpoint, serverName } = peer;
    const refuse = (error: HandshakeError): void => {
      // It may have been what the far side did not like.
      peer.session = undefined;
      this.report("outbound", error, `${endpoint.address}:${endpoint.port}`);
      connection.destroy(error);
      done(error);
    };
    const context = this.#begin("outbound");
    if (context instanceof HandshakeError) {
      refuse(context);
      return () => {};
    }
    const giveUp = dialTls(
      connection,
      {
        context,
        clock,
        protocols: http2 ? HTTP2 : NONE,
        serverName,
        session: usable(peer.session, context),
        onSession: (session) => (peer.session = session),
      },
      (error, resumed) => {
        this.#underWay.outbound--;
        const wrong = error ?? judgeServer(connection.peerIdentity, endpoint.identity);
        if (wrong !== undefined) {
          refuse(wrong);
          return;
        }
        metrics.tlsHandshakes.labels({ direction: "outbound", resumed: String(resumed) }).inc();
        done(undefined);
      },
    );
    return () => {
      this.#underWay.outbound--;
      giveUp();
    };
  }

  /** Counts and logs what came to nothing. @param peer its address */
  report(direction: Direction, { reason, message }: { reason: HandshakeReason; message: string }, peer: string): void {
    const { metrics, logger } = this.#options;
    metrics.tlsFailures.labels({ direction, reason }).inc();
    metrics.tcpErrors[direction].labels({ direction, error: "tls" }).inc();
    logger.warn("a connection was refused for want of mutual TLS", { direction, peer, reason, detail: message });
  }

  #begin(direction: Direction): TlsContext | HandshakeError {
    if (this.#context === undefined) {
      return new HandshakeError("no_credentials", "this sidecar has no certificate yet");
    }
    if (this.#underWay[direction] >= HANDSHAKES_MAX) {
      return new HandshakeError("overload", `${HANDSHAKES_MAX} TLS handshakes are under way already`);
    }
    this.#underWay[direction]++;
    return this.#context;
  }

  #use(credentials: Credentials): void {
    try {
      const self = parseSpiffeId(credentials.identity);
      if (self === undefined) throw new Error(`${credentials.identity} is no SPIFFE id of a workload`);
      this.#context = new TlsContext(credentials, this.#options.ticketSecret);
      this.#self = self;
      this.#name = linkerdName(self);
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      this.#options.logger.error("a new certificate cannot be used; the one before stays", { detail });
    }
  }

  /** Anybody of this trust domain; who of them may call is for the policy to say. */
  #judgeCaller(identity: string): HandshakeError | undefined {
    const caller = parseSpiffeId(identity);
    const expected = this.#self?.trustDomain ?? "";
    if (caller?.trustDomain === expected) return undefined;
    return new HandshakeError("wrong_identity", `found ${identity}, expected a workload of spiffe://${expected}`);
  }
}

function judgeServer(found: string, expected: string): HandshakeError | undefined {
  return found === expected ? undefined : new HandshakeError("wrong_identity", `found ${found}, expected ${expected}`);
}

function usable(session: TlsSession | undefined, context: TlsContext): TlsSession | undefined {
  return session?.context === context && session.notAfter > Date.now() ? session : undefined;
}
