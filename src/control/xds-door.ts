/**
 * Who is let in at the xDS port, and how. The first octet of a connection tells TLS from plain HTTP/2, so that both are
 * served at one address: plain to this host only, TLS to all, and who is at the other end is known by its certificate.
 *
 *   accepted ──first octet──▶ plain ───────────────────▶ inside
 *                       └───▶ shaking hands ──secure──▶ inside         too slow, or not to be let in: closed
 */
import type { Socket } from "node:net";
import tls from "node:tls";

import { parseSpiffeId, type WorkloadIdentity } from "../model/identity.ts";
import type { Clock, Timer } from "../net/clock.ts";
import type { CredentialSource } from "../net/credentials.ts";
import { reasonOf } from "../net/handshake-error.ts";
import { isLoopback } from "../net/loopback.ts";
import { spiffeUri } from "../net/spiffe-uri.ts";
import { TlsContext } from "../net/tls.ts";
import type { Logger } from "../telemetry/log.ts";
import type { OnRefused, XdsRefusal } from "./xds-refusals.ts";

/** Milliseconds in which a connection must be inside. */
export const ENTRY_TIMEOUT_MS = 10_000;
/** Connections that are not inside yet; one more, and the oldest of them is closed. */
export const ENTERING_MAX = 1_000;
/** The first octet of a ClientHello (RFC 8446 §5.1: a record of the type handshake). */
const HANDSHAKE = 0x16;
const PROTOCOLS = ["h2"];

/** Who is at the other end of a connection. */
export type Caller =
  /** Somebody on this host, or nobody wants to know. */
  | { readonly kind: "plain" }
  /** A workload of this mesh: its certificate is good, until `notAfter` (milliseconds since the epoch). */
  | { readonly kind: "workload"; readonly identity: WorkloadIdentity; readonly notAfter: number; readonly peer: string }
  /** Anybody else. */
  | { readonly kind: "stranger"; readonly reason: XdsRefusal; readonly found: string; readonly peer: string };

export interface XdsDoorOptions {
  /** What we prove ourselves with, and whom we believe. */
  readonly credentials: CredentialSource;
  readonly trustDomain: string;
  /** Plain HTTP/2 of other hosts is served as well. */
  readonly insecure: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onRefused: OnRefused;
  /** Called with each connection that is inside: HTTP/2 is what it speaks. */
  readonly onInside: (socket: Socket) => void;
}

export class XdsDoor {
  readonly #options: XdsDoorOptions;
  readonly #unwatch: () => void;
  readonly #entering = new Map<Socket, Timer>();
  /** For this process alone: no session is resumed after a change of our certificate or of whom we believe. */
  readonly #ticketSecret = crypto.getRandomValues(new Uint8Array(32));
  #context: tls.SecureContext | undefined;

  constructor(options: XdsDoorOptions) {
    this.#options = options;
    const { credentials, logger } = options;
    const use = (): void => {
      if (credentials.current === undefined) return;
      try {
        this.#context = new TlsContext(credentials.current, this.#ticketSecret).secure;
      } catch (error) {
        const { message } = error as Error;
        logger.error("a new certificate of the control plane cannot be used; the one before stays", {
          reason: message,
        });
      }
    };
    this.#unwatch = credentials.watch(use);
    use();
  }

  /** Connections that are not inside yet. */
  get entering(): number {
    return this.#entering.size;
  }

