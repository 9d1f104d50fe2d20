/**
 * The way in: what the mesh sends to this workload goes to its application. One listener per port of the application,
 * since without transparent capture nothing but the port that was dialled tells which one was meant.
 */
import type { BackendPolicy } from "../model/backend-policy.ts";
import type { Endpoint } from "../model/endpoint.ts";
import { Application } from "./application.ts";
import { Guard } from "./authz/guard.ts";
import { guardBytes } from "./authz/guarded-bytes.ts";
import { GuardedService } from "./authz/guarded-service.ts";
import type { Backend } from "./backend.ts";
import type { InboundConfig, SocketAddress } from "./config.ts";
import type { ProxyContext } from "./context.ts";
import { GrpcDeadlines } from "./grpc-deadline.ts";
import type { HttpContext } from "./http-session.ts";
import { Listener, type ListenerOptions } from "./listener.ts";
import { forwardOpaque } from "./opaque-forward.ts";
import { serveDetected } from "./serve.ts";

/**
 * How an application on the same host is treated; the numbers are Linkerd's for inbound. It is the only endpoint and never
 * rests, so nothing waits for it here: the queue and its time limit stand for a backend that could have more.
 */
export const INBOUND_POLICY: BackendPolicy = {
  connectTimeoutMs: 300,
  maxInFlight: 100_000,
  queueCapacity: 100,
  failfastTimeoutMs: 1_000,
};

/** One port of the application, however its callers come in. */
export interface InboundPort {
  readonly backend: Backend;
  readonly guard: Guard;
  readonly serve: ListenerOptions["serve"];
}

export interface Inbound extends InboundPort {
  readonly config: InboundConfig;
  readonly listener: Listener;
}

const NOTHING = Buffer.alloc(0);

/** Opens one inbound listener. @throws ListenError */
export async function openInbound(config: InboundConfig, context: ProxyContext): Promise<Inbound> {
  const port = inboundPort(config, context);
  const listener = await Listener.open({ ...inboundListener(config.listen, context), serve: port.serve });
  return { config, listener, ...port };
}

/** Options of every listener that the mesh calls. */
export function inboundListener(address: SocketAddress, { config, metrics }: ProxyContext) {
  return {
    address,
    shared: config.workers > 1,
    meter: metrics.tcp({ direction: "inbound", peer: "src", tls: "disabled" }),
    onOverflow: () => metrics.tcpErrors.inbound.labels({ direction: "inbound", error: "overflow" }).inc(),
  };
}

export function inboundPort(config: Omit<InboundConfig, "listen">, context: ProxyContext): InboundPort {
  const { metrics, logger, clock } = context;
  const { target } = config;
  const where = "path" in target ? target.path : `${target.host}:${target.port}`;
  const application: Endpoint = {
    ...("path" in target ? { address: "", port: 0, path: target.path } : { address: target.host, port: target.port }),
    workload: context.config.workload,
    locality: { region: "", zone: "", subZone: "" },
    weight: 1,
    health: "healthy",
    labels: {},
    meshed: false,
    identity: "",
  };
  const backend = context.backend({
    name: `the application at ${where}`,
    direction: "inbound",
    policy: INBOUND_POLICY,
    protocol: config.protocol,
    single: true,
    labels: () => ({}),
  });
  backend.update(INBOUND_POLICY, [application]);
  const guard = new Guard(config, context);
  const http: HttpContext = {
    speaker: { direction: "inbound", workload: context.workload },
    metrics,
    logger,
    clock,
    service: new Application(new GrpcDeadlines(backend, clock)),
    guard: {
      get open() {
        return guard.open;
      },
      serviceFor: (connection) =>
        new Application(new GrpcDeadlines(new GuardedService(guard, connection, backend), clock)),
    },
  };
  const opaque = guardBytes(guard, forwardOpaque(backend, "inbound", context));
  return {
    backend,
    guard,
    serve: (connection, done) =>
      config.protocol === "opaque"
        ? opaque.serve(connection, NOTHING, false, undefined, done)
        : serveDetected(connection, "inbound", context, http, config.protocol === "detect" ? opaque : undefined, done),
  };
}
