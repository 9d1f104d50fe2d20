import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";

import { emptyMesh, type Mesh } from "../model/mesh.ts";
import { AdsError, RESPONSE_BYTES_SOFT_MAX, StreamRecord, SUBSCRIPTIONS_MAX } from "./ads-session.ts";
import { decodeCluster, decodeEndpoints, decodeListener, decodeRoutes } from "./decode.ts";
import { ListenerSchema } from "./gen/envoy/config/listener/v3/listener_pb.ts";
import { DiscoveryRequestSchema, type DiscoveryResponse } from "./gen/envoy/service/discovery/v3/discovery_pb.ts";
import { CLUSTER, ENDPOINTS, LISTENER, type ResourceType, ROUTES, shortTypeName } from "./resource-types.ts";
import { Snapshot } from "./snapshot.ts";
import { SotwSession } from "./sotw-session.ts";
import { memoryLogger } from "./testing/served-mesh.ts";
import { routeTo, world } from "./testing/worlds.ts";

const { logger } = memoryLogger();

/** A client's end of a session, which accepts all that it gets. */
class Peer {
  readonly session: SotwSession;
  readonly nonces = new Map<string, string>();
  readonly names = new Map<string, string[]>();
  snapshot: Snapshot;

  constructor(mesh: Mesh) {
    this.snapshot = new Snapshot(mesh, logger);
    this.session = new SotwSession(this.snapshot, new StreamRecord(logger, () => new Date(0)), "heddle/test");
  }

  ask(request: MessageInitShape<typeof DiscoveryRequestSchema>): DiscoveryResponse[] {
    this.session.handle(create(DiscoveryRequestSchema, request));
    return this.drain();
  }

  /** Wants exactly these names. */
  subscribe(typeUrl: ResourceType, ...names: string[]): DiscoveryResponse[] {
    this.names.set(typeUrl, names);
    return this.ask({ typeUrl, resourceNames: names, responseNonce: this.nonces.get(typeUrl) ?? "" });
  }

  setMesh(mesh: Mesh): DiscoveryResponse[] {
    this.snapshot = new Snapshot(mesh, logger, this.snapshot);
    this.session.meshChanged(this.snapshot);
    return this.drain();
  }

  drain(): DiscoveryResponse[] {
    const responses: DiscoveryResponse[] = [];
    for (let response = this.session.next(); response !== undefined; response = this.session.next()) {
      responses.push(response);
      const { typeUrl, nonce, versionInfo } = response;
      this.nonces.set(typeUrl, nonce);
      const ack = { typeUrl, responseNonce: nonce, versionInfo, resourceNames: this.names.get(typeUrl) ?? [] };
      this.session.handle(create(DiscoveryRequestSchema, ack));
    }
    return responses;
  }
}

/** "Listener price ?nobody", stand-ins with a question mark. */
function shown(responses: readonly DiscoveryResponse[]): string[] {
  return responses.map(({ typeUrl, resources }) => {
    const names = resources.map(({ value }) => {
      if (typeUrl === ROUTES) return decodeRoutes(value).name;
      if (typeUrl === CLUSTER) return decodeCluster(value).name;
      if (typeUrl === ENDPOINTS) return decodeEndpoints(value).name;
      try {
        return decodeListener(value).name;
      } catch {
        return `?${fromBinary(ListenerSchema, value).name}`;
      }
    });
    return [shortTypeName(typeUrl), ...names].join(" ");
  });
}

const P = "price.default:80";
const Q = "product.default:80";

function versionOf(mesh: Mesh): string | undefined {
  return new Peer(mesh).subscribe(ENDPOINTS, P)[0]?.versionInfo;
}

