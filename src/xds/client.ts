import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

import type { Discovery, ServiceWatcher } from "../model/discovery.ts";
import type { InboundPolicy } from "../model/inbound-policy.ts";
import { workloadKey } from "../model/workload.ts";
import type { Clock, Timer } from "../net/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import { VERSION } from "../telemetry/version.ts";
import type { ClientStream, ClientTransport } from "./client-transport.ts";
import { decodeInboundPolicy } from "./decode-policy.ts";
import { decodeCluster, decodeEndpoints, decodeListener, decodeRoutes } from "./decode.ts";
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from "./gen/envoy/service/discovery/v3/discovery_pb.ts";
import { Http2Transport } from "./http2-transport.ts";
import type { XdsNode } from "./node.ts";
import { type PolicyTable, PolicyWatch } from "./policy-watch.ts";
import { ReconnectDelay } from "./reconnect.ts";
import { ResourceTable } from "./resource-table.ts";
import { CLUSTER, ENDPOINTS, INBOUND_POLICY, LISTENER, ROUTES } from "./resource-types.ts";
import { type Registration, type ResourceTables, ServiceWatch } from "./service-watch.ts";

/** Authorities that are followed at once, also those that linger. */
export const WATCHES_MAX = 10_000;

/** Milliseconds that an authority is still followed after its last watcher has left. */
export const LINGER_MS = 5_000;

/** Characters of a refusal. */
const NACK_LENGTH_MAX = 4_000;

/** Milliseconds between two log lines about too many authorities. */
const OVERFLOW_LOG_INTERVAL_MS = 60_000;

/** google.rpc.Code INVALID_ARGUMENT. */
const INVALID_ARGUMENT = 3;

export interface XdsClientOptions {
  /** Where the control plane serves xDS. `host` is an IP address literal. */
  readonly address: { readonly host: string; readonly port: number };
  readonly node: XdsNode;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Uniform in 0 (inclusive) to 1. */
  readonly random?: () => number;
  /** HTTP/2 to `address` unless a test brings its own. */
  readonly transport?: ClientTransport;
  /** Throws an Error that says why a policy could not be obeyed: the control plane is told, and the last one stays. */
  readonly checkPolicy?: (policy: InboundPolicy) => void;
}

/** What is made of several resources. */
interface Follower {
  /** @returns true if those who watch it must be told */
  update(): boolean;
  tellAll(): void;
}

type Request = MessageInitShape<typeof DeltaDiscoveryRequestSchema>;

/** Follows services over incremental aggregated xDS, and keeps what it knows while the control plane is away. */
export class XdsClient implements Discovery {
  /** Called when `connected` has changed. */
  onConnectionChange: ((connected: boolean) => void) | undefined;

