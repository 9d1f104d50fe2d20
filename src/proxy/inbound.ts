/**
 * The way in: what the mesh sends to this workload goes to its application. One listener per port of the application,
 * since without transparent capture nothing but the port that was dialled tells which one was meant.
 */
import type { BackendPolicy } from "../model/backend-policy.ts";
import type { Endpoint } from "../model/endpoint.ts";
import type { Connection } from "../net/connection.ts";
import { Guard } from "./authz/guard.ts";
import type { Backend } from "./backend.ts";
import type { InboundConfig, SocketAddress } from "./config.ts";
import { type ProxyContext, targetLabels } from "./context.ts";
import { Listener, type ListenerOptions, type Session } from "./listener.ts";
import { serveDetected, type TlsDoor } from "./serve.ts";
import { type Caller, Callers } from "./tls/callers.ts";
import { type Entrance, EnteringSession } from "./tls/entering.ts";

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
    onOverflow: () => metrics.tcpErrors.inbound.labels({ direction: "inbound", error: "overflow" }).inc(),
  };
}

export function inboundPort(config: Omit<InboundConfig, "listen">, context: ProxyContext): InboundPort {
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
  const callers = new Callers({ context, backend, guard, target: targetLabels("inbound", application) });
  const serve = (connection: Connection, caller: Caller, done: () => void, door?: TlsDoor): Session =>
    config.protocol === "opaque" && door === undefined
      ? caller.opaque.serve(connection, NOTHING, false, undefined, done)
      : serveDetected(
          connection,
          "inbound",
          context,
          caller.http,
          config.protocol === "detect" || config.protocol === "opaque" ? caller.opaque : undefined,
          done,
          door,
        );
  const inside = (connection: Connection, done: () => void): Session =>
    serve(connection, callers.enter(connection), done);
  const door = tlsDoor(config, context, callers, guard, inside);
  return {
    backend,
    guard,
    serve: (connection, done) => {
      const mode = context.security === undefined ? "disable" : guard.tlsMode;
      if (mode !== "disable") return serve(connection, callers.plain, done, door?.[mode]);
      callers.unproved.meter.track(connection);
      return serve(connection, callers.unproved, done);
    },
  };
}

/** How the mesh comes in by TLS, by what the policy wants; undefined if this sidecar has no identity. */
function tlsDoor(
  config: Omit<InboundConfig, "listen">,
  context: ProxyContext,
  callers: Callers,
  guard: Guard,
  inside: Entrance["serve"],
): Record<"permissive" | "strict", TlsDoor> | undefined {
  const tls = context.security?.tls;
  if (tls === undefined) return undefined;
  const refuse = (connection: Connection, reason: "plaintext" | "timeout", done: () => void): Session => {
    const peer = `${connection.remoteAddress}:${connection.remotePort}`;
    tls.report("inbound", { reason, message: `port ${config.port} takes nothing but TLS of the mesh` }, peer);
    connection.handler = { onData() {}, onEnd() {}, onDrain() {}, onClose: done };
    connection.reset();
    return { shutdown() {}, destroy() {} };
  };
  // What came in by the strict one was looked at for TLS alone, so it stays strict.
  const door = (born: "permissive" | "strict"): TlsDoor => ({
    get strict() {
      return born === "strict" || guard.tlsMode === "strict";
    },
    opaque: config.protocol === "opaque",
    enter(connection, first, ended, foreign, done) {
      const entrance: Entrance = {
        tls,
        context,
        serve: inside,
        foreign: (all, over) => (this.strict ? refuse(connection, "plaintext", done) : foreign(all, over)),
      };
      return new EnteringSession(connection, first, ended, entrance, done);
    },
    admit: (connection, opaque) => (opaque ? callers.foreign : callers.plain.meter).track(connection),
    refuse: (connection, timedOut, done) => refuse(connection, timedOut ? "timeout" : "plaintext", done),
  });
  return { permissive: door("permissive"), strict: door("strict") };
}