describe("SotwSession", () => {
  it("answers each type by name", () => {
    const peer = new Peer(world({ price: ["10.0.0.1"] }));
    const [response] = peer.subscribe(LISTENER, "price");
    assert.ok(response);
    assert.deepEqual(shown([response]), ["Listener price"]);
    assert.equal(response.controlPlane?.identifier, "heddle/test");
    assert.notEqual(response.versionInfo, "");
    assert.deepEqual(shown(peer.subscribe(ROUTES, P)), [`RouteConfiguration ${P}`]);
    assert.deepEqual(shown(peer.subscribe(CLUSTER, P)), [`Cluster ${P}`]);
    assert.deepEqual(shown(peer.subscribe(ENDPOINTS, P)), [`ClusterLoadAssignment ${P}`]);
    const { acked, nacked, subscriptions } = peer.session.record.status();
    assert.deepEqual({ acked, nacked, subscriptions }, { acked: 4, nacked: 0, subscriptions: 4 });
  });

  it("gives a stand-in for what does not exist, and the real one when it does", () => {
    const peer = new Peer(emptyMesh);
    assert.deepEqual(shown(peer.subscribe(LISTENER, "price")), ["Listener ?price"]);
    assert.deepEqual(shown(peer.subscribe(CLUSTER, P)), [`Cluster ${P}`]);
    const [none] = peer.subscribe(ENDPOINTS, P);
    assert.deepEqual(decodeEndpoints(none?.resources[0]?.value ?? new Uint8Array()).endpoints, []);
    assert.deepEqual(shown(peer.subscribe(ROUTES, P)), ["RouteConfiguration"]);
    assert.deepEqual(peer.setMesh({ ...emptyMesh }), [], "and says it once");
    const real = peer.setMesh(world({ price: ["10.0.0.1"] }));
    assert.deepEqual(shown(real), [`ClusterLoadAssignment ${P}`, "Listener price", `RouteConfiguration ${P}`]);
    assert.deepEqual(shown(peer.setMesh(emptyMesh)), [`ClusterLoadAssignment ${P}`, "Listener ?price"]);
  });

  it("sends all Listeners and Clusters when one changes, but only the changed ones of the other types", () => {
    const peer = new Peer(world({ price: [], product: [] }));
    assert.deepEqual(shown(peer.subscribe(LISTENER, "price", "product")), ["Listener price product"]);
    peer.subscribe(ENDPOINTS, P, Q);
    assert.deepEqual(shown(peer.setMesh(world({ price: ["10.0.0.1"], product: [] }))), [`ClusterLoadAssignment ${P}`]);
    assert.deepEqual(shown(peer.setMesh(world({ price: ["10.0.0.1"] }))), ["Listener price ?product"]);
  });

  it("sends what is newly asked for, and nothing for what is no more", () => {
    const peer = new Peer(world({ price: [], product: [] }));
    assert.deepEqual(shown(peer.subscribe(ENDPOINTS, P)), [`ClusterLoadAssignment ${P}`]);
    assert.deepEqual(shown(peer.subscribe(ENDPOINTS, P, Q)), [`ClusterLoadAssignment ${Q}`]);
    assert.deepEqual(peer.subscribe(ENDPOINTS, Q), []);
    assert.deepEqual(peer.setMesh(world({ price: ["10.0.0.1"], product: [] })), []);
    assert.deepEqual(shown(peer.subscribe(ENDPOINTS, P, Q)), [`ClusterLoadAssignment ${P}`]);
    assert.equal(peer.session.record.status().subscriptions, 2);
  });

  it("does not answer a request with a stale nonce", () => {
    const peer = new Peer(world({ price: [], product: [] }));
    peer.subscribe(ENDPOINTS, P);
    assert.deepEqual(peer.ask({ typeUrl: ENDPOINTS, responseNonce: "", resourceNames: [P, Q] }), []);
    assert.deepEqual(shown(peer.subscribe(ENDPOINTS, P, Q)), [`ClusterLoadAssignment ${Q}`]);
  });

  it("takes the nonce of a former stream in the first request", () => {
    const peer = new Peer(world({ price: [] }));
    const [response] = peer.ask({ typeUrl: ENDPOINTS, responseNonce: "77", versionInfo: "x", resourceNames: [P] });
    assert.deepEqual(shown(response === undefined ? [] : [response]), [`ClusterLoadAssignment ${P}`]);
    assert.equal(peer.session.record.status().nacked, 0);
  });

  it("notes a NACK, and does not repeat itself", () => {
    const peer = new Peer(world({ price: [], product: [] }));
    const request = { typeUrl: ENDPOINTS, resourceNames: [P, Q] };
    peer.session.handle(create(DiscoveryRequestSchema, request));
    const response = peer.session.next();
    assert.ok(response);
    const nack = { ...request, responseNonce: response.nonce, errorDetail: { code: 14, message: "no" } };
    assert.deepEqual(peer.ask(nack), []);
    assert.deepEqual(peer.ask(nack), []);
    const { nacked, lastNack } = peer.session.record.status();
    assert.equal(nacked, 1);
    assert.deepEqual(lastNack, {
      type: "ClusterLoadAssignment",
      name: `${P} and 1 more`,
      message: "no",
      at: new Date(0),
    });
  });

  it("knows what a client goes without, until it accepts another version", () => {
    const peer = new Peer(world({ price: [], product: [] }));
    const request = { typeUrl: CLUSTER, resourceNames: [P, Q] };
    const refused = (): string[] =>
      peer.session.record.status().refused.map(({ name, message }) => `${name} ${message}`);
    peer.session.handle(create(DiscoveryRequestSchema, request));
    const nonce = peer.session.next()?.nonce ?? "";
    const errorDetail = { code: 3, message: `"${Q}" is no good` };
    peer.session.handle(create(DiscoveryRequestSchema, { ...request, responseNonce: nonce, errorDetail }));
    assert.deepEqual(refused(), [`${Q} "${Q}" is no good`]);
    peer.session.handle(create(DiscoveryRequestSchema, { ...request, resourceNames: [P], responseNonce: nonce }));
    assert.deepEqual(refused(), []);
  });

  it("makes before it breaks", () => {
    const peer = new Peer(world({ price: [] }));
    peer.subscribe(LISTENER, "*");
    peer.subscribe(CLUSTER, "*");
    peer.subscribe(ENDPOINTS, P, Q);
    peer.subscribe(ROUTES, P, Q);
    const changed = peer.setMesh(world({ product: ["10.0.0.1"] }, { [Q]: [routeTo(Q)] }));
    assert.deepEqual(shown(changed), [
      `Cluster ${Q} ${P}`,
      `ClusterLoadAssignment ${Q}`,
      `Listener ${Q}`,
      `RouteConfiguration ${Q}`,
      `Cluster ${Q}`,
    ]);
  });

  describe("with a wildcard", () => {
    const mesh = world({ price: [], product: [] });

    it("gives everything to who has never named anything", () => {
      const peer = new Peer(mesh);
      assert.deepEqual(shown(peer.subscribe(LISTENER)), [`Listener ${P} ${Q}`]);
      assert.deepEqual(shown(peer.subscribe(CLUSTER)), [`Cluster ${P} ${Q}`]);
      assert.deepEqual(shown(peer.subscribe(ROUTES)), ["RouteConfiguration"]);
      assert.deepEqual(shown(peer.setMesh(world({ price: [] }))), [`Listener ${P}`, `Cluster ${P}`]);
      assert.deepEqual(shown(peer.setMesh(emptyMesh)), ["Listener", "Cluster"]);
    });

    it("follows the protocol's own example: all, one more, only that one, nothing", () => {
      const peer = new Peer(mesh);
      assert.deepEqual(shown(peer.subscribe(LISTENER)), [`Listener ${P} ${Q}`]);
      assert.deepEqual(shown(peer.subscribe(LISTENER, "*", "price")), [`Listener price ${P} ${Q}`]);
      assert.deepEqual(peer.subscribe(LISTENER, "price"), []);
      assert.deepEqual(peer.subscribe(LISTENER), []);
      const { subscriptions } = peer.session.record.status();
      assert.equal(subscriptions, 0);
      assert.deepEqual(shown(peer.setMesh(world({ price: [], gateway: [] }))), ["Listener"]);
      assert.deepEqual(peer.setMesh(mesh), [], "an empty list after names is not a wildcard");
    });
  });

  it("cuts a large answer into several where the protocol allows it", () => {
    const services = Object.fromEntries(
      Array.from({ length: 60 }, (_, at) => [`s${at}`, Array.from({ length: 250 }, (__, i) => `10.${at}.0.${i}`)]),
    );
    const peer = new Peer(world(services));
    const names = Object.keys(services).map((name) => `${name}.default:80`);
    const responses = peer.subscribe(ENDPOINTS, ...names);
    assert.ok(responses.length > 1);
    assert.equal(
      shown(responses)
        .flatMap((line) => line.split(" ").slice(1))
        .join(),
      names.join(),
    );
    for (const { resources } of responses) {
      assert.ok(resources.reduce((sum, { value }) => sum + value.length, 0) < 2 * RESPONSE_BYTES_SOFT_MAX);
    }
  });

  it("gives the same version for the same content, whoever serves it", () => {
    assert.equal(versionOf(world({ price: ["10.0.0.1"] })), versionOf(world({ price: ["10.0.0.1"] })));
    assert.notEqual(versionOf(world({ price: ["10.0.0.1"] })), versionOf(world({ price: ["10.0.0.2"] })));
  });

  it("leaves types alone that are not served", () => {
    const peer = new Peer(emptyMesh);
    assert.deepEqual(peer.ask({ typeUrl: "type.googleapis.com/x.Y", resourceNames: ["x"] }), []);
  });

  it("takes no more names than its bound", () => {
    const peer = new Peer(emptyMesh);
    const names = Array.from({ length: SUBSCRIPTIONS_MAX }, (_, index) => `s${index}`);
    peer.subscribe(ROUTES, ...names);
    // As many others: the bound is on what is wanted now.
    peer.subscribe(ROUTES, ...names.map((name) => `${name}x`));
    assert.equal(peer.session.record.status().subscriptions, SUBSCRIPTIONS_MAX);
    assert.throws(() => peer.subscribe(ROUTES, ...names, "one-more"), AdsError);
  });
});
