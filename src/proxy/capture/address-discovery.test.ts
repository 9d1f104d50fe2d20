import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { defaultBackendPolicy } from "../../model/backend-policy.ts";
import type { Discovery, ServiceWatcher } from "../../model/discovery.ts";
import type { Endpoint } from "../../model/endpoint.ts";
import { openPolicy } from "../../model/inbound-policy.ts";
import type { ServiceView } from "../../model/mesh.ts";
import { defaultRoute } from "../../model/route.ts";
import type { CaptureConfig } from "../config.ts";
import { AddressDiscovery } from "./address-discovery.ts";

const listen = { host: "::", port: 0 };
const target = { host: "127.0.0.1", port: 8080 };
const capture: CaptureConfig = {
  inbound: listen,
  outbound: listen,
  ports: [{ appPort: 8080, target, service: "price", port: 80, protocol: "http" }],
};

function endpoint(address: string, workload: string): Endpoint {
  const locality = { region: "", zone: "", subZone: "" };
  return {
    address,
    port: 8080,
    workload,
    locality,
    weight: 1,
    health: "healthy",
    labels: {},
    meshed: true,
    identity: "spiffe://x",
  };
}

function priceView(namespace = "shop"): ServiceView {
  const key = `price.${namespace}:80`;
  const endpoints = [endpoint("10.77.0.2", "price-1"), endpoint("10.77.0.3", "price-2")];
  return {
    key,
    name: "price",
    namespace,
    port: { name: "http", port: 80, protocol: "http" },
    routes: [defaultRoute(key)],
    backends: new Map([[key, { key, policy: defaultBackendPolicy, endpoints }]]),
  };
}

/** A control plane of one answer. */
class Told implements Discovery {
  readonly asked: string[] = [];
  readonly #answer: (watcher: ServiceWatcher) => void;

  constructor(answer: (watcher: ServiceWatcher) => void) {
    this.#answer = answer;
  }

  watch(authority: string, watcher: ServiceWatcher): () => void {
    this.asked.push(authority);
    this.#answer(watcher);
    return () => {};
  }

  watchPolicy(listener: Parameters<Discovery["watchPolicy"]>[0]): () => void {
    listener(openPolicy);
    return () => {};
  }
}

function ask(told: Told, authority: string): ServiceView | "unknown" | undefined {
  let heard: ServiceView | "unknown" | undefined;
  const discovery = new AddressDiscovery(told, { workload: "price-1", namespace: "shop" }, capture);
  discovery.watch(authority, { onView: (view) => (heard = view), onUnknown: () => (heard = "unknown") });
  return heard;
}

const unknown = (): Told => new Told((watcher) => watcher.onUnknown());

describe("discovery by address", () => {
  it("goes to an address that the mesh does not know as it is, with no sidecar there", () => {
    const told = unknown();
    const view = ask(told, "[10.1.2.3]:8080") as ServiceView;
    assert.deepEqual(told.asked, ["10.1.2.3:8080"]);
    assert.equal(view.name, "");
    const [backend] = view.backends.values();
    assert.equal(backend?.endpoints.length, 1);
    const [only] = backend?.endpoints ?? [];
    assert.deepEqual([only?.address, only?.port, only?.meshed, only?.identity], ["10.1.2.3", 8080, false, ""]);
  });

  it("does not ask for addresses that no mesh gives out", () => {
    const told = unknown();
    for (const authority of ["[192.0.2.1]:443", "[2001:db8::1]:443"]) {
      assert.equal(typeof ask(told, authority), "object");
    }
    assert.deepEqual(told.asked, []);
    ask(told, "[fd77::2:2]:80");
    assert.deepEqual(told.asked, ["[fd77::2:2]:80"]);
  });

  it("takes protocols from well-known ports", () => {
    assert.equal((ask(unknown(), "[10.1.2.3]:5432") as ServiceView).port.protocol, "opaque");
    assert.equal((ask(unknown(), "[10.1.2.3]:80") as ServiceView).port.protocol, "detect");
  });

  it("leaves unknown what somebody only names: that was no connection to there", () => {
    for (const named of ["nobody:80", "10.1.2.3:80", "192.0.2.1:80"]) assert.equal(ask(unknown(), named), "unknown");
  });

  it("sends what this workload serves itself to the application beside it, without a sidecar in between", () => {
    const view = ask(new Told((watcher) => watcher.onView(priceView())), "[10.78.0.2]:80") as ServiceView;
    const endpoints = view.backends.get(view.key)?.endpoints ?? [];
    assert.deepEqual(
      endpoints.map(({ address, meshed, identity }) => [address, meshed, identity]),
      [
        ["127.0.0.1", false, ""],
        ["10.77.0.3", true, "spiffe://x"],
      ],
    );
  });

  it("does not go in plain to who had an identity, when the mesh forgets it", () => {
    const forgotten = new Told((watcher) => {
      watcher.onView(priceView());
      watcher.onUnknown();
    });
    assert.equal(ask(forgotten, "[10.77.0.3]:8080"), "unknown");
  });

  it("does not take a workload of the same name in another namespace for itself", () => {
    const theirs = priceView("other");
    assert.equal(ask(new Told((watcher) => watcher.onView(theirs)), "[10.78.0.9]:80"), theirs);
  });
});
