/**
 * TLS between two ends of the mesh, put below a connection that is open already: TLS 1.3 only (RFC 8446), a certificate
 * from both sides, and the identity in it (SPIFFE X.509-SVID §2) handed to whoever decides what it is worth.
 *
 * Only loaded where there are certificates: OpenSSL's part of Node costs memory.
 */
import { hkdfSync, type X509Certificate } from "node:crypto";
import type net from "node:net";
import tls from "node:tls";

import type { Clock } from "./clock.ts";
import type { Connection } from "./connection.ts";
import type { Credentials } from "./credentials.ts";
import { HANDSHAKE_TIMEOUT_MS, HandshakeError, reasonOf } from "./handshake-error.ts";
import { spiffeUri } from "./spiffe-uri.ts";
import type { TcpHandle } from "./tls-state.ts";

/** Linkerd's order: the hybrid with ML-KEM-768 keeps what is recorded today from tomorrow's quantum computers. */
const GROUPS = "X25519MLKEM768:X25519:P-256:P-384";
/** For an OpenSSL without ML-KEM (before 3.5). */
const CLASSICAL_GROUPS = "X25519:P-256:P-384";

/** Linkerd's order. */
const CIPHERS = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

/** What OpenSSL encrypts session tickets with: a name, and keys for HMAC and AES. */
const TICKET_KEY_BYTES = 48;

/** Whom a client believes that shows no certificate itself. */
export type Anchors = Pick<Credentials, "anchors">;

/** Credentials as OpenSSL has them, for connections made and accepted. Made once per credentials, not per connection. */
export class TlsContext {
  readonly secure: tls.SecureContext;

  /**
   * @param ticketSecret the same in all threads of a process, so that a session begun in one is resumed in another. The
   *   keys made of it change with the credentials: a session does not outlive the roots that it was believed by.
   * @throws Error if key, certificates and roots do not make sense
   */
  constructor(credentials: Credentials | Anchors, ticketSecret: Uint8Array) {
    const { anchors } = credentials;
    const { key, chain } = "key" in credentials ? credentials : { key: undefined, chain: undefined };
    const tickets = hkdfSync(
      "sha256",
      ticketSecret,
      `${chain ?? ""}${anchors}`,
      "heddle session tickets",
      TICKET_KEY_BYTES,
    );
    const options: tls.SecureContextOptions = {
      ...(key !== undefined && { key, cert: chain }),
      ca: anchors,
      minVersion: "TLSv1.3",
      maxVersion: "TLSv1.3",
      ciphers: CIPHERS,
      honorCipherOrder: true,
      ticketKeys: Buffer.from(tickets),
      // OpenSSL resumes no session of a client with a certificate without one.
      sessionIdContext: "heddle",
    };
    this.secure = createContext(options);
  }
}

let groups = GROUPS;

function createContext(options: tls.SecureContextOptions): tls.SecureContext {
  try {
    return tls.createSecureContext({ ...options, ecdhCurve: groups });
  } catch (error) {
    if (groups === CLASSICAL_GROUPS) throw error;
    const secure = tls.createSecureContext({ ...options, ecdhCurve: CLASSICAL_GROUPS });
    groups = CLASSICAL_GROUPS;
    return secure;
  }
}

/** A session that a client may resume with the same server. It is not for another. */
export interface TlsSession {
  readonly context: TlsContext;
  readonly ticket: Buffer;
  /** Who the server has proved to be: who resumes is shown no certificate again. */
  readonly identity: string;
  /** Milliseconds since the epoch: the end of the server's certificate, and so of what the session proves. */
  readonly notAfter: number;
}

interface HandshakeOptions {
  readonly context: TlsContext;
  readonly clock: Clock;
  readonly timeoutMs?: number;
  /** By ALPN: what is spoken inside. A client offers it; a server takes the first of these that is offered, or none. */
  readonly protocols: readonly string[];
}

export interface ServerOptions extends HandshakeOptions {
  /** What was read of the connection already. */
  readonly first: Uint8Array;
}

export interface ClientOptions extends HandshakeOptions {
  readonly serverName: string;
  readonly session: TlsSession | undefined;
  /** A session to be used next time, in place of any before. */
  readonly onSession: (session: TlsSession) => void;
}

/**
 * Called exactly once. Without an error `peerIdentity` is what the peer has proved to be by a certificate of one of our
 * roots, which the caller has still to judge, and the connection is paused. With one it is closed, or about to be.
 */
export type HandshakeDone = (error: HandshakeError | undefined, resumed: boolean) => void;

/**
 * Takes part in a handshake as the server. The connection is paused and nothing was written to it.
 *
 * @returns a function that gives it up: `done` is then not called, and the connection is closed
 */
export function serveTls(connection: Connection, options: ServerOptions, done: HandshakeDone): () => void {
  const socket = connection.startTls(
    (handle, onread) => new TlsSocket({ ...common(handle, onread, options), isServer: true, rejectUnauthorized: true }),
  );
  const giveUp = new Handshake(connection, socket, options, done).giveUp;
  connection.resume();
  socket.ssl.receive(options.first);
  return giveUp;
}

/** The same as the client; without a certificate if its context has none. */
export function dialTls(connection: Connection, options: ClientOptions, done: HandshakeDone): () => void {
  const { context, serverName, session, onSession } = options;
  const socket = connection.startTls((handle, onread) => new TlsSocket(common(handle, onread, options)));
  const { ssl } = socket;
  ssl.setServername(serverName);
  if (session !== undefined) ssl.setSession(session.ticket);
  const handshake = new Handshake(connection, socket, options, done);
  ssl.onnewsession = (_id, ticket) => {
    const { peer } = handshake;
    if (peer !== undefined) onSession({ ...peer, context, ticket });
  };
  ssl.enableSessionCallbacks();
  connection.resume();
  socket._start();
  return handshake.giveUp;
}