  readonly #node: XdsNode;
  readonly #address: string;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #transport: ClientTransport;
  readonly #delay: ReconnectDelay;
  readonly #tables: ResourceTables = {
    listeners: new ResourceTable(LISTENER, decodeListener),
    routes: new ResourceTable(ROUTES, decodeRoutes),
    clusters: new ResourceTable(CLUSTER, decodeCluster),
    endpoints: new ResourceTable(ENDPOINTS, decodeEndpoints),
  };
  readonly #policies: PolicyTable;
  readonly #policy: PolicyWatch;
  /** All tables. */
  readonly #every: readonly ResourceTable<{ readonly name: string }, Follower>[];
  readonly #watches = new Map<string, ServiceWatch>();
  /** Those without watchers, the longest abandoned first. */
  readonly #lingering = new Set<ServiceWatch>();
  #stream: ClientStream | undefined;
  #open = false;
  #connected = false;
  #closed = false;
  /** A lost connection is worth one line, not one per attempt. */
  #outageLogged = false;
  #unknownLogged = false;
  #reconnect: Timer | undefined;
  #overflowLoggedAt = -Infinity;

  constructor(options: XdsClientOptions) {
    this.#node = options.node;
    this.#address = `${options.address.host}:${options.address.port}`;
    this.#logger = options.logger;
    this.#clock = options.clock;
    const { checkPolicy } = options;
    this.#policies = new ResourceTable(INBOUND_POLICY, (bytes) => {
      const decoded = decodeInboundPolicy(bytes);
      checkPolicy?.(decoded.policy);
      return decoded;
    });
    this.#policy = new PolicyWatch(this.#policies, workloadKey({ ...options.node, name: options.node.workload }));
    this.#every = [this.#policies, ...Object.values(this.#tables)];
    this.#delay = new ReconnectDelay(options.random ?? Math.random);
    this.#transport = options.transport ?? new Http2Transport(options.address, options.clock);
    this.#connect();
  }

  /** The control plane answers on our stream. */
  get connected(): boolean {
    return this.#connected;
  }

  watch(authority: string, watcher: ServiceWatcher): () => void {
    const watch = this.#watches.get(authority) ?? this.#begin(authority);
    if (watch === undefined) {
      watcher.onUnknown();
      return () => {};
    }
    const registration: Registration = { watcher, told: undefined };
    watch.watchers.add(registration);
    watch.lingering?.cancel();
    watch.lingering = undefined;
    this.#lingering.delete(watch);
    this.#flush();
    watch.tell(registration);
    return () => {
      if (!watch.watchers.delete(registration) || watch.watchers.size > 0 || this.#closed) return;
      this.#lingering.add(watch);
      watch.lingering = this.#clock.after(LINGER_MS, () => {
        this.#forget(watch);
        this.#flush();
      });
    };
  }

  watchPolicy(listener: (policy: InboundPolicy) => void): () => void {
    const end = this.#policy.add(listener);
    this.#flush();
    return end;
  }

  /** Ends the stream and forgets everything; watchers hear nothing more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reconnect?.cancel();
    this.#stream?.close();
    this.#open = false;
    for (const watch of this.#watches.values()) {
      watch.watchers.clear();
      watch.lingering?.cancel();
    }
    this.#watches.clear();
    this.#lingering.clear();
    this.#policy.close();
    this.#setConnected(false);
  }

  #begin(authority: string): ServiceWatch | undefined {
    if (this.#closed) return undefined;
    if (this.#watches.size >= WATCHES_MAX) {
      const [oldest] = this.#lingering;
      if (oldest === undefined) {
        this.#logOverflow(authority);
        return undefined;
      }
      this.#forget(oldest);
    }
    const watch = new ServiceWatch(authority, this.#tables);
    this.#watches.set(authority, watch);
    return watch;
  }

  #forget(watch: ServiceWatch): void {
    watch.lingering?.cancel();
    this.#lingering.delete(watch);
    this.#watches.delete(watch.authority);
    watch.release();
  }

  #logOverflow(authority: string): void {
    const now = this.#clock.now();
    if (now - this.#overflowLoggedAt < OVERFLOW_LOG_INTERVAL_MS) return;
    this.#overflowLoggedAt = now;
    this.#logger.warn("too many services are in use at once; calls to others fail", { authority, limit: WATCHES_MAX });
  }

  #logUnknownWorkload(): void {
    if (this.#unknownLogged) return;
    this.#unknownLogged = true;
    const { workload, namespace } = this.#node;
    this.#logger.warn("the control plane has no policy for this workload (is it registered?), so nobody may call it", {
      workload,
      namespace,
    });
  }

  #connect(): void {
    this.#stream = this.#transport.open({
      onOpen: () => this.#opened(),
      onMessage: (bytes) => this.#received(bytes),
      onClose: (reason) => this.#lost(reason),
    });
  }

  #opened(): void {
    this.#open = true;
    let request: Request = {
      node: {
        id: `${this.#node.workload}.${this.#node.namespace}`,
        cluster: this.#node.service,
        userAgentName: "heddle",
        userAgentVersionType: { case: "userAgentVersion", value: VERSION },
        metadata: { ...this.#node },
      },
    };
    for (const table of this.#every) {
      const all = table.takeAll();
      // Endpoints are asked for even if there are none, to be known and to hear whether the control plane answers. For
      // Listeners and Clusters a request without names would mean "all of them".
      if (table.size === 0 && table !== this.#tables.endpoints) continue;
      this.#send({ ...request, typeUrl: table.type, ...all });
      request = {};
    }
  }

  #received(bytes: Uint8Array): void {
    let response: DeltaDiscoveryResponse;
    try {
      response = fromBinary(DeltaDiscoveryResponseSchema, bytes);
    } catch (error) {
      this.#stream?.close();
      this.#lost(`a response is no valid protobuf: ${String(error)}`);
      return;
    }
    this.#delay.reset();
    if (!this.#connected) this.#logger.info("connected to the control plane", { address: this.#address });
    this.#outageLogged = false;
    const table = this.#every.find(({ type }) => type === response.typeUrl);
    const changed = new Set<Follower>();
    const errors = table?.apply(response, changed) ?? [`unknown resource type "${response.typeUrl}"`];
    const news = [...changed].filter((follower) => follower.update());
    this.#answer(response, errors);
    this.#flush();
    this.#setConnected(true);
    for (const follower of news) follower.tellAll();
    if (this.#policy.unknown) this.#logUnknownWorkload();
  }

  #answer({ typeUrl, nonce }: DeltaDiscoveryResponse, errors: readonly string[]): void {
    if (errors.length === 0) {
      this.#send({ typeUrl, responseNonce: nonce });
      return;
    }
    const message = errors.join("; ").slice(0, NACK_LENGTH_MAX);
    this.#logger.error("the control plane sent what cannot be used; the last good state stays", { reason: message });
    this.#send({ typeUrl, responseNonce: nonce, errorDetail: { code: INVALID_ARGUMENT, message } });
  }

  #lost(reason: string): void {
    this.#stream = undefined;
    this.#open = false;
    const delay = this.#delay.next();
    if (!this.#outageLogged) {
      this.#outageLogged = true;
      this.#logger.warn("no connection to the control plane; what is known stays in use", {
        address: this.#address,
        reason,
      });
    }
    this.#reconnect = this.#clock.after(delay, () => this.#connect());
    this.#setConnected(false);
  }

  #flush(): void {
    if (!this.#open) return;
    for (const table of this.#every) {
      const changes = table.takeChanges();
      if (changes !== undefined) this.#send({ typeUrl: table.type, ...changes });
    }
  }

  #send(request: Request): void {
    this.#stream?.send(toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, request)));
  }

  #setConnected(connected: boolean): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    this.onConnectionChange?.(connected);
  }
}
