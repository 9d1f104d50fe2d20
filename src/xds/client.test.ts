import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { defaultBackendPolicy } from "../model/backend-policy.ts";
import type { ServiceWatcher } from "../model/discovery.ts";
import { type InboundPolicy, openPolicy } from "../model/inbound-policy.ts";
import type { ServiceView } from "../model/mesh.ts";
import { VirtualClock } from "../net/virtual-clock.ts";
import { LINGER_MS, WATCHES_MAX, XdsClient, type XdsClientOptions } from "./client.ts";
import { encodeInboundPolicy } from "./encode-policy.ts";
import { encodeCluster, encodeEndpoints, encodeListener, encodeRoutes } from "./encode.ts";
import type { DeltaDiscoveryRequest } from "./gen/envoy/service/discovery/v3/discovery_pb.ts";
import {
  CLUSTER,
  ENDPOINTS,
  INBOUND_POLICY,
  LISTENER,
  type ResourceType,
  ROUTES,
  shortTypeName,
} from "./resource-types.ts";
import { encodeResource } from "./snapshot.ts";
import { FakeTransport } from "./testing/fake-transport.ts";
import { memoryLogger } from "./testing/served-mesh.ts";
import { endpointAt, routeTo, serviceNamed } from "./testing/worlds.ts";

const P = "price.default:80";
const Q = "product.default:80";
const node = { workload: "caller-1", namespace: "default", service: "caller", admin: "127.0.0.1:4191" };

class Recorder implements ServiceWatcher {
  readonly views: ServiceView[] = [];
  unknown = 0;

  onView(view: ServiceView): void {
    this.views.push(view);
  }

  onUnknown(): void {
    this.unknown++;
  }

  /** "price.default:80=10.0.0.1,10.0.0.2 …" */
  get shown(): string {
    const backends = [...(this.views.at(-1)?.backends ?? [])];
    return backends.map(([key, { endpoints }]) => `${key}=${endpoints.map(({ address }) => address).join()}`).join(" ");
  }
}

function listener(name: string, service = "price"): Uint8Array<ArrayBuffer> {
  const port = { name: "http", port: 80, protocol: "http" as const };
  return encodeListener(name, `${service}.default:80`, serviceNamed(service), port);
}

function setup(more: Partial<XdsClientOptions> = {}) {
  const clock = new VirtualClock();
  const transport = new FakeTransport();
  const { logger, lines } = memoryLogger();
  const client = new XdsClient({
    address: { host: "127.0.0.1", port: 4181 },
    node,
    logger,
    clock,
    random: () => 0,
    transport,
    ...more,
  });
  let nonce = 0;
  const say = (type: ResourceType, bytes: Record<string, Uint8Array<ArrayBuffer>>, removedResources: string[] = []) => {
    const resources = Object.entries(bytes).map(([name, value]) => {
      const { version, body } = encodeResource(type, name, value);
      return { name, version, resource: body };
    });
    transport.stream.respond({ typeUrl: type, nonce: String(++nonce), resources, removedResources });
  };
  return {
    clock,
    transport,
    lines,
    client,
    /** The stream is accepted; what the client says first is dropped. */
    open: () => {
      transport.stream.events.onOpen();
      return transport.stream.take();
    },
    say,
    sayListener: (...names: string[]) => say(LISTENER, Object.fromEntries(names.map((name) => [name, listener(name)]))),
    sayRoutes: (key: string, ...backends: string[]) =>
      say(ROUTES, { [key]: encodeRoutes(key, [routeTo(...backends)]) }),
    sayCluster: (key: string, maxInFlight = 1) =>
      say(CLUSTER, { [key]: encodeCluster(key, { ...defaultBackendPolicy, maxInFlight }) }),
    sayEndpoints: (key: string, ...addresses: string[]) =>
      say(ENDPOINTS, {
        [key]: encodeEndpoints(
          key,
          addresses.map((address) => endpointAt(address)),
        ),
      }),
  };
}

type Setup = ReturnType<typeof setup>;

/** All that a view of "price" needs. */
function sayAll(at: Setup, name = "price"): void {
  at.sayListener(name);
  at.sayRoutes(P, P);
  at.sayCluster(P);
  at.sayEndpoints(P, "10.0.0.1");
}

