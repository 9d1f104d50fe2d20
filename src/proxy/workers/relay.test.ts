import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { Discovery, ServiceWatcher } from "../../model/discovery.ts";
import { type InboundPolicy, openPolicy } from "../../model/inbound-policy.ts";
import type { ServiceView } from "../../model/mesh.ts";
import { defaultBackendPolicy } from "../../model/backend-policy.ts";
import { fakeEndpoint } from "../testing/fake-world.ts";
import { DiscoveryRelay, RelayedDiscovery } from "./relay.ts";

/** Remembers who watches what. */
class FakeDiscovery implements Discovery {
  readonly watchers = new Map<string, ServiceWatcher>();
  /** Authorities that are known not to exist. */
  readonly unknown = new Set<string>();

  watch(authority: string, watcher: ServiceWatcher): () => void {
    this.watchers.set(authority, watcher);
    if (this.unknown.has(authority)) watcher.onUnknown();
    return () => void this.watchers.delete(authority);
  }

  readonly policyListeners = new Set<(policy: InboundPolicy) => void>();

  watchPolicy(listener: (policy: InboundPolicy) => void): () => void {
    this.policyListeners.add(listener);
    return () => void this.policyListeners.delete(listener);
  }
}

/** Both ends, joined by what threads would do to messages. */
function rig(): {
  discovery: FakeDiscovery;
  relay: DiscoveryRelay;
  relayed: RelayedDiscovery;
  underway: readonly (() => void)[];
  deliver: () => void;
} {
  const discovery = new FakeDiscovery();
  const underway: (() => void)[] = [];
  const relayed: RelayedDiscovery = new RelayedDiscovery((message) => {
    const copy = structuredClone(message);
    underway.push(() => relay.asked(copy));
  });
  const relay = new DiscoveryRelay(discovery, (message) => {
    const copy = structuredClone(message);
    underway.push(() => relayed.told(copy));
  });
  const deliver = (): void => {
    for (let next = underway.shift(); next !== undefined; next = underway.shift()) next();
  };
  return { discovery, relay, relayed, underway, deliver };
}

function recorder(): ServiceWatcher & { readonly heard: (ServiceView | "unknown")[] } {
  const heard: (ServiceView | "unknown")[] = [];
  return { heard, onView: (view) => heard.push(view), onUnknown: () => heard.push("unknown") };
}

const view: ServiceView = {
  key: "price.default:80",
  name: "price",
  namespace: "default",
  port: { name: "main", port: 80, protocol: "http" },
  routes: [],
  backends: new Map([
    [
      "price.default:80",
      { key: "price.default:80", policy: defaultBackendPolicy, endpoints: [fakeEndpoint({ port: 7 })] },
    ],
  ]),
};

describe("discovery across threads", () => {
  it("tells each watcher what the main thread hears, whole", () => {
    const { discovery, relayed, deliver } = rig();
    const [price, product] = [recorder(), recorder()];
    relayed.watch("price", price);
    relayed.watch("product", product);
    deliver();
    discovery.watchers.get("price")?.onView(view);
    discovery.watchers.get("product")?.onUnknown();
    deliver();
    assert.deepEqual(price.heard, [view]);
    assert.deepEqual(product.heard, ["unknown"]);
  });

  it("passes on an answer that comes from inside the question", () => {
    const { discovery, relayed, deliver } = rig();
    discovery.unknown.add("nobody");
    const nobody = recorder();
    relayed.watch("nobody", nobody);
    deliver();
    assert.deepEqual(nobody.heard, ["unknown"]);
  });

  it("ends a watch in the main thread, once, and says nothing that was under way to who has left", () => {
    const { discovery, relayed, deliver } = rig();
    const price = recorder();
    const leave = relayed.watch("price", price);
    deliver();
    discovery.watchers.get("price")?.onView(view);
    leave();
    leave();
    deliver();
    assert.deepEqual([price.heard, discovery.watchers.size], [[], 0]);
  });

  it("keeps the newest for a worker that does not listen, and nothing else", () => {
    const { discovery, relayed, deliver, underway } = rig();
    const price = recorder();
    relayed.watch("price", price);
    deliver();
    for (let port = 1; port <= 100; port++) {
      discovery.watchers.get("price")?.onView({ ...view, port: { ...view.port, port } });
    }
    assert.equal(underway.length, 1);
    deliver();
    assert.deepEqual(
      price.heard.map((heard) => (heard === "unknown" ? heard : heard.port.port)),
      [1, 100],
    );
    discovery.watchers.get("price")?.onUnknown();
    deliver();
    assert.equal(price.heard.at(-1), "unknown");
  });

  it("tells who may call, whole, and of several changes the newest", () => {
    const { discovery, relayed, deliver } = rig();
    const heard: InboundPolicy[] = [];
    const leave = relayed.watchPolicy((policy) => void heard.push(policy));
    deliver();
    const say = (policy: InboundPolicy): void => discovery.policyListeners.forEach((listener) => listener(policy));
    say(openPolicy);
    say({ ...openPolicy, defaultPolicy: "audit" });
    say({ ...openPolicy, defaultPolicy: "deny" });
    deliver();
    assert.deepEqual(heard, [openPolicy, { ...openPolicy, defaultPolicy: "deny" }]);
    leave();
    deliver();
    assert.equal(discovery.policyListeners.size, 0);
  });

  it("knows of a worker that it has heard who may call, not before it says so, nor by what else it has heard", () => {
    const { discovery, relay, relayed, underway, deliver } = rig();
    discovery.unknown.add("price");
    relayed.watch("price", recorder());
    deliver();
    relayed.watchPolicy(() => {});
    deliver();
    assert.equal(relay.policyHeard, false);
    for (const listener of discovery.policyListeners) listener(openPolicy);
    assert.equal(underway.length, 1);
    assert.equal(relay.policyHeard, false, "it is on its way");
    deliver();
    assert.equal(relay.policyHeard, true);
  });

  it("ends all watches of a worker that is gone", () => {
    const { discovery, relay, relayed, deliver } = rig();
    for (const name of ["a", "b"]) relayed.watch(name, recorder());
    deliver();
    assert.equal(discovery.watchers.size, 2);
    relay.close();
    assert.equal(discovery.watchers.size, 0);
  });
});
