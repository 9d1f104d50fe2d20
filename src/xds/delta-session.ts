/**
 * The incremental variant of aggregated xDS: every resource has its own version, and only what the client lacks is sent.
 *
 * A response covers one type. Changes go out in the order InboundPolicy, Cluster, ClusterLoadAssignment, Listener, RouteConfiguration,
 * and removals of the first two come last, so that no route ever names a cluster that the client does not have.
 */
import { create } from "@bufbuild/protobuf";

import { type AdsSession, RESPONSE_BYTES_SOFT_MAX, type StreamRecord, UNANSWERED_MAX } from "./ads-session.ts";
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from "./gen/envoy/service/discovery/v3/discovery_pb.ts";
import {
  CLUSTER,
  ENDPOINTS,
  INBOUND_POLICY,
  isResourceType,
  LISTENER,
  type ResourceType,
  ROUTES,
} from "./resource-types.ts";
import type { EncodedResource, Snapshot } from "./snapshot.ts";

/** The version of what does not exist. No hash is empty. */
const ABSENT = "";

interface Phase {
  readonly type: ResourceType;
  readonly updates: boolean;
  readonly removals: boolean;
}

const PHASES: readonly Phase[] = [
  { type: INBOUND_POLICY, updates: true, removals: true },
  { type: CLUSTER, updates: true, removals: false },
  { type: ENDPOINTS, updates: true, removals: false },
  { type: LISTENER, updates: true, removals: true },
  { type: ROUTES, updates: true, removals: true },
  { type: CLUSTER, updates: false, removals: true },
  { type: ENDPOINTS, updates: false, removals: true },
];

class TypeState {
  readonly names = new Set<string>();
  wildcard = false;
  /** What the client was told last about each name. */
  readonly sent = new Map<string, string>();
  /** The first request of a type is answered even if there is nothing to say: the client may be waiting for it. */
  owed = true;
  /** What the responses that are not answered yet were about, by their nonces, the oldest first. */
  readonly unanswered = new Map<string, { readonly names: readonly string[]; readonly removed: readonly string[] }>();
}

/** What one phase found that the client lacks. */
interface Changes {
  readonly resources: EncodedResource[];
  readonly removed: string[];
  /** There is more. */
  cut: boolean;
}

