/**
 * TLS to a control plane on another host. Certificates are asked for without showing one, since who asks may have none or
 * an old one; everything else is asked for with the newest. The control plane proves both times that it is the control
 * plane of this mesh, and not only somebody in it.
 *
 * Only loaded where the control plane is on another host: OpenSSL's part of Node costs memory.
 */
import { X509Certificate } from "node:crypto";

import { controlIdentity, linkerdName, spiffeId } from "../../model/identity.ts";
import type { Clock } from "../../net/clock.ts";
import type { Connection } from "../../net/connection.ts";
import type { Credentials, CredentialSource } from "../../net/credentials.ts";
import { HandshakeError } from "../../net/handshake-error.ts";
import { type Anchors, dialTls, TlsContext } from "../../net/tls.ts";
import type { ClientStream, ClientTransport, StreamEvents } from "../../xds/client-transport.ts";
import type { Secure } from "../../xds/http2-transport.ts";

const PROTOCOLS = ["h2"];

/** Tickets are a matter of servers. */
const NO_TICKETS = new Uint8Array(32);

export class ControlTls {
  /** For certificates. */
  readonly certify: Secure;
  /** For everything else; see {@link CertifiedTransport}. */
  readonly discover: Secure;
  readonly #clock: Clock;
  readonly #serverName: string;
  readonly #expected: string;

  /**
   * @param roots DER: whom to believe as long as there is no certificate
   * @param credentials asked at each connection for the newest
   * @throws Error if a root is no certificate
   */
  constructor(
    trustDomain: string,
    roots: readonly Uint8Array[],
    credentials: () => Credentials | undefined,
    clock: Clock,
  ) {
    const first = roots.map((root) => new X509Certificate(root).toString()).join("");
    const control = controlIdentity(trustDomain);
    this.#clock = clock;
    this.#serverName = linkerdName(control);
    this.#expected = spiffeId(control);
    this.certify = (connection, done) => {
      return this.#secure(connection, { anchors: credentials()?.anchors ?? first }, done);
    };
    this.discover = (connection, done) => this.#secure(connection, credentials(), done);
  }

  #secure(
    connection: Connection,
    as: Credentials | Anchors | undefined,
    done: (error: Error | undefined) => void,
  ): () => void {
    if (as === undefined) {
      connection.destroy();
      done(new HandshakeError("no_credentials", "this sidecar has no certificate yet"));
      return () => {};
    }
    const options = {
      context: new TlsContext(as, NO_TICKETS),
      clock: this.#clock,
      protocols: PROTOCOLS,
      serverName: this.#serverName,
      session: undefined,
      onSession: () => {},
    };
    return dialTls(connection, options, (error) => {
      const wrong = error ?? this.#judge(connection.peerIdentity);
      if (wrong !== undefined) connection.destroy(wrong);
      done(wrong === undefined ? undefined : explained(wrong));
    });
  }

  #judge(found: string): HandshakeError | undefined {
    if (found === this.#expected) return undefined;
    return new HandshakeError("wrong_identity", `found ${found}, expected the control plane, ${this.#expected}`);
  }
}

/** Opens streams once there is a certificate to open them with. */
export class CertifiedTransport implements ClientTransport {
  readonly #credentials: CredentialSource;
  readonly #inner: ClientTransport;

  constructor(credentials: CredentialSource, inner: ClientTransport) {
    this.#credentials = credentials;
    this.#inner = inner;
  }

  open(events: StreamEvents): ClientStream {
    if (this.#credentials.current !== undefined) return this.#inner.open(events);
    let stream: ClientStream | undefined;
    const unwatch = this.#credentials.watch(() => {
      unwatch();
      stream = this.#inner.open(events);
    });
    return {
      send: (message) => stream?.send(message),
      close: () => {
        unwatch();
        stream?.close();
      },
    };
  }
}

function explained(error: HandshakeError): Error {
  if (error.reason !== "unknown_ca") return error;
  const remedy =
    "if the mesh's roots were changed while this sidecar was away, start it with a new join token (heddle identity token)";
  return new HandshakeError(error.reason, `${error.message}; ${remedy}`, error);
}
