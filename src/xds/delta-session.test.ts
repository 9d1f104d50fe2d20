import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { emptyMesh, type Mesh } from "../model/mesh.ts";
import {
  AdsError,
  NAME_LENGTH_MAX,
  RESPONSE_BYTES_SOFT_MAX,
  StreamRecord,
  SUBSCRIPTIONS_MAX,
  UNANSWERED_MAX,
} from "./ads-session.ts";
import { decodeEndpoints } from "./decode.ts";
import { DeltaSession } from "./delta-session.ts";
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
} from "./gen/envoy/service/discovery/v3/discovery_pb.ts";
import { CLUSTER, ENDPOINTS, LISTENER, ROUTES, shortTypeName } from "./resource-types.ts";
import { Snapshot } from "./snapshot.ts";
import { memoryLogger } from "./testing/served-mesh.ts";
import { endpointAt, routeTo, world } from "./testing/worlds.ts";

const { logger, lines } = memoryLogger();

/** A client's end of a session. */
class Peer {
  readonly session: DeltaSession;
  readonly #at = new Date(0);
  snapshot: Snapshot;

  constructor(mesh: Mesh) {
    this.snapshot = new Snapshot(mesh, logger);
    this.session = new DeltaSession(this.snapshot, new StreamRecord(logger, () => this.#at), "heddle/test");
  }

  /** @returns what the server has to say to it, until it has nothing */
  ask(request: MessageInitShape<typeof DeltaDiscoveryRequestSchema>): DeltaDiscoveryResponse[] {
    this.session.handle(create(DeltaDiscoveryRequestSchema, request));
    return this.drain();
  }

  subscribe(typeUrl: string, ...names: string[]): DeltaDiscoveryResponse[] {
    return this.ask({ typeUrl, resourceNamesSubscribe: names });
  }

  setMesh(mesh: Mesh): DeltaDiscoveryResponse[] {
    this.snapshot = new Snapshot(mesh, logger, this.snapshot);
    this.session.meshChanged(this.snapshot);
    return this.drain();
  }

  drain(): DeltaDiscoveryResponse[] {
    const responses: DeltaDiscoveryResponse[] = [];
    for (let response = this.session.next(); response !== undefined; response = this.session.next()) {
      responses.push(response);
    }
    return responses;
  }
}

/** "Listener +price -gone" */
function shown(responses: readonly DeltaDiscoveryResponse[]): string[] {
  return responses.map(({ typeUrl, resources, removedResources }) =>
    [
      shortTypeName(typeUrl),
      ...resources.map(({ name }) => `+${name}`),
      ...removedResources.map((name) => `-${name}`),
    ].join(" "),
  );
}

const P = "price.default:80";
const Q = "product.default:80";

/** Of the endpoints of price. */
function version(mesh: Mesh): string {
  return new Snapshot(mesh, logger).get(ENDPOINTS, P, "default")?.version ?? "";
}

function withCode(code: AdsError["code"]): (error: unknown) => boolean {
  return (error) => error instanceof AdsError && error.code === code;
}

const refuse = (peer: Peer, nonce: string, name: string): DeltaDiscoveryResponse[] =>
  peer.ask({
    typeUrl: ENDPOINTS,
    responseNonce: nonce,
    errorDetail: { code: 3, message: `ClusterLoadAssignment "${name}": bad` },
  });
const refused = (peer: Peer): string[] =>
  peer.session.record.status().refused.map(({ type, name, message }) => `${type} ${name}: ${message}`);

describe("DeltaSession", () => {
  it("gives what is asked for by name, and says what does not exist", () => {
    const peer = new Peer(world({ price: ["10.0.0.1"] }));
    const [response, none] = peer.subscribe(LISTENER, "price", "nobody");
    assert.equal(none, undefined);
    assert.ok(response);
    assert.deepEqual(shown([response]), ["Listener +price -nobody"]);
    assert.notEqual(response.nonce, "");
    assert.equal(response.controlPlane?.identifier, "heddle/test");
    assert.equal(response.resources[0]?.resource?.typeUrl, LISTENER);
    assert.match(response.resources[0]?.version ?? "", /^.{16}$/);
    assert.deepEqual(shown(peer.subscribe(ENDPOINTS, P)), [`ClusterLoadAssignment +${P}`]);
  });

  it("answers nothing to an ACK", () => {
    const peer = new Peer(world({ price: [] }));
    const [response] = peer.subscribe(CLUSTER, P);
    assert.deepEqual(peer.ask({ typeUrl: CLUSTER, responseNonce: response?.nonce ?? "" }), []);
    assert.equal(peer.session.record.status().acked, 1);
  });

  it("sends only what has changed", () => {
    const peer = new Peer(world({ price: ["10.0.0.1"], product: [] }));
    for (const type of [CLUSTER, ENDPOINTS, ROUTES]) peer.subscribe(type, P, Q);
    assert.deepEqual(shown(peer.setMesh(world({ price: ["10.0.0.1"], product: [] }))), []);
    assert.deepEqual(shown(peer.setMesh(world({ price: ["10.0.0.2"], product: [] }))), [`ClusterLoadAssignment +${P}`]);
  });

  it("skips the states that a slow client missed", () => {
    const peer = new Peer(world({ price: ["10.0.0.1"] }));
    peer.subscribe(ENDPOINTS, P);
    for (const address of ["10.0.0.2", "10.0.0.3", "10.0.0.4"]) {
      peer.snapshot = new Snapshot(world({ price: [address] }), logger, peer.snapshot);
      peer.session.meshChanged(peer.snapshot);
    }
    const responses = peer.drain();
    assert.equal(responses.length, 1);
    const [resource] = responses[0]?.resources ?? [];
    assert.equal(decodeEndpoints(resource?.resource?.value ?? new Uint8Array()).endpoints[0]?.address, "10.0.0.4");
  });

  it("makes before it breaks", () => {
    const peer = new Peer(world({ price: [] }));
    peer.subscribe(LISTENER, "price", "product");
    for (const type of [ROUTES, ENDPOINTS, CLUSTER]) peer.subscribe(type, P, Q);
    const routes = { [Q]: [routeTo(Q)] };
    assert.deepEqual(shown(peer.setMesh(world({ product: ["10.0.0.1"] }, routes))), [
      `Cluster +${Q}`,
      `ClusterLoadAssignment +${Q}`,
      "Listener +product -price",
      `RouteConfiguration +${Q} -${P}`,
      `Cluster -${P}`,
      `ClusterLoadAssignment -${P}`,
    ]);
  });

  it("sends again what is subscribed to again", () => {
    const peer = new Peer(world({ price: [] }));
    peer.subscribe(ENDPOINTS, P, "gone.default:80");
    assert.deepEqual(shown(peer.subscribe(ENDPOINTS, P)), [`ClusterLoadAssignment +${P}`]);
    assert.deepEqual(shown(peer.subscribe(ENDPOINTS, "gone.default:80")), ["ClusterLoadAssignment -gone.default:80"]);
    assert.equal(peer.session.record.status().subscriptions, 2);
  });

  it("forgets what is unsubscribed", () => {
    const peer = new Peer(world({ price: [] }));
    peer.subscribe(ENDPOINTS, P);
    assert.deepEqual(peer.ask({ typeUrl: ENDPOINTS, resourceNamesUnsubscribe: [P, Q] }), []);
    assert.equal(peer.session.record.status().subscriptions, 0);
    assert.deepEqual(peer.setMesh(world({ price: ["10.0.0.1"] })), []);
  });

  it("honours a change of subscriptions in a NACK and with a stale nonce", () => {
    const peer = new Peer(world({ price: [], product: [] }));
    const [first] = peer.subscribe(CLUSTER, P);
    const nack = { code: 3, message: `Cluster "${P}": connect_timeout: missing` };
    const more = peer.ask({
      typeUrl: CLUSTER,
      responseNonce: first?.nonce ?? "",
      errorDetail: nack,
      resourceNamesSubscribe: [Q],
    });
    assert.deepEqual(shown(more), [`Cluster +${Q}`]);
    const again = peer.ask({ typeUrl: CLUSTER, responseNonce: "1000", resourceNamesSubscribe: ["gone.default:80"] });
    assert.deepEqual(shown(again), ["Cluster -gone.default:80"]);
    const { acked, nacked, lastNack } = peer.session.record.status();
    assert.deepEqual([acked, nacked], [1, 1]);
    assert.deepEqual(lastNack, { type: "Cluster", name: P, message: nack.message, at: new Date(0) });
    assert.ok(lines.some((line) => line.includes("refused") && line.includes("connect_timeout")));
  });

  it("does not send a refused resource again before it changes", () => {
    const peer = new Peer(world({ price: ["10.0.0.1"] }));
    const [response] = peer.subscribe(ENDPOINTS, P);
    const nack = { code: 3, message: "no" };
    assert.deepEqual(peer.ask({ typeUrl: ENDPOINTS, responseNonce: response?.nonce ?? "", errorDetail: nack }), []);
    assert.deepEqual(shown(peer.setMesh(world({ price: ["10.0.0.2"] }))), [`ClusterLoadAssignment +${P}`]);
  });

  describe("what a client goes without", () => {
    it("is what it has refused, until it accepts another version", () => {
      const peer = new Peer(world({ price: ["10.0.0.1"], product: ["10.0.0.2"] }));
      const [first] = peer.subscribe(ENDPOINTS, P, Q);
      refuse(peer, first?.nonce ?? "", P);
      assert.deepEqual(refused(peer), [`ClusterLoadAssignment ${P}: bad`]);
      const [other] = peer.setMesh(world({ price: ["10.0.0.1"], product: ["10.0.0.3"] }));
      peer.ask({ typeUrl: ENDPOINTS, responseNonce: other?.nonce ?? "" });
      assert.deepEqual(refused(peer), [`ClusterLoadAssignment ${P}: bad`], "another resource was accepted");
      const [better] = peer.setMesh(world({ price: ["10.0.0.9"], product: ["10.0.0.3"] }));
      peer.ask({ typeUrl: ENDPOINTS, responseNonce: better?.nonce ?? "" });
      assert.deepEqual(refused(peer), []);
    });

    it("ends when it is gone, and when nobody wants it any more", () => {
      const peer = new Peer(world({ price: ["10.0.0.1"], product: ["10.0.0.2"] }));
      const [first] = peer.subscribe(ENDPOINTS, P);
      refuse(peer, first?.nonce ?? "", P);
      const [second] = peer.subscribe(ENDPOINTS, Q);
      refuse(peer, second?.nonce ?? "", Q);
      assert.equal(refused(peer).length, 2);
      peer.ask({ typeUrl: ENDPOINTS, resourceNamesUnsubscribe: [P] });
      assert.deepEqual(refused(peer), [`ClusterLoadAssignment ${Q}: bad`]);
      const [gone] = peer.setMesh(emptyMesh);
      peer.ask({ typeUrl: ENDPOINTS, responseNonce: gone?.nonce ?? "" });
      assert.deepEqual(refused(peer), []);
    });

    it("is known of answers that come late, as long as not too many are missing", () => {
      const peer = new Peer(world({ price: ["10.0.0.0"] }));
      const [first] = peer.subscribe(ENDPOINTS, P);
      let last = "";
      for (let i = 1; i <= UNANSWERED_MAX; i++) {
        last = peer.setMesh(world({ price: [`10.0.0.${i}`] }))[0]?.nonce ?? "";
      }
      refuse(peer, first?.nonce ?? "", P);
      assert.deepEqual(refused(peer), [], "it is forgotten what that response was about");
      refuse(peer, `${Number(first?.nonce) + 1}`, P);
      assert.deepEqual(refused(peer), [`ClusterLoadAssignment ${P}: bad`]);
      peer.ask({ typeUrl: ENDPOINTS, responseNonce: last });
      assert.deepEqual(refused(peer), []);
    });
  });

  describe("after a reconnect", () => {
    it("resends nothing that the client has, even if the control plane is another", () => {
      const mesh = world({ price: ["10.0.0.1"] });
      const peer = new Peer(world({ price: ["10.0.0.1"] }));
      const initialResourceVersions = { [P]: version(mesh) };
      const responses = peer.ask({ typeUrl: ENDPOINTS, resourceNamesSubscribe: [P], initialResourceVersions });
      assert.deepEqual(shown(responses), ["ClusterLoadAssignment"], "an empty answer");
    });

    it("sends what has changed meanwhile, and what is gone", () => {
      const peer = new Peer(world({ price: ["10.0.0.2"] }));
      const initialResourceVersions = { [P]: version(world({ price: ["10.0.0.1"] })), [Q]: "old", other: "old" };
      const responses = peer.ask({ typeUrl: ENDPOINTS, resourceNamesSubscribe: [P, Q], initialResourceVersions });
      assert.deepEqual(shown(responses), [`ClusterLoadAssignment +${P}`, `ClusterLoadAssignment -${Q}`]);
    });
  });

  describe("with a wildcard", () => {
    const mesh = world({ price: [], product: [] });

    it("gives all Listeners and Clusters by canonical name to who names none", () => {
      const peer = new Peer(mesh);
      assert.deepEqual(shown(peer.subscribe(LISTENER)), [`Listener +${P} +${Q}`]);
      assert.deepEqual(shown(peer.subscribe(CLUSTER)), [`Cluster +${P} +${Q}`]);
      assert.deepEqual(shown(peer.subscribe(ENDPOINTS)), ["ClusterLoadAssignment"], "an empty answer, not all");
      assert.equal(peer.session.record.status().subscriptions, 0);
    });

    it("adds and removes what comes and goes", () => {
      const peer = new Peer(mesh);
      peer.subscribe(CLUSTER, "*");
      assert.deepEqual(shown(peer.setMesh(world({ price: [], gateway: [] }))), [
        "Cluster +gateway.default:80",
        `Cluster -${Q}`,
      ]);
      assert.deepEqual(shown(peer.setMesh(emptyMesh)), [`Cluster -${P} -gateway.default:80`]);
    });

    it("knows after a reconnect what is gone", () => {
      const peer = new Peer(mesh);
      const responses = peer.ask({ typeUrl: CLUSTER, initialResourceVersions: { "gone.default:80": "old" } });
      assert.deepEqual(shown(responses), [`Cluster +${P} +${Q}`, "Cluster -gone.default:80"]);
    });

    it("is joined by names, and dropped without them", () => {
      const peer = new Peer(mesh);
      peer.subscribe(LISTENER);
      assert.deepEqual(shown(peer.subscribe(LISTENER, "price")), ["Listener +price"]);
      assert.deepEqual(shown(peer.ask({ typeUrl: LISTENER, resourceNamesUnsubscribe: ["*"] })), []);
      const renamed = {
        ...mesh,
        services: mesh.services.map((s) => ({ ...s, ports: [{ name: "web", port: 80, protocol: "http" as const }] })),
      };
      assert.deepEqual(shown(peer.setMesh(renamed)), ["Listener +price"]);
    });

    it("has a name sent again that is unsubscribed but part of it", () => {
      const peer = new Peer(mesh);
      peer.subscribe(CLUSTER, "*", P);
      assert.deepEqual(shown(peer.ask({ typeUrl: CLUSTER, resourceNamesUnsubscribe: [P] })), [`Cluster +${P}`]);
    });
  });

  it("cuts a large answer into several", () => {
    const many = Array.from({ length: 60 }, (_, service) => [
      `s${service}`,
      Array.from({ length: 250 }, (__, index) => `10.${service}.${index >> 8}.${index & 255}`),
    ]);
    const peer = new Peer(world(Object.fromEntries(many) as Record<string, string[]>));
    const names = many.map(([name]) => `${String(name)}.default:80`);
    const responses = peer.subscribe(ENDPOINTS, ...names);
    assert.ok(responses.length > 1);
    assert.deepEqual(
      responses.flatMap(({ resources }) => resources.map(({ name }) => name)),
      names,
    );
    for (const { resources } of responses) {
      const bytes = resources.reduce((sum, { resource }) => sum + (resource?.value.length ?? 0), 0);
      assert.ok(bytes < 2 * RESPONSE_BYTES_SOFT_MAX, `${bytes}`);
    }
  });

  it("finds bare names in the namespace that the node says", () => {
    const services = [
      { name: "price", namespace: "default", ports: [{ name: "a", port: 1, protocol: "http" as const }] },
      { name: "price", namespace: "shop", ports: [{ name: "b", port: 2, protocol: "http" as const }] },
    ];
    const mesh: Mesh = { ...emptyMesh, services, endpoints: new Map([["price.shop:2", [endpointAt("10.0.0.1")]]]) };
    const versions = ["default", "shop"].map((namespace) => {
      const [response] = new Peer(mesh).ask({
        node: { metadata: { namespace } },
        typeUrl: LISTENER,
        resourceNamesSubscribe: ["price"],
      });
      return response?.resources[0]?.version;
    });
    assert.notEqual(versions[0], versions[1]);
  });

  it("leaves types alone that are not served", () => {
    const peer = new Peer(emptyMesh);
    assert.deepEqual(peer.subscribe("type.googleapis.com/envoy.service.runtime.v3.Runtime", "x"), []);
    assert.equal(lines.filter((line) => line.includes("not served")).length, 1);
    for (let index = 0; index < 100; index++) peer.subscribe(`type.googleapis.com/x.T${index}`, "x");
    assert.equal(lines.filter((line) => line.includes("not served")).length, 16);
  });

  it("takes no more names than its bound, and none that is too long", () => {
    const peer = new Peer(emptyMesh);
    const names = Array.from({ length: SUBSCRIPTIONS_MAX }, (_, index) => `s${index}`);
    peer.subscribe(LISTENER, ...names);
    assert.equal(peer.session.record.status().subscriptions, SUBSCRIPTIONS_MAX);
    assert.throws(() => peer.subscribe(LISTENER, "one-more"), withCode("resource_exhausted"));
    assert.throws(
      () => new Peer(emptyMesh).subscribe(LISTENER, "x".repeat(NAME_LENGTH_MAX + 1)),
      withCode("invalid_argument"),
    );
  });
});
