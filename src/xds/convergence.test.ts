/**
 * Client and server session against each other, over real bytes and on virtual time: whatever happens to the mesh, to
 * the connection and to the watchers, in the end every watcher has what the mesh says.
 */
import assert from "node:assert/strict";
import { it } from "node:test";

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";

import { defaultBackendPolicy } from "../model/backend-policy.ts";
import type { Mesh, ServiceView } from "../model/mesh.ts";
import { defaultRoute } from "../model/route.ts";
import { VirtualClock } from "../net/virtual-clock.ts";
import { StreamRecord } from "./ads-session.ts";
import { indexServices, resolveAuthority } from "./authority.ts";
import { XdsClient } from "./client.ts";
import type { ClientStream, ClientTransport, StreamEvents } from "./client-transport.ts";
import { DeltaSession } from "./delta-session.ts";
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from "./gen/envoy/service/discovery/v3/discovery_pb.ts";
import { RECONNECT_MAX_MS } from "./reconnect.ts";
import { Snapshot } from "./snapshot.ts";
import { memoryLogger } from "./testing/served-mesh.ts";
import { routeTo, world } from "./testing/worlds.ts";

const { logger, lines } = memoryLogger();

/** A control plane whose messages wait until they are delivered. */
class Wire implements ClientTransport {
  session: DeltaSession | undefined;
  snapshot: Snapshot;
  #events: StreamEvents | undefined;
  #toServer: Uint8Array[] = [];

  constructor(mesh: Mesh) {
    this.snapshot = new Snapshot(mesh, logger);
  }

  open(events: StreamEvents): ClientStream {
    this.#events = events;
    this.session = undefined;
    this.#toServer = [];
    return { send: (message) => this.#toServer.push(message), close: () => (this.#events = undefined) };
  }

  setMesh(mesh: Mesh): void {
    this.snapshot = new Snapshot(mesh, logger, this.snapshot);
    this.session?.meshChanged(this.snapshot);
  }

  cut(): void {
    const events = this.#events;
    this.#events = undefined;
    this.session = undefined;
    events?.onClose("cut");
  }

  /** Carries at most so many messages. @returns false when there are none left */
  deliver(count: number): boolean {
    for (let step = 0; step < count; step++) {
      if (!this.#step()) return false;
    }
    return true;
  }

  #step(): boolean {
    if (this.#events === undefined) return false;
    if (this.session === undefined) {
      this.session = new DeltaSession(this.snapshot, new StreamRecord(logger, () => new Date()), "heddle/test");
      this.#events.onOpen();
      return true;
    }
    const request = this.#toServer.shift();
    if (request !== undefined) {
      this.session.handle(fromBinary(DeltaDiscoveryRequestSchema, request));
      return true;
    }
    const response = this.session.next();
    if (response === undefined) return false;
    this.#events.onMessage(toBinary(DeltaDiscoveryResponseSchema, response));
    return true;
  }
}

/** What a watcher should have. */
function expected(mesh: Mesh, authority: string): ServiceView | "unknown" {
  const key = resolveAuthority(indexServices(mesh), authority, "default");
  if (key === undefined) return "unknown";
  const service = mesh.services.find(({ name }) => key.startsWith(`${name}.`));
  const [port] = service?.ports ?? [];
  assert.ok(service && port);
  const routes = mesh.routes.get(key) ?? [defaultRoute(key)];
  const keys = routes.flatMap(({ backends }) => backends.map(({ backend }) => backend));
  const view = (backend: string) => {
    const endpoints = mesh.services.some(({ name }) => backend === `${name}.default:80`)
      ? mesh.endpoints.get(backend)
      : [];
    return { key: backend, policy: defaultBackendPolicy, endpoints: endpoints ?? [] };
  };
  const backends = new Map(keys.map((backend) => [backend, view(backend)]));
  return { key, name: service.name, namespace: service.namespace, port, routes, backends };
}

const NAMES = ["price", "product", "gateway"];
const AUTHORITIES = ["price", "price.default", "product", "gateway:80", "nobody"];
const KEYS = [...NAMES, "nobody"].map((name) => `${name}.default:80`);

const addresses = fc.subarray(["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
const arbitraryWorld = fc
  .tuple(
    fc.subarray(NAMES),
    fc.array(addresses, { minLength: 3, maxLength: 3 }),
    fc.array(fc.subarray(KEYS), { minLength: 3, maxLength: 3 }),
  )
  .map(([names, lists, backends]) =>
    world(
      Object.fromEntries(names.map((name, index) => [name, lists[index] ?? []])),
      Object.fromEntries(
        names.flatMap((name, index) => {
          const keys = backends[index] ?? [];
          return keys.length === 0 ? [] : [[`${name}.default:80`, [routeTo(...keys)]]];
        }),
      ),
    ),
  );

type Event =
  | { readonly kind: "mesh"; readonly mesh: Mesh }
  | { readonly kind: "watch" | "leave"; readonly which: number }
  | { readonly kind: "deliver"; readonly count: number }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "cut" };

const arbitraryEvent: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ kind: fc.constant("mesh" as const), mesh: arbitraryWorld }),
  fc.record({ kind: fc.constantFrom("watch" as const, "leave" as const), which: fc.nat(AUTHORITIES.length - 1) }),
  fc.record({ kind: fc.constant("deliver" as const), count: fc.nat(12) }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.constantFrom(10, 500, 6_000) }),
  fc.record({ kind: fc.constant("cut" as const) }),
);

