/**
 * Who calls one port, by what they have proved to be. Callers that are the same are counted together, and their requests
 * are believed or not together; what is kept of them goes with their last connection.
 */
import type { Connection } from "../../net/connection.ts";
import type { Lease } from "../../telemetry/lease.ts";
import type { Labels } from "../../telemetry/metrics.ts";
import { Application } from "../application.ts";
import type { Guard } from "../authz/guard.ts";
import { guardBytes } from "../authz/guarded-bytes.ts";
import { GuardedService } from "../authz/guarded-service.ts";
import { reviewRequests } from "../authz/live-requests.ts";
import type { Backend } from "../backend.ts";
import type { ProxyContext } from "../context.ts";
import { GrpcDeadlines } from "../grpc-deadline.ts";
import type { HttpContext } from "../http-session.ts";
import type { TcpMeter } from "../metrics.ts";
import { forwardOpaque } from "../opaque-forward.ts";
import type { OpaqueService } from "../serve.ts";
import { callerLabels } from "./labels.ts";

/** What serves the callers of one identity. */
export interface Caller {
  readonly http: HttpContext;
  readonly opaque: OpaqueService;
  /** Not tracked by yet. */
  readonly meter: TcpMeter;
}

export interface CallersOptions {
  readonly context: ProxyContext;
  readonly backend: Backend;
  readonly guard: Guard;
  /** The metric labels of the application that they call. */
  readonly target: Labels;
}

export class Callers {
  /** Who has proved nothing. */
  readonly plain: Caller;
  /** The same, on a port that takes no TLS of the mesh: sidecars among them are believed without proof. */
  readonly unproved: Caller;
  /** Counts who speaks TLS with the application itself. */
  readonly foreign: TcpMeter;
  readonly #options: CallersOptions;
  /** By identity: only those that have a connection, so no more than there may be of these. */
  readonly #known = new Map<string, Caller>();

  constructor(options: CallersOptions) {
    this.#options = options;
    const { security } = options.context;
    this.unproved = this.#caller("", true, undefined);
    this.plain = security === undefined ? this.unproved : this.#caller("", false, undefined);
    const { metrics } = options.context;
    const labels = callerLabels(security !== undefined, "", true);
    this.foreign =
      security === undefined ? this.plain.meter : metrics.tcp({ direction: "inbound", peer: "src", ...labels });
  }

  /** Counts a connection that has proved its identity. @returns what serves it */
  enter(connection: Connection): Caller {
    const identity = connection.peerIdentity;
    const known = this.#known.get(identity);
    if (known !== undefined) {
      known.meter.track(connection);
      return known;
    }
    const { metrics } = this.#options.context;
    const lease = metrics.registry.lease();
    const caller = this.#caller(identity, true, lease);
    this.#known.set(identity, caller);
    caller.meter.track(connection);
    metrics.forget(caller.meter, lease, () => this.#known.delete(identity));
    return caller;
  }

  #caller(identity: string, believed: boolean, lease: Lease | undefined): Caller {
    const { context, backend, guard, target } = this.#options;
    const { metrics, logger, clock } = context;
    const secured = context.security !== undefined;
    const labels = { direction: "inbound", ...callerLabels(secured, identity, false) };
    // Without an identity of our own all callers are alike, and counted where the endpoint is.
    const counted = secured ? metrics.endpoint({ ...labels, ...target }, lease) : undefined;
    const service = counted === undefined ? backend : backend.countedBy(counted);
    return {
      meter: metrics.tcp({ ...labels, peer: "src" }, lease),
      http: {
        speaker: { direction: "inbound", workload: context.workload },
        metrics,
        logger,
        clock,
        service: new Application(new GrpcDeadlines(service, clock), believed),
        guard: {
          get open() {
            return guard.open;
          },
          get shut() {
            if (identity !== "") return false;
            return guard.tlsMode === "strict" || (believed && secured && guard.tlsMode !== "disable");
          },
          serviceFor: (connection) =>
            new Application(new GrpcDeadlines(new GuardedService(guard, connection, service), clock), believed),
          review: (connection, exchanges) => reviewRequests(guard, connection, exchanges),
        },
      },
      opaque: guardBytes(guard, forwardOpaque(backend, "inbound", context, counted)),
    };
  }
}
