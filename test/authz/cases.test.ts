/** Every case: its documents compiled for its workload, and its call judged by what the sidecar judges calls with. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { Origin } from "../../src/model/inbound-policy.ts";
import { workloadKey } from "../../src/model/workload.ts";
import { type Call, compilePolicy, decide } from "../../src/policy/policy.ts";
import { decodeInboundPolicy } from "../../src/xds/decode-policy.ts";
import { encodeInboundPolicy } from "../../src/xds/encode-policy.ts";
import { AUTHZ_GROUPS } from "./cases/all.ts";
import { type AuthzCall, PRICE } from "./cases/case.ts";
import { policyOf } from "./cases/compile.ts";

/** The issue asks for sixty. */
const CASES_MIN = 60;

describe("authorization cases", () => {
  for (const group of AUTHZ_GROUPS) {
    describe(`${group.dialect}: ${group.name}`, () => {
      const policy = policyOf(group);
      it("reaches the sidecar as it was compiled", () => {
        const name = workloadKey(group.target ?? PRICE);
        assert.deepEqual(decodeInboundPolicy(encodeInboundPolicy(name, policy)), { name, policy });
      });
      for (const { name, call, verdict, by, audited = [], external = [] } of group.cases) {
        it(`${verdict}: ${name}`, () => {
          const { port = 80 } = call;
          const decision = decide(compilePolicy(policy, port), callOf(call));
          assert.deepEqual(
            {
              verdict: decision.allowed ? "allowed" : "denied",
              by: nameOf(decision.origin),
              audited: decision.audited.map(nameOf),
              external: decision.external ?? [],
            },
            { verdict, by, audited, external },
            decision.reason,
          );
        });
      }
    });
  }

  it("are enough, of every dialect", () => {
    const counts = new Map<string, number>();
    for (const { dialect, cases } of AUTHZ_GROUPS) counts.set(dialect, (counts.get(dialect) ?? 0) + cases.length);
    assert.ok([...counts.values()].reduce((a, b) => a + b) >= CASES_MIN);
    for (const dialect of ["linkerd", "istio", "smi", "consul"]) assert.ok((counts.get(dialect) ?? 0) >= 10, dialect);
  });
});

function callOf(call: AuthzCall): Call {
  const { from, address = "127.0.0.1", port = 80, protocol = "http", method = "GET", path = "/" } = call;
  const { host = "price.shop", headers = [], jwt } = call;
  const peer = { identity: from, address };
  const connection = { peer, port, localAddress: "127.0.0.1", sni: "" };
  if (protocol === "tcp") return connection;
  return { ...connection, request: { method, path, host, headers: headers.flat() }, jwt };
}

function nameOf({ kind, name }: Origin): string {
  return `${kind.slice(kind.lastIndexOf("/") + 1)}/${name}`;
}
