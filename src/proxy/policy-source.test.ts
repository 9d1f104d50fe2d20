import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { sidecar } from "../../test/support/mesh.ts";
import { type InboundPolicy, openPolicy, type PolicyLayer } from "../model/inbound-policy.ts";
import { compilePolicy, PolicyError, UNNAMED_PORT } from "../policy/policy.ts";
import { DiscoveredPolicy, policedPorts } from "./policy-source.ts";

const origin = { kind: "test", namespace: "", name: "", file: "", line: 0 };
const listen = { host: "127.0.0.1", port: 0 };
const target = { host: "127.0.0.1", port: 1 };
const inbound = [{ listen, target, service: "price", port: 80, protocol: "http" as const }];
const ports = [{ appPort: 8443, target, service: "price", port: 443, protocol: "http" as const }];

function layer(port: number, cidr = "10.0.0.0/8"): PolicyLayer {
  const clauses = [[{ on: "source" as const, any: [{ cidr, except: [] }], not: false }]];
  return {
    dialect: "istio",
    ports: [port],
    rules: [{ action: "allow", origin, clauses }],
    otherwise: { action: "deny", origin },
  };
}

describe("a policy", () => {
  it("has to be such that it can be obeyed at the ports that may be called, captured ones too, and no others", () => {
    const policy: InboundPolicy = {
      ...openPolicy,
      layers: [layer(443), layer(9000)],
      tlsByPort: [{ port: 7, ...openPolicy.tls }],
    };
    assert.deepEqual([...policedPorts(sidecar("price-1", { inbound }), policy)], [80]);
    const config = sidecar("price-1", { inbound, capture: { inbound: listen, outbound: listen, ports } });
    assert.deepEqual([...policedPorts(config, policy)], [80, 443, 7, 9000, UNNAMED_PORT]);
    const bad = { ...policy, layers: [layer(443, "10.0.0.0/99")] };
    const compile = (): void => policedPorts(config, bad).forEach((port) => compilePolicy(bad, port));
    assert.throws(compile, PolicyError);
  });

  it("is told to all who watch before anything is done about it", () => {
    let tell: ((policy: InboundPolicy) => void) | undefined;
    const watchPolicy = (listener: (policy: InboundPolicy) => void): (() => void) => {
      tell = listener;
      return () => {};
    };
    const source = new DiscoveredPolicy({ watch: () => () => {}, watchPolicy });
    const order: string[] = [];
    source.onChanged = () => order.push("changed");
    for (const name of ["a", "b"]) source.watch(() => order.push(name));
    assert.equal(source.heard, false);
    tell?.(openPolicy);
    assert.deepEqual([order, source.heard, source.current], [["a", "b", "changed"], true, openPolicy]);
  });
});