  enter(socket: Socket): void {
    const [oldest] = this.#entering.keys();
    if (oldest !== undefined && this.#entering.size >= ENTERING_MAX) {
      this.#refuse(oldest, "full", `more than ${ENTERING_MAX} connections were about to come in`);
    }
    const late = (): void => this.#refuse(socket, "silent", `not done after ${ENTRY_TIMEOUT_MS / 1_000} s`);
    this.#entering.set(socket, this.#options.clock.after(ENTRY_TIMEOUT_MS, late));
    socket.on("error", () => socket.destroy());
    socket.once("close", () => this.#settle(socket));
    socket.once("readable", () => this.#begin(socket));
  }

  close(): void {
    this.#unwatch();
    for (const [socket, timer] of this.#entering) {
      timer.cancel();
      socket.destroy();
    }
    this.#entering.clear();
  }

  #begin(socket: Socket): void {
    const first = socket.read() as Buffer | null;
    if (first === null) {
      socket.destroy();
      return;
    }
    socket.unshift(first);
    if (first[0] === HANDSHAKE) this.#secure(socket);
    else if (this.#options.insecure || isLoopback(socket.localAddress ?? "")) this.#inside(socket, socket);
    else {
      const remedy =
        "it speaks no TLS and comes from another host: a sidecar takes TLS once it has a join token (HEDDLE_JOIN_TOKEN), and --insecure-xds serves who has none";
      this.#refuse(socket, "plaintext", remedy);
    }
  }

  #secure(socket: Socket): void {
    if (this.#context === undefined) {
      socket.destroy();
      return;
    }
    const secured = new XdsSocket(socket, {
      isServer: true,
      secureContext: this.#context,
      requestCert: true,
      // Who has none, or an old one, may still ask for one.
      rejectUnauthorized: false,
      ALPNProtocols: PROTOCOLS,
    });
    secured.on("error", () => secured.destroy());
    secured.on("_tlsError", (error: Error) => {
      if (this.#entering.has(socket)) this.#refuse(socket, "handshake", reasonOf(error).message);
      secured.destroy();
    });
    secured.once("secure", () => {
      secured.secureConnecting = false;
      secured.caller = this.#callerOf(secured);
      this.#inside(socket, secured);
    });
  }

  #callerOf(secured: XdsSocket): Caller {
    const peer = secured.remoteAddress ?? "";
    const stranger = (reason: XdsRefusal, found: string): Caller => ({ kind: "stranger", reason, found, peer });
    const certificate = secured.getPeerX509Certificate();
    if (certificate === undefined) return stranger("no_certificate", "no certificate");
    const wrong = secured.ssl.verifyError();
    if (wrong !== null && wrong !== undefined) return stranger("bad_certificate", reasonOf(wrong).message);
    const uri = spiffeUri(certificate.subjectAltName);
    const identity = uri === undefined ? undefined : parseSpiffeId(uri);
    if (identity === undefined) return stranger("bad_certificate", "one without one SPIFFE id of a workload");
    if (identity.trustDomain !== this.#options.trustDomain) {
      return stranger("trust_domain", `one of the trust domain ${identity.trustDomain}`);
    }
    return { kind: "workload", identity, notAfter: certificate.validToDate.getTime(), peer };
  }

  #inside(socket: Socket, inside: Socket): void {
    this.#settle(socket);
    this.#options.onInside(inside);
  }

  #settle(socket: Socket): void {
    this.#entering.get(socket)?.cancel();
    this.#entering.delete(socket);
  }

  #refuse(socket: Socket, reason: XdsRefusal, detail: string): void {
    const peer = socket.remoteAddress;
    this.#settle(socket);
    socket.destroy();
    this.#options.onRefused(reason, detail, peer);
  }
}

/** Who is at the other end of a connection that is inside. @param socket it, or what an HTTP/2 session shows of it */
export function callerAt(socket: Socket): Caller {
  return (socket as Partial<XdsSocket>).caller ?? { kind: "plain" };
}

/** Of what `TLSSocket` has for it, what its types keep to themselves. */
class XdsSocket extends tls.TLSSocket {
  caller: Caller | undefined;
  declare readonly ssl: {
    /** @returns what is wrong with the peer's certificate, or with there being none: OpenSSL's name of it in `code` */
    verifyError(): Error | null | undefined;
  };
  /** HTTP/2 begins when it is not. */
  declare secureConnecting: boolean;
}
