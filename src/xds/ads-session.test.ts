import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { AdsError, StreamRecord } from "./ads-session.ts";
import { type Node, NodeSchema } from "./gen/envoy/config/core/v3/base_pb.ts";
import { memoryLogger } from "./testing/served-mesh.ts";

const IDENTITY = { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "price" };

function record(identity?: typeof IDENTITY): StreamRecord {
  return new StreamRecord(memoryLogger().logger, () => new Date(0), identity);
}

function node(metadata: NonNullable<MessageInitShape<typeof NodeSchema>["metadata"]>): Node {
  return create(NodeSchema, { id: "a node", metadata });
}

describe("who is at the other end of an xDS stream", () => {
  it("is of the namespace that it says, where nobody has to prove it", () => {
    const one = record();
    assert.equal(one.namespace, "default");
    one.identify(node({ namespace: "bank" }));
    assert.equal(one.namespace, "bank");
  });

  it("is of the namespace that it has proved, also if it says none", () => {
    const one = record(IDENTITY);
    assert.equal(one.namespace, "shop");
    one.identify(undefined);
    one.identify(node({}));
    assert.equal(one.namespace, "shop");
    one.identify(node({ namespace: "shop", workload: "price-1" }));
    assert.equal(one.status().namespace, "shop");
  });

  it("is refused if it says another than it has proved, also later on", () => {
    const one = record(IDENTITY);
    one.identify(node({ namespace: "shop" }));
    for (const namespace of ["bank", "default", "shop2"]) {
      assert.throws(
        () => one.identify(node({ namespace })),
        (error) =>
          error instanceof AdsError && error.code === "permission_denied" && /ns\/shop\/sa/.test(error.message),
      );
    }
  });
});