/** One run of a client through the events. */
class Run {
  readonly clock = new VirtualClock();
  readonly #wire: Wire;
  readonly #client: XdsClient;
  readonly #watched = new Map<string, { state: ServiceView | "unknown" | undefined; leave: () => void }>();
  #mesh: Mesh;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
    this.#wire = new Wire(mesh);
    this.#client = new XdsClient({
      address: { host: "127.0.0.1", port: 1 },
      node: { workload: "w", namespace: "default", service: "", admin: "" },
      logger,
      clock: this.clock,
      random: () => 0,
      transport: this.#wire,
    });
  }

  apply(event: Event): void {
    switch (event.kind) {
      case "mesh":
        this.#mesh = event.mesh;
        return this.#wire.setMesh(event.mesh);
      case "watch":
        return this.#watch(AUTHORITIES[event.which] ?? "");
      case "leave": {
        const authority = AUTHORITIES[event.which] ?? "";
        this.#watched.get(authority)?.leave();
        this.#watched.delete(authority);
        return;
      }
      case "deliver":
        this.#wire.deliver(event.count);
        return;
      case "wait":
        return this.clock.advance(event.ms);
      case "cut":
        return this.#wire.cut();
    }
  }

  finish(): void {
    this.clock.advance(RECONNECT_MAX_MS);
    assert.equal(this.#wire.deliver(1_000), false, "it never comes to rest");
    for (const [authority, { state }] of this.#watched) {
      assert.deepStrictEqual(state, expected(this.#mesh, authority), authority);
    }
    const { subscriptions, nacked } = this.#wire.session?.record.status() ?? {};
    assert.equal(nacked, 0, lines.at(-1) ?? "no session");
    if (this.#watched.size === 0) assert.equal(subscriptions, 0, "subscriptions that nobody needs");
    this.#client.close();
    assert.equal(this.clock.pending, 0);
  }

  #watch(authority: string): void {
    if (this.#watched.has(authority)) return;
    const entry: { state: ServiceView | "unknown" | undefined; leave: () => void } = {
      state: undefined,
      leave: () => {},
    };
    this.#watched.set(authority, entry);
    entry.leave = this.#client.watch(authority, {
      onView: (view) => {
        assert.notDeepStrictEqual(view, entry.state, "told the same twice");
        entry.state = view;
      },
      onUnknown: () => {
        assert.notEqual(entry.state, "unknown", "told the same twice");
        entry.state = "unknown";
      },
    });
  }
}

it("every watcher ends with what the mesh says, whatever happens", () => {
  fc.assert(
    fc.property(arbitraryWorld, fc.array(arbitraryEvent, { maxLength: 40 }), (mesh, events) => {
      const run = new Run(mesh);
      for (const event of events) run.apply(event);
      run.finish();
    }),
    { numRuns: 500 },
  );
});