/** What Node's socket has for it. */
interface TlsHandle {
  receive(bytes: Uint8Array): void;
  setServername(name: string): void;
  setSession(ticket: Buffer): void;
  enableSessionCallbacks(): void;
  onnewsession: (id: Buffer, ticket: Buffer) => void;
  /** @returns what is wrong with the peer's certificate: OpenSSL's name of it in `code` */
  verifyError(): Error | null | undefined;
}

interface TlsSocketOptions extends tls.TLSSocketOptions {
  /** Of the socket below. */
  readonly handle: TcpHandle;
  readonly onread: net.OnReadOpts;
  readonly allowHalfOpen: true;
}

/** The parts of `TLSSocket` that its types keep to themselves. */
declare module "node:tls" {
  interface TLSSocket {
    _wrapHandle(wrap: net.Socket | null, handle: unknown, writing: boolean): unknown;
    _start(): void;
  }
}

/**
 * Node's own, laid over the handle of an open socket. Given a socket, the constructor would leave out `onread`, and with
 * it the shared read buffer; so it is given none and told of the handle on its way. A connection over it costs no more
 * objects than one of `tls.connect`.
 */
class TlsSocket extends tls.TLSSocket {
  declare readonly _tlsOptions: TlsSocketOptions;
  declare readonly ssl: TlsHandle;
  /** Until it is connected, which it is. */
  declare connecting: boolean;

  constructor(options: TlsSocketOptions) {
    super(undefined as unknown as net.Socket, options);
    this.connecting = false;
  }

  override _wrapHandle(wrap: net.Socket | null, _handle: unknown, writing: boolean): unknown {
    return super._wrapHandle(wrap, this._tlsOptions.handle, writing);
  }
}

function common(handle: TcpHandle, onread: net.OnReadOpts, options: HandshakeOptions): TlsSocketOptions {
  return {
    handle,
    onread,
    allowHalfOpen: true,
    secureContext: options.context.secure,
    requestCert: true,
    ALPNProtocols: [...options.protocols],
  };
}

/** What was proved. */
type Peer = Pick<TlsSession, "identity" | "notAfter">;

class Handshake {
  /** Once it is done. */
  peer: Peer | undefined;
  readonly #connection: Connection;
  readonly #socket: TlsSocket;
  readonly #session: TlsSession | undefined;
  readonly #done: HandshakeDone;
  #over = false;
  readonly giveUp: () => void;

  constructor(
    connection: Connection,
    socket: TlsSocket,
    options: HandshakeOptions & { readonly session?: TlsSession | undefined },
    done: HandshakeDone,
  ) {
    const { clock, session, timeoutMs = HANDSHAKE_TIMEOUT_MS } = options;
    this.#connection = connection;
    this.#socket = socket;
    this.#session = session;
    this.#done = done;
    const timer = clock.after(timeoutMs, () =>
      this.#fail(new HandshakeError("timeout", `the TLS handshake took longer than ${timeoutMs} ms`)),
    );
    connection.handler = {
      onData() {},
      onEnd: () => this.#fail(new HandshakeError("closed", "the peer ended the connection during the TLS handshake")),
      onDrain() {},
      onClose: (error) => {
        timer.cancel();
        this.#fail(reasonOf(error));
      },
    };
    this.giveUp = () => {
      timer.cancel();
      this.#over = true;
      connection.destroy();
    };
    socket.once("secure", () => {
      timer.cancel();
      this.#secured();
    });
    // Before the handshake is done Node closes by itself, and after it leaves that to whoever listens here.
    socket.on("_tlsError", (error: Error) => connection.destroy(error));
  }

  #secured(): void {
    if (this.#over) return;
    const socket = this.#socket;
    const connection = this.#connection;
    // What the peer sends behind its last message of the handshake may be here already.
    connection.pause();
    // OpenSSL's verdict is only kept by Node, not acted on.
    const wrong = socket.ssl.verifyError();
    const resumed = socket.isSessionReused();
    const peer = wrong === null || wrong === undefined ? this.#peer(resumed) : reasonOf(wrong);
    if (peer instanceof HandshakeError) {
      this.#fail(peer);
      return;
    }
    this.#over = true;
    this.peer = peer;
    connection.peerIdentity = peer.identity;
    connection.sni = socket.servername || "";
    this.#done(undefined, resumed);
  }

  #peer(resumed: boolean): Peer | HandshakeError {
    const peer = (resumed ? this.#session : undefined) ?? peerOf(this.#socket.getPeerX509Certificate());
    // Looked at by OpenSSL only when the session began.
    if (resumed && !(peer instanceof HandshakeError) && peer.notAfter <= Date.now()) {
      return new HandshakeError("expired", "the peer's certificate has expired since the session began");
    }
    return peer;
  }

  #fail(error: HandshakeError): void {
    if (this.#over) return;
    this.#over = true;
    this.#connection.destroy(error);
    this.#done(error, false);
  }
}

function peerOf(certificate: X509Certificate | undefined): Peer | HandshakeError {
  if (certificate === undefined) return new HandshakeError("no_certificate", "the peer has shown no certificate");
  const identity = spiffeUri(certificate.subjectAltName);
  if (identity !== undefined) return { identity, notAfter: certificate.validToDate.getTime() };
  const names = certificate.subjectAltName ?? "no names";
  return new HandshakeError("no_identity", `the peer's certificate has not one SPIFFE id but: ${names}`);
}