export class DeltaSession implements AdsSession<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
  readonly record: StreamRecord;
  readonly #controlPlane: string;
  readonly #types = new Map<ResourceType, TypeState>();
  /** The phases in which there may be something to send. */
  readonly #dirty = new Set<Phase>();
  #snapshot: Snapshot;
  #lastNonce = 0;

  /** @param controlPlane who we say we are */
  constructor(snapshot: Snapshot, record: StreamRecord, controlPlane: string) {
    this.#snapshot = snapshot;
    this.record = record;
    this.#controlPlane = controlPlane;
  }

  handle(request: DeltaDiscoveryRequest): void {
    this.record.identify(request.node);
    const type = request.typeUrl;
    if (!isResourceType(type)) {
      this.record.unserved(type);
      return;
    }
    let state = this.#types.get(type);
    const first = state === undefined;
    if (state === undefined) this.#types.set(type, (state = new TypeState()));
    this.#noteAnswer(state, request);
    const { resourceNamesSubscribe: subscribe, resourceNamesUnsubscribe: unsubscribe } = request;
    // Legacy wildcard: only for these two types, and only in the first request.
    if (first && subscribe.length === 0 && (type === LISTENER || type === CLUSTER)) state.wildcard = true;
    for (const name of subscribe) this.#subscribe(state, name);
    for (const name of unsubscribe) this.#unsubscribe(type, state, name);
    if (first) {
      for (const [name, version] of Object.entries(request.initialResourceVersions)) {
        if (state.wildcard || state.names.has(name)) state.sent.set(name, version);
      }
    }
    if (first || subscribe.length > 0 || unsubscribe.length > 0) this.#mark(type);
  }

  meshChanged(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    for (const type of this.#types.keys()) this.#mark(type);
  }

  next(): DeltaDiscoveryResponse | undefined {
    for (const phase of PHASES) {
      const state = this.#types.get(phase.type);
      if (state === undefined || !this.#dirty.has(phase)) continue;
      const changes = this.#changes(phase, state);
      if (!changes.cut) this.#dirty.delete(phase);
      const something = changes.resources.length > 0 || changes.removed.length > 0;
      if (something || (phase.removals && state.owed)) return this.#response(phase.type, state, changes);
    }
    return undefined;
  }

  #noteAnswer(state: TypeState, { typeUrl, responseNonce, errorDetail }: DeltaDiscoveryRequest): void {
    if (responseNonce === "") return;
    const { names, removed } = state.unanswered.get(responseNonce) ?? { names: [], removed: [] };
    state.unanswered.delete(responseNonce);
    if (errorDetail === undefined) this.record.acked(typeUrl, [...names, ...removed]);
    else this.record.nacked(typeUrl, names, errorDetail.message);
  }

  #subscribe(state: TypeState, name: string): void {
    if (name === "*") {
      state.wildcard = true;
      return;
    }
    // Who subscribes again wants it again.
    state.sent.delete(name);
    if (state.names.has(name)) return;
    this.record.subscribed(name, state.names.size);
    state.names.add(name);
  }

  #unsubscribe(type: ResourceType, state: TypeState, name: string): void {
    if (name === "*") {
      state.wildcard = false;
      for (const known of state.sent.keys()) {
        if (!state.names.has(known)) state.sent.delete(known);
      }
      return;
    }
    if (!state.names.delete(name)) return;
    this.record.unsubscribed(type, name);
    // Under a wildcard this has it sent again, as the protocol demands.
    state.sent.delete(name);
  }

  #mark(type: ResourceType): void {
    for (const phase of PHASES) {
      if (phase.type === type) this.#dirty.add(phase);
    }
  }

  #changes(phase: Phase, state: TypeState): Changes {
    const changes: Changes = { resources: [], removed: [], cut: false };
    let bytes = 0;
    for (const name of this.#interest(state)) {
      const resource = this.#snapshot.get(phase.type, name, this.record.namespace);
      if (state.sent.get(name) === (resource?.version ?? ABSENT)) continue;
      if (resource === undefined) {
        if (!phase.removals) continue;
        changes.removed.push(name);
        state.sent.set(name, ABSENT);
      } else if (phase.updates) {
        if (bytes > RESPONSE_BYTES_SOFT_MAX) {
          changes.cut = true;
          break;
        }
        bytes += resource.body.value.length;
        changes.resources.push(resource);
        state.sent.set(name, resource.version);
      }
    }
    if (phase.removals && state.wildcard) this.#forgetGone(state, changes.removed);
    return changes;
  }

  *#interest(state: TypeState): Iterable<string> {
    yield* state.names;
    if (!state.wildcard) return;
    for (const name of this.#snapshot.names()) {
      if (!state.names.has(name)) yield name;
    }
  }

  /** What the client has only through its wildcard, and the mesh has no more. */
  #forgetGone(state: TypeState, removed: string[]): void {
    for (const name of state.sent.keys()) {
      if (state.names.has(name) || this.#snapshot.has(name)) continue;
      removed.push(name);
      state.sent.delete(name);
    }
  }

  #response(type: ResourceType, state: TypeState, changes: Changes): DeltaDiscoveryResponse {
    state.owed = false;
    const nonce = String(++this.#lastNonce);
    state.unanswered.set(nonce, { names: changes.resources.map(({ name }) => name), removed: changes.removed });
    const [oldest] = state.unanswered.keys();
    if (state.unanswered.size > UNANSWERED_MAX && oldest !== undefined) state.unanswered.delete(oldest);
    return create(DeltaDiscoveryResponseSchema, {
      typeUrl: type,
      nonce,
      resources: changes.resources.map(({ name, version, body }) => ({ name, version, resource: body })),
      removedResources: changes.removed,
      controlPlane: { identifier: this.#controlPlane },
    });
  }
}
