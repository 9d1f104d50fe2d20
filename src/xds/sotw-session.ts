/**
 * The state-of-the-world variant of aggregated xDS, which proxyless gRPC speaks: each request lists all names wanted, and
 * a Listener or Cluster that a response lacks counts as deleted.
 *
 * This variant has no word for "there is no such resource": clients wait 15 s before they believe it. So a name that was
 * asked for and does not exist gets a stand-in that fails at once.
 */
import { create } from "@bufbuild/protobuf";
import { hash } from "node:crypto";

import { defaultBackendPolicy } from "../model/backend-policy.ts";
import { type AdsSession, RESPONSE_BYTES_SOFT_MAX, type StreamRecord } from "./ads-session.ts";
import { encodeCluster, encodeEndpoints, encodeUnknownListener } from "./encode.ts";
import {
  type DiscoveryRequest,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
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
import { type EncodedResource, encodeResource, type Snapshot } from "./snapshot.ts";

/** In each phase of a change: clusters come before what refers to them, and go after it. */
const PHASES: readonly { readonly type: ResourceType; readonly keepGone: boolean }[] = [
  { type: INBOUND_POLICY, keepGone: false },
  { type: CLUSTER, keepGone: true },
  { type: ENDPOINTS, keepGone: false },
  { type: LISTENER, keepGone: false },
  { type: ROUTES, keepGone: false },
  { type: CLUSTER, keepGone: false },
];

type Phase = (typeof PHASES)[number];

interface Sent {
  readonly resource: EncodedResource;
  readonly standIn: boolean;
}

class TypeState {
  names: ReadonlySet<string> = new Set();
  wildcard = false;
  /** The client has once named something, so an empty list no longer means everything. */
  named = false;
  /** What the client has. */
  sent = new Map<string, Sent>();
  /** Nothing was sent yet. */
  owed = true;
  nonce = "";
  /** The response with that nonce has been neither accepted nor refused. */
  unanswered = false;
  responseNames: string[] = [];
}

export class SotwSession implements AdsSession<DiscoveryRequest, DiscoveryResponse> {
  readonly record: StreamRecord;
  readonly #controlPlane: string;
  readonly #types = new Map<ResourceType, TypeState>();
  readonly #dirty = new Set<Phase>();
  #snapshot: Snapshot;
  #lastNonce = 0;

  /** @param controlPlane who we say we are */
  constructor(snapshot: Snapshot, record: StreamRecord, controlPlane: string) {
    this.#snapshot = snapshot;
    this.record = record;
    this.#controlPlane = controlPlane;
  }

  handle(request: DiscoveryRequest): void {
    this.record.identify(request.node);
    const type = request.typeUrl;
    if (!isResourceType(type)) {
      this.record.unserved(type);
      return;
    }
    let state = this.#types.get(type);
    const first = state === undefined;
    if (state === undefined) this.#types.set(type, (state = new TypeState()));
    // The client has not seen our last response yet; when it has, it will say all this again. A client that goes on
    // after a reconnect may bring a nonce of its former stream in the first request.
    if (!first && request.responseNonce !== state.nonce) return;
    this.#noteAnswer(state, request);
    if (this.#subscribe(type, state, request.resourceNames) || first) this.#mark(type);
  }

  meshChanged(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    for (const type of this.#types.keys()) this.#mark(type);
  }

  next(): DiscoveryResponse | undefined {
    for (const phase of PHASES) {
      const state = this.#types.get(phase.type);
      if (state === undefined || !this.#dirty.delete(phase)) continue;
      const resources = isWhole(phase.type) ? this.#wholeSet(phase, state) : this.#changed(phase, state);
      if (resources !== undefined) return this.#response(phase.type, state, resources);
    }
    return undefined;
  }

  #noteAnswer(state: TypeState, { typeUrl, errorDetail }: DiscoveryRequest): void {
    if (!state.unanswered) return;
    state.unanswered = false;
    if (errorDetail === undefined) this.record.acked(typeUrl, isWhole(typeUrl) ? undefined : state.responseNames);
    else this.record.nacked(typeUrl, state.responseNames, errorDetail.message);
  }

  /** @returns true if something must be sent because of it */
  #subscribe(type: ResourceType, state: TypeState, list: readonly string[]): boolean {
    const names = new Set(list);
    const hadWildcard = state.wildcard;
    const everything = names.delete("*") || (list.length === 0 && !state.named);
    state.wildcard = everything && (type === LISTENER || type === CLUSTER);
    state.named ||= list.length > 0;
    let more = state.wildcard && !hadWildcard;
    let kept = 0;
    for (const name of state.names) {
      if (names.has(name)) {
        kept++;
        continue;
      }
      this.record.unsubscribed(type, name);
      if (!state.wildcard) state.sent.delete(name);
    }
    for (const name of names) {
      if (state.names.has(name)) continue;
      this.record.subscribed(name, kept++);
      // Sent even if a wildcard has brought it already.
      state.sent.delete(name);
      more = true;
    }
    state.names = names;
    return more;
  }

  #mark(type: ResourceType): void {
    for (const phase of PHASES) {
      if (phase.type === type) this.#dirty.add(phase);
    }
  }

  /** Of Listeners and Clusters every response holds all, so that what it lacks is deleted. */
  #wholeSet(phase: Phase, state: TypeState): EncodedResource[] | undefined {
    const now = new Map<string, Sent>();
    let changed = state.owed;
    for (const name of this.#interest(state)) {
      const current = this.#lookUp(phase.type, state, name);
      if (current === undefined) continue;
      now.set(name, current);
      changed ||= state.sent.get(name)?.resource.version !== current.resource.version;
    }
    for (const [name, gone] of state.sent) {
      if (now.has(name)) continue;
      if (phase.keepGone) now.set(name, gone);
      else changed = true;
    }
    if (!changed) return undefined;
    state.sent = now;
    return [...now.values()].map(({ resource }) => resource);
  }

  /** Of the other types only what has changed is sent; they are deleted by nothing referring to them. */
  #changed(phase: Phase, state: TypeState): EncodedResource[] | undefined {
    const resources: EncodedResource[] = [];
    let bytes = 0;
    for (const name of state.names) {
      const current = this.#lookUp(phase.type, state, name);
      if (current === undefined || state.sent.get(name)?.resource.version === current.resource.version) continue;
      if (bytes > RESPONSE_BYTES_SOFT_MAX) {
        this.#dirty.add(phase);
        break;
      }
      bytes += current.resource.body.value.length;
      resources.push(current.resource);
      state.sent.set(name, current);
    }
    return resources.length > 0 || state.owed ? resources : undefined;
  }

  *#interest(state: TypeState): Iterable<string> {
    yield* state.names;
    if (!state.wildcard) return;
    for (const name of this.#snapshot.names()) {
      if (!state.names.has(name)) yield name;
    }
  }

  #lookUp(type: ResourceType, state: TypeState, name: string): Sent | undefined {
    const resource = this.#snapshot.get(type, name, this.record.namespace);
    if (resource !== undefined) return { resource, standIn: false };
    const before = state.sent.get(name);
    if (before?.standIn === true) return before;
    const bytes = encodeStandIn(type, name);
    return bytes === undefined ? undefined : { resource: encodeResource(type, name, bytes), standIn: true };
  }

  #response(type: ResourceType, state: TypeState, resources: EncodedResource[]): DiscoveryResponse {
    state.owed = false;
    state.unanswered = true;
    state.nonce = String(++this.#lastNonce);
    state.responseNames = resources.map(({ name }) => name);
    const versions = resources.map(({ name, version }) => `${name} ${version}`).join("\n");
    return create(DiscoveryResponseSchema, {
      typeUrl: type,
      nonce: state.nonce,
      versionInfo: hash("sha256", versions, "base64url").slice(0, 16),
      resources: resources.map(({ body }) => body),
      controlPlane: { identifier: this.#controlPlane },
    });
  }
}

/** Of these types every response has all that the client is to have. */
function isWhole(typeUrl: string): boolean {
  return typeUrl === LISTENER || typeUrl === CLUSTER;
}

/** What is sent in place of a resource that does not exist; undefined where a client need not be told. */
function encodeStandIn(type: ResourceType, name: string): Uint8Array<ArrayBuffer> | undefined {
  if (type === LISTENER) return encodeUnknownListener(name);
  if (type === CLUSTER) return encodeCluster(name, defaultBackendPolicy);
  return type === ENDPOINTS ? encodeEndpoints(name, []) : undefined;
}
