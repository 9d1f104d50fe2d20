/**
 * The way out: what this workload sends into the mesh. Three doors: a listener that reads the name from Host or :authority
 * (as an HTTP proxy, or with the Host set by the caller); one listener per explicit upstream, for any protocol; and one for
 * connections that firewall rules have redirected, which go where they were going.
 */
import type { BackendView, ServiceView } from "../model/mesh.ts";
import type { Connection } from "../net/connection.ts";
import type { Backend } from "./backend.ts";
import { capturedAuthority } from "./capture/address-discovery.ts";
import type { CapturedDestinations } from "./capture/destinations.ts";
import type { CaptureConfig, SocketAddress, UpstreamConfig } from "./config.ts";
import type { ProxyContext } from "./context.ts";
import { failures } from "./failure.ts";
import { GrpcDeadlines } from "./grpc-deadline.ts";
import type { HttpContext } from "./http-session.ts";
import { Listener, type Session } from "./listener.ts";
import { forwardOpaque, refuseOpaque } from "./opaque-forward.ts";
import type { Resolution, Services } from "./outbound/services.ts";
import { NamedTarget } from "./outbound/target.ts";
import { type OpaqueService, serveDetected } from "./serve.ts";
import { localLabels } from "./tls/labels.ts";

const NOTHING = Buffer.alloc(0);

/** A backend with outbound labels. */
export function outboundBackend(service: ServiceView, view: BackendView, context: ProxyContext): Backend {
  const backend = context.backend({
    name: view.key,
    direction: "outbound",
    policy: view.policy,
    protocol: service.port.protocol,
    // What is no service is one address, and never another.
    single: service.name === "",
    labels: (endpoint) => ({
      authority: view.key,
      dst_service: service.name,
      dst_namespace: service.namespace,
      dst_workload: endpoint.workload,
    }),
  });
  return backend;
}

/** The listener that routes by Host. */
export function openByHost(address: SocketAddress, services: Services, context: ProxyContext): Promise<Listener> {
  const http = httpContext(services, context, undefined);
  return open(address, context, (connection, done) =>
    serveDetected(connection, "outbound", context, http, undefined, done),
  );
}

/** One explicit upstream: all that connects here goes to one service. */
export function openUpstream(config: UpstreamConfig, services: Services, context: ProxyContext): Promise<Listener> {
  const authority = config.authority.toLowerCase();
  const http = httpContext(services, context, authority);
  return open(
    config.listen,
    context,
    (connection, done) => new UpstreamSession(connection, authority, services, context, http, done),
  );
}

/** What the rules of `heddle init` redirect to us. */
export function openCaptured(
  { outbound: address }: CaptureConfig,
  destinations: CapturedDestinations,
  services: Services,
  context: ProxyContext,
): Promise<Listener> {
  const refused = refuseOpaque("loop", "outbound", context);
  return open(address, context, (connection, done) => {
    const destination = destinations.of(connection);
    if (destination === undefined) return refused.serve(connection, NOTHING, false, undefined, done);
    const authority = capturedAuthority(destination);
    const http = httpContext(services, context, authority);
    return new UpstreamSession(connection, authority, services, context, http, done);
  });
}

function open(
  address: SocketAddress,
  context: ProxyContext,
  serve: (connection: Connection, done: () => void) => Session,
): Promise<Listener> {
  const { metrics } = context;
  return Listener.open({
    address,
    shared: context.config.workers > 1,
    serve,
    meter: metrics.tcp({ direction: "outbound", peer: "src", ...localLabels(context.security !== undefined) }),
    onOverflow: () => metrics.tcpErrors.outbound.labels({ direction: "outbound", error: "overflow" }).inc(),
  });
}

function httpContext(services: Services, context: ProxyContext, authority: string | undefined): HttpContext {
  const { metrics, logger, clock, random } = context;
  return {
    speaker: { direction: "outbound", workload: context.workload },
    metrics,
    logger,
    clock,
    service: new GrpcDeadlines(new NamedTarget(services, clock, random, authority), clock),
  };
}

/** Waits until the service is known, since only then it is known whether to look at the bytes at all. */
class UpstreamSession implements Session {
  readonly #connection: Connection;
  readonly #context: ProxyContext;
  readonly #http: HttpContext;
  readonly #done: () => void;
  readonly #giveUp: () => void;
  #session: Session | undefined;
  #draining = false;
  #over = false;

  constructor(
    connection: Connection,
    authority: string,
    services: Services,
    context: ProxyContext,
    http: HttpContext,
    done: () => void,
  ) {
    this.#connection = connection;
    this.#context = context;
    this.#http = http;
    this.#done = done;
    connection.handler = {
      onData() {},
      onEnd() {},
      onDrain() {},
      onClose: () => {
        this.#over = true;
        this.#giveUp();
        done();
      },
    };
    // Deferred, because `resolve` may know at once and the session must exist first.
    this.#giveUp = services.resolve(authority, (resolution) => queueMicrotask(() => this.#begin(resolution)));
  }

  shutdown(): void {
    this.#draining = true;
    this.#session?.shutdown();
  }

  destroy(): void {
    if (this.#session === undefined) this.#connection.destroy();
    else this.#session.destroy();
  }

  #begin(resolution: Resolution): void {
    if (this.#over || this.#connection.closed) return;
    const known = typeof resolution === "object" ? resolution : undefined;
    // An unknown service is treated as HTTP, so that an HTTP caller is told why; anything else is closed.
    const protocol = known?.view.port.protocol ?? "detect";
    const opaque = this.#opaque(resolution);
    this.#session =
      protocol === "opaque"
        ? opaque.serve(this.#connection, NOTHING, false, undefined, this.#done)
        : serveDetected(
            this.#connection,
            "outbound",
            this.#context,
            this.#http,
            protocol === "detect" ? opaque : undefined,
            this.#done,
          );
    if (this.#draining) this.#session.shutdown();
  }

  #opaque(resolution: Resolution): OpaqueService {
    if (resolution === "timeout") return refuseOpaque(failures.discoveryTimeout.kind, "outbound", this.#context);
    const route = resolution === "absent" ? undefined : resolution.router.forBytes;
    const key = route?.pickBackend(this.#context.random);
    const backend = resolution === "absent" || key === undefined ? undefined : resolution.backend(key);
    if (backend === undefined) return refuseOpaque(failures.unknownService.kind, "outbound", this.#context);
    return forwardOpaque(backend, "outbound", this.#context);
  }
}