/** "Listener +price -gone" and "Listener ACK" */
function shown(requests: readonly DeltaDiscoveryRequest[]): string[] {
  return requests.map((request) => {
    const parts = [shortTypeName(request.typeUrl)];
    if (request.responseNonce !== "") parts.push(request.errorDetail === undefined ? "ACK" : "NACK");
    parts.push(...request.resourceNamesSubscribe.map((name) => `+${name}`));
    parts.push(...request.resourceNamesUnsubscribe.map((name) => `-${name}`));
    return parts.join(" ");
  });
}

/** What is heard of who may call. */
function follow(at: Setup): InboundPolicy[] {
  const heard: InboundPolicy[] = [];
  at.client.watchPolicy((policy) => void heard.push(policy));
  return heard;
}

function refuseDeny({ defaultPolicy }: InboundPolicy): void {
  if (defaultPolicy === "deny") throw new Error("layers[0].rules[1]: no regular expression");
}

describe("XdsClient", () => {
  it("introduces itself even if it wants nothing, and asks for no wildcard", () => {
    const at = setup();
    const requests = at.open();
    assert.deepEqual(shown(requests), ["ClusterLoadAssignment"]);
    assert.equal(requests[0]?.node?.id, "caller-1.default");
    assert.equal(requests[0]?.node?.cluster, "caller");
    assert.deepEqual(requests[0]?.node?.metadata, node);
    assert.equal(at.client.connected, false);
    const changes: boolean[] = [];
    at.client.onConnectionChange = (connected) => changes.push(connected);
    at.say(ENDPOINTS, {});
    assert.equal(at.client.connected, true);
    assert.deepEqual(shown(at.transport.stream.take()), ["ClusterLoadAssignment ACK"]);
    at.transport.stream.events.onClose("gone");
    assert.deepEqual(changes, [true, false]);
  });

  it("asks step by step, and tells a view when all of it is there", () => {
    const at = setup();
    at.open();
    const price = new Recorder();
    at.client.watch("price", price);
    assert.deepEqual(shown(at.transport.stream.take()), ["Listener +price"]);
    at.sayListener("price");
    assert.deepEqual(shown(at.transport.stream.take()), ["Listener ACK", `RouteConfiguration +${P}`]);
    at.sayRoutes(P, P, Q);
    const asked = [`Cluster +${P} +${Q}`, `ClusterLoadAssignment +${P} +${Q}`];
    assert.deepEqual(shown(at.transport.stream.take()), ["RouteConfiguration ACK", ...asked]);
    at.sayCluster(P, 7);
    at.sayEndpoints(P, "10.0.0.1");
    at.sayEndpoints(Q, "10.0.0.2");
    assert.equal(price.views.length, 0);
    at.sayCluster(Q);
    assert.equal(price.views.length, 1);
    const [view] = price.views;
    assert.ok(view);
    assert.deepEqual(
      { ...view, backends: [...view.backends.keys()] },
      {
        key: P,
        name: "price",
        namespace: "default",
        port: { name: "http", port: 80, protocol: "http" },
        routes: [routeTo(P, Q)],
        backends: [P, Q],
      },
    );
    assert.equal(view.backends.get(P)?.policy.maxInFlight, 7);
    assert.equal(price.shown, `${P}=10.0.0.1 ${Q}=10.0.0.2`);
  });

  it("tells a second watcher at once, and each only what has changed", () => {
    const at = setup();
    at.open();
    const first = new Recorder();
    at.client.watch("price", first);
    sayAll(at);
    const second = new Recorder();
    at.client.watch("price", second);
    assert.equal(second.views[0], first.views[0]);
    sayAll(at);
    assert.equal(first.views.length, 1, "the same again is no news");
    at.sayEndpoints(P, "10.0.0.2");
    assert.equal(first.views.length, 2);
    assert.equal(second.views.length, 2);
    assert.equal(first.shown, `${P}=10.0.0.2`);
  });

  it("leaves backends that did not change the same objects", () => {
    const at = setup();
    at.open();
    const price = new Recorder();
    at.client.watch("price", price);
    at.sayListener("price");
    at.sayRoutes(P, P, Q);
    for (const key of [P, Q]) {
      at.sayCluster(key);
      at.sayEndpoints(key, "10.0.0.1");
    }
    at.sayEndpoints(Q, "10.0.0.9");
    const [before, after] = price.views;
    assert.ok(before && after);
    assert.equal(after.backends.get(P), before.backends.get(P));
    assert.notEqual(after.backends.get(Q), before.backends.get(Q));
  });

  it("keeps the old view, fresh, until the parts of the next one are there", () => {
    const at = setup();
    at.open();
    const price = new Recorder();
    at.client.watch("price", price);
    sayAll(at);
    at.transport.stream.take();
    at.sayRoutes(P, Q);
    assert.deepEqual(shown(at.transport.stream.take()), [
      "RouteConfiguration ACK",
      `Cluster +${Q}`,
      `ClusterLoadAssignment +${Q}`,
    ]);
    at.sayEndpoints(P, "10.0.0.7");
    assert.equal(price.shown, `${P}=10.0.0.7`);
    at.sayCluster(Q);
    at.transport.stream.take();
    at.sayEndpoints(Q, "10.0.0.2");
    assert.equal(price.shown, `${Q}=10.0.0.2`);
    assert.deepEqual(shown(at.transport.stream.take()), [
      "ClusterLoadAssignment ACK",
      `Cluster -${P}`,
      `ClusterLoadAssignment -${P}`,
    ]);
    assert.equal(price.views.length, 3);
  });

  it("takes a backend that does not exist for one without endpoints", () => {
    const at = setup();
    at.open();
    const price = new Recorder();
    at.client.watch("price", price);
    at.sayListener("price");
    at.sayRoutes(P, P, "gone.default:80");
    at.sayCluster(P);
    at.sayEndpoints(P, "10.0.0.1");
    at.say(CLUSTER, {}, ["gone.default:80"]);
    at.say(ENDPOINTS, {}, ["gone.default:80"]);
    assert.equal(price.shown, `${P}=10.0.0.1 gone.default:80=`);
    assert.deepEqual(price.views[0]?.backends.get("gone.default:80")?.policy, defaultBackendPolicy);
    at.say(ENDPOINTS, {}, [P]);
    assert.equal(price.shown, `${P}= gone.default:80=`);
  });

  it("says once that a service is unknown, and follows it when it appears and goes", () => {
    const at = setup();
    at.open();
    const price = new Recorder();
    at.client.watch("price", price);
    at.say(LISTENER, {}, ["price"]);
    at.say(LISTENER, {}, ["price"]);
    assert.equal(price.unknown, 1);
    const late = new Recorder();
    at.client.watch("price", late);
    assert.equal(late.unknown, 1);
    sayAll(at);
    assert.equal(price.shown, `${P}=10.0.0.1`);
    at.transport.stream.take();
    at.say(LISTENER, {}, ["price"]);
    assert.equal(price.unknown, 2);
    assert.deepEqual(shown(at.transport.stream.take()), [
      "Listener ACK",
      `RouteConfiguration -${P}`,
      `Cluster -${P}`,
      `ClusterLoadAssignment -${P}`,
    ]);
  });

  it("shares the parts of several names of one service", () => {
    const at = setup();
    at.open();
    const [short, long] = [new Recorder(), new Recorder()];
    const unwatch = at.client.watch("price", short);
    at.client.watch("price.default", long);
    sayAll(at);
    at.transport.stream.take();
    at.sayListener("price.default");
    assert.deepEqual(shown(at.transport.stream.take()), ["Listener ACK"], "nothing more has to be asked for");
    assert.equal(long.shown, `${P}=10.0.0.1`);
    at.sayEndpoints(P, "10.0.0.2");
    assert.deepEqual([short.shown, long.shown], [`${P}=10.0.0.2`, `${P}=10.0.0.2`]);
    unwatch();
    at.transport.stream.take();
    at.clock.advance(LINGER_MS);
    assert.deepEqual(shown(at.transport.stream.take()), ["Listener -price"]);
  });

  describe("given what it cannot use", () => {
    it("refuses it with the resource and the field, and keeps the last good state", () => {
      const at = setup();
      at.open();
      const price = new Recorder();
      at.client.watch("price", price);
      sayAll(at);
      at.transport.stream.take();
      const bad = encodeEndpoints(P, [{ ...endpointAt("10.0.0.9"), port: 0 }]);
      at.say(ENDPOINTS, { [P]: bad });
      const [nack] = at.transport.stream.take();
      assert.equal(nack?.responseNonce, "5");
      assert.equal(nack?.errorDetail?.code, 3);
      const expected =
        /^ClusterLoadAssignment "price\.default:80": endpoints\[0\]\.lb_endpoints\[0\]\..*port_value: not in 1 to 65535: 0$/;
      assert.match(nack?.errorDetail?.message ?? "", expected);
      assert.equal(price.views.length, 1);
      assert.ok(at.lines.some((line) => line.includes("cannot be used") && line.includes("port_value")));
      at.sayEndpoints(P, "10.0.0.2");
      assert.equal(price.shown, `${P}=10.0.0.2`);
    });

    it("still takes what is good in the same response", () => {
      const at = setup();
      at.open();
      const price = new Recorder();
      at.client.watch("price", price);
      at.client.watch("other", new Recorder());
      at.transport.stream.take();
      at.say(LISTENER, { other: Uint8Array.of(0xff), price: listener("price") });
      const requests = at.transport.stream.take();
      assert.deepEqual(shown(requests), ["Listener NACK", `RouteConfiguration +${P}`]);
      assert.match(requests[0]?.errorDetail?.message ?? "", /^Listener "other": Listener: no valid protobuf/);
    });

    it("refuses a resource that is not what it is called, and a type that nobody asked for", () => {
      const at = setup();
      at.open();
      at.client.watch("price", new Recorder());
      at.transport.stream.take();
      at.say(LISTENER, { price: listener("other") });
      assert.match(at.transport.stream.take()[0]?.errorDetail?.message ?? "", /it calls itself "other"/);
      const { body, version } = encodeResource(CLUSTER, "price", encodeCluster(P, defaultBackendPolicy));
      at.transport.stream.respond({
        typeUrl: LISTENER,
        nonce: "x",
        resources: [{ name: "price", version, resource: body }],
      });
      assert.match(at.transport.stream.take()[0]?.errorDetail?.message ?? "", /a Cluster is in it/);
      at.transport.stream.respond({ typeUrl: LISTENER, nonce: "x", resources: [{ name: "price", version: "2" }] });
      assert.match(at.transport.stream.take()[0]?.errorDetail?.message ?? "", /no resource in it/);
      at.transport.stream.respond({ typeUrl: "x/y.Z", nonce: "x" });
      assert.match(at.transport.stream.take()[0]?.errorDetail?.message ?? "", /unknown resource type "x\/y\.Z"/);
    });

    it("ignores what it has not asked for", () => {
      const at = setup();
      at.open();
      sayAll(at);
      assert.ok(at.transport.stream.take().every(({ errorDetail }) => errorDetail === undefined));
    });

    it("bounds what it says about it", () => {
      const at = setup();
      at.open();
      const names = Array.from({ length: 500 }, (_, index) => `service-${index}`);
      for (const name of names) at.client.watch(name, new Recorder());
      at.transport.stream.take();
      at.say(LISTENER, Object.fromEntries(names.map((name) => [name, Uint8Array.of(0xff)])));
      assert.equal(at.transport.stream.take()[0]?.errorDetail?.message.length, 4_000);
    });

    it("gives up a stream that does not speak protobuf", () => {
      const at = setup();
      at.open();
      const { stream } = at.transport;
      stream.events.onMessage(Uint8Array.of(0xff));
      assert.equal(stream.closed, true);
      at.clock.advance(100);
      assert.equal(at.transport.streams.length, 2);
    });
  });

  describe("without a control plane", () => {
    it("waits longer from attempt to attempt, 100 ms to 10 s, and begins anew after success", () => {
      const at = setup();
      const waits: number[] = [];
      const fail = (): void => {
        at.transport.stream.events.onClose("refused");
        const before = at.transport.streams.length;
        const started = at.clock.now();
        while (at.transport.streams.length === before) at.clock.advance(50);
        waits.push(at.clock.now() - started);
      };
      for (let attempt = 0; attempt < 9; attempt++) fail();
      assert.deepEqual(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
      at.open();
      at.say(ENDPOINTS, {});
      fail();
      assert.equal(waits.at(-1), 100);
      assert.equal(at.lines.filter((line) => line.includes("no connection")).length, 2, "one line for each outage");
    });

    it("keeps what it knows, and asks for the rest when it is back", () => {
      const at = setup();
      at.open();
      const price = new Recorder();
      at.client.watch("price", price);
      sayAll(at);
      at.client.watch("nobody", new Recorder());
      at.say(LISTENER, {}, ["nobody"]);
      at.transport.stream.events.onClose("gone");

      const [again, fresh] = [new Recorder(), new Recorder()];
      at.client.watch("price", again);
      assert.equal(again.shown, `${P}=10.0.0.1`);
      at.client.watch("fresh", fresh);
      assert.deepEqual([fresh.views.length, fresh.unknown], [0, 0]);

      at.clock.advance(100);
      const requests = at.open();
      assert.deepEqual(shown(requests), [
        "Listener +price +nobody +fresh",
        `RouteConfiguration +${P}`,
        `Cluster +${P}`,
        `ClusterLoadAssignment +${P}`,
      ]);
      assert.deepEqual(Object.keys(requests[0]?.initialResourceVersions ?? {}), ["price"]);
      assert.deepEqual(Object.keys(requests[3]?.initialResourceVersions ?? {}), [P]);
      assert.deepEqual(
        requests.map(({ node: who }) => who?.id),
        ["caller-1.default", undefined, undefined, undefined],
      );
      assert.deepEqual(price.views.length, 1);
      at.say(LISTENER, {}, ["fresh"]);
      assert.equal(fresh.unknown, 1);
    });

    it("reports the version of the last good state, not of a refused one", () => {
      const at = setup();
      at.open();
      at.client.watch("price", new Recorder());
      at.sayListener("price");
      const good = encodeResource(LISTENER, "price", listener("price")).version;
      at.say(LISTENER, { price: Uint8Array.of(0xff) });
      at.transport.stream.events.onClose("gone");
      at.clock.advance(100);
      assert.deepEqual(at.open()[0]?.initialResourceVersions, { price: good });
    });

    it("does not ask for what was given up meanwhile", () => {
      const at = setup();
      at.open();
      const unwatch = at.client.watch("price", new Recorder());
      sayAll(at);
      at.transport.stream.events.onClose("gone");
      unwatch();
      at.clock.advance(LINGER_MS);
      assert.deepEqual(shown(at.open()), ["ClusterLoadAssignment"]);
      assert.deepEqual(shown(at.transport.stream.take()), []);
    });
  });

  describe("after the last watcher has left", () => {
    it("follows on for five seconds, and no longer", () => {
      const at = setup();
      at.open();
      const unwatch = at.client.watch("price", new Recorder());
      sayAll(at);
      at.transport.stream.take();
      unwatch();
      unwatch();
      at.clock.advance(LINGER_MS - 1);
      assert.deepEqual(at.transport.stream.take(), []);
      const back = new Recorder();
      const leave = at.client.watch("price", back);
      assert.equal(back.shown, `${P}=10.0.0.1`, "known at once");
      at.clock.advance(LINGER_MS);
      assert.deepEqual(at.transport.stream.take(), [], "it is watched again");
      leave();
      at.clock.advance(LINGER_MS);
      assert.deepEqual(shown(at.transport.stream.take()), [
        "Listener -price",
        `RouteConfiguration -${P}`,
        `Cluster -${P}`,
        `ClusterLoadAssignment -${P}`,
      ]);
      const anew = new Recorder();
      at.client.watch("price", anew);
      assert.deepEqual([anew.views.length, anew.unknown], [0, 0], "nothing of it is known any more");
      assert.deepEqual(shown(at.transport.stream.take()), ["Listener +price"]);
    });

    it("tells nothing to who has left, even from inside a call", () => {
      const at = setup();
      at.open();
      const second = new Recorder();
      const leave: (() => void)[] = [];
      at.client.watch("price", { onView: () => leave.forEach((run) => run()), onUnknown: () => {} });
      leave.push(at.client.watch("price", second));
      sayAll(at);
      assert.equal(second.views.length, 0);
    });

    it("tells who comes in a call once", () => {
      const at = setup();
      at.open();
      const second = new Recorder();
      at.client.watch("price", { onView: () => at.client.watch("price", second), onUnknown: () => {} });
      sayAll(at);
      assert.equal(second.views.length, 1);
    });
  });

  describe("who may call", () => {
    const ME = "default/caller-1";
    const deny: InboundPolicy = { ...openPolicy, defaultPolicy: "deny" };

    const say = (at: Setup, policy: InboundPolicy, name = ME): void =>
      at.say(INBOUND_POLICY, { [name]: encodeInboundPolicy(name, policy) });

    it("is asked for under the own name, and told to whoever comes", () => {
      const at = setup();
      at.open();
      const first = follow(at);
      assert.deepEqual(shown(at.transport.stream.take()), ["InboundPolicy +default/caller-1"]);
      say(at, openPolicy);
      assert.deepEqual(shown(at.transport.stream.take()), ["InboundPolicy ACK"]);
      assert.deepEqual([first, follow(at)], [[openPolicy], [openPolicy]]);
      say(at, deny);
      assert.deepEqual(first, [openPolicy, deny]);
    });

    it("is not asked for by a sidecar that does not want to know", () => {
      const at = setup();
      assert.deepEqual(shown(at.open()), ["ClusterLoadAssignment"]);
    });

    it("stays in force while the control plane is away, says that there is none, or sends what cannot be obeyed", () => {
      const at = setup();
      at.open();
      const heard = follow(at);
      say(at, deny);
      at.say(INBOUND_POLICY, {}, [ME]);
      at.transport.stream.take();
      const bad = { ...openPolicy, defaultPolicy: "open" } as unknown as InboundPolicy;
      at.say(INBOUND_POLICY, { [ME]: encodeInboundPolicy(ME, bad) });
      const [nack] = at.transport.stream.take();
      assert.match(
        nack?.errorDetail?.message ?? "",
        /^InboundPolicy "default\/caller-1": default_policy: expected one of /,
      );
      at.transport.stream.events.onClose("gone");
      assert.deepEqual([heard, follow(at)], [[deny], [deny]]);
      assert.equal(at.lines.filter((line) => line.includes("no policy for this workload")).length, 0);
      at.client.close();
    });

    it("is refused if whoever enforces it says so", () => {
      const at = setup({ checkPolicy: refuseDeny });
      at.open();
      const heard = follow(at);
      say(at, openPolicy);
      at.transport.stream.take();
      say(at, deny);
      const [nack] = at.transport.stream.take();
      assert.equal(
        nack?.errorDetail?.message,
        'InboundPolicy "default/caller-1": layers[0].rules[1]: no regular expression',
      );
      assert.deepEqual(heard, [openPolicy]);
      at.client.close();
    });

    it("is missed with one line in the log by a workload that is not registered, and heard when it is", () => {
      const at = setup();
      at.open();
      const heard = follow(at);
      for (let again = 0; again < 3; again++) at.say(INBOUND_POLICY, {}, [ME]);
      assert.equal(at.lines.filter((line) => line.includes("no policy for this workload")).length, 1);
      say(at, openPolicy);
      assert.deepEqual(heard, [openPolicy]);
      at.client.close();
    });
  });

  it("follows no more names than its bound, and makes room for new ones when old ones are idle", () => {
    const at = setup();
    at.open();
    const leave = Array.from({ length: WATCHES_MAX }, (_, index) => at.client.watch(`s${index}`, new Recorder()));
    at.transport.stream.take();
    const refused = new Recorder();
    for (let attempt = 0; attempt < 10; attempt++) at.client.watch("one-more", refused);
    assert.equal(refused.unknown, 10);
    assert.deepEqual(at.transport.stream.take(), []);
    assert.equal(at.lines.filter((line) => line.includes("too many services")).length, 1);
    leave[5]?.();
    leave[3]?.();
    const taken = new Recorder();
    at.client.watch("one-more", taken);
    assert.equal(taken.unknown, 0);
    assert.deepEqual(shown(at.transport.stream.take()), ["Listener +one-more -s5"]);
    at.client.close();
  });

  it("is still once closed, and leaves no timer", () => {
    const at = setup();
    at.open();
    const price = new Recorder();
    const unwatch = at.client.watch("price", price);
    sayAll(at);
    at.client.watch("other", new Recorder())();
    at.client.close();
    at.client.close();
    unwatch();
    assert.equal(at.transport.stream.closed, true);
    assert.equal(at.client.connected, false);
    assert.equal(at.clock.pending, 0);
    const late = new Recorder();
    at.client.watch("price", late)();
    assert.equal(late.unknown, 1);
    assert.equal(price.views.length, 1);

    const offline = setup();
    offline.transport.stream.events.onClose("refused");
    offline.client.close();
    assert.equal(offline.clock.pending, 0);
  });
});
