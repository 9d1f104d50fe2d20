/** The gRPC listener on which sidecars ask for certificates and for the mesh: HTTP/2, in TLS for other hosts. */
import {
  constants,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { createServer } from "node:net";

import {
  Code,
  ConnectError,
  type ConnectRouter,
  createContextKey,
  createContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import type { Clock, Timer } from "../net/clock.ts";
import type { CredentialSource } from "../net/credentials.ts";
import type { Logger } from "../telemetry/log.ts";
import { callerIdentity } from "../xds/caller.ts";
import { Identity } from "../xds/gen/heddle/identity/v1/identity_pb.ts";
import type { Address } from "./address.ts";
import { closeServer, listen } from "./listen.ts";
import { type Caller, callerAt, XdsDoor } from "./xds-door.ts";
import type { OnRefused } from "./xds-refusals.ts";

/** Connections at one time. */
export const XDS_CONNECTIONS_MAX = 20_000;
/** Streams of one connection: a client needs one. */
export const XDS_STREAMS_MAX = 16;
/** Milliseconds between two pings, and until a silent peer counts as gone: one that vanished never says so. */
export const PING_INTERVAL_MS = 30_000;
export const PING_TIMEOUT_MS = 10_000;
/** Milliseconds between two looks at whether a connection without a certificate has a stream: if not, it is closed. */
export const STRANGER_LOOK_EVERY_MS = 10_000;

export interface XdsListenerOptions {
  readonly address: Address;
  /** Plain HTTP/2 of other hosts is served as well. */
  readonly insecure: boolean;
  /** What the control plane proves itself with, and whom it believes. */
  readonly credentials: CredentialSource;
  readonly trustDomain: string;
  readonly clock: Clock;
  /** The wall clock: milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Logger;
  readonly onRefused: OnRefused;
  readonly routes: (router: ConnectRouter) => void;
}

const NOBODY: Caller = { kind: "stranger", reason: "no_certificate", found: "a connection that is over", peer: "" };
const caller = createContextKey<Caller>(NOBODY, { description: "the other end of the connection" });

export interface XdsListener {
  readonly address: Address;
  close(): Promise<void>;
}

/** @throws ControlStartError like {@link listen} */
export async function listenXds(options: XdsListenerOptions): Promise<XdsListener> {
  const { clock, routes } = options;
  const handler = connectNodeAdapter({
    routes,
    interceptors: [membersOnly(options)],
    contextValues: (request) => {
      const socket = "stream" in request ? request.stream.session?.socket : request.socket;
      return createContextValues().set(caller, socket === undefined ? NOBODY : callerAt(socket));
    },
    // Compressing a stream of small messages costs far more than it saves.
    acceptCompression: [],
  });
  const http2 = createHttp2Server({ settings: { maxConcurrentStreams: XDS_STREAMS_MAX } }, unbreakable(handler));
  const door = new XdsDoor({ ...options, onInside: (socket) => http2.emit("connection", socket) });
  const server = createServer((socket) => door.enter(socket));
  server.maxConnections = XDS_CONNECTIONS_MAX;
  const endings = new Map<ServerHttp2Session, () => void>();
  http2.on("session", (session) => {
    const ends = [pingRegularly(session, clock)];
    if (callerAt(session.socket).kind === "stranger") ends.push(closeWithoutStreams(session, clock));
    endings.set(session, () => ends.forEach((end) => end()));
    session.on("close", () => {
      endings.get(session)?.();
      endings.delete(session);
    });
    session.on("error", () => session.destroy());
  });
  const address = await listen(server, options.address, "xDS", "--xds");
  return {
    address,
    close: async () => {
      const closed = closeServer(server);
      door.close();
      for (const [session, end] of endings) {
        end();
        session.destroy();
      }
      await closed;
    },
  };
}

type Handler = (request: Http2ServerRequest, response: Http2ServerResponse) => void;

/** The adapter throws at a request that it cannot make a URL of, and anybody may send one: `:authority: [`. */
function unbreakable(handler: Handler): Handler {
  return (request, response) => {
    try {
      handler(request, response);
    } catch {
      request.stream.close(constants.NGHTTP2_PROTOCOL_ERROR);
    }
  };
}

/** Certificates are given to whoever proves on the stream who it is; anything else is only for who has one. */
function membersOnly({ now, onRefused }: XdsListenerOptions): Interceptor {
  return (next) => (request) => {
    const who = request.contextValues.get(caller);
    if (request.service.typeName === Identity.typeName || who.kind === "plain") return next(request);
    if (who.kind === "workload" && who.notAfter > now()) {
      request.contextValues.set(callerIdentity, who.identity);
      return next(request);
    }
    const expired = { reason: "bad_certificate", found: "a certificate that has expired meanwhile" } as const;
    const { reason, found } = who.kind === "stranger" ? who : expired;
    onRefused(reason, `${request.method.name}: found ${found}`, who.peer);
    throw new ConnectError(
      `expected a certificate of a workload of this mesh, found ${found}; a sidecar gets one with a join token (heddle identity token)`,
      Code.Unauthenticated,
    );
  };
}

function pingRegularly(session: ServerHttp2Session, clock: Clock): () => void {
  let timer: Timer;
  const waitThenPing = (): void => {
    timer = clock.after(PING_INTERVAL_MS, () => {
      timer = clock.after(PING_TIMEOUT_MS, () => session.destroy());
      session.ping((error) => {
        timer.cancel();
        if (error === null && !session.destroyed) waitThenPing();
      });
    });
  };
  waitThenPing();
  return () => timer.cancel();
}

/** Who has no certificate comes for one, and at once. */
function closeWithoutStreams(session: ServerHttp2Session, clock: Clock): () => void {
  const streams = new Set<ServerHttp2Stream>();
  session.on("stream", (stream) => {
    streams.add(stream);
    stream.once("close", () => streams.delete(stream));
  });
  let timer: Timer;
  const look = (): void => {
    // Who never ends its request, or never reads the answer, has no stream any more once we have said all.
    if ([...streams].every(({ writableEnded }) => writableEnded)) session.destroy();
    else timer = clock.after(STRANGER_LOOK_EVERY_MS, look);
  };
  timer = clock.after(STRANGER_LOOK_EVERY_MS, look);
  return () => timer.cancel();
}
