import assert from "node:assert/strict";
import { it } from "node:test";

import { endpointKey } from "./endpoint.ts";

it("an endpoint's key can be told from any other's, IPv6 in brackets", () => {
  assert.equal(endpointKey({ address: "10.0.0.1", port: 80 }), "10.0.0.1:80");
  assert.equal(endpointKey({ address: "::1", port: 80 }), "[::1]:80");
  assert.notEqual(endpointKey({ address: "::1", port: 80 }), endpointKey({ address: "::", port: 180 }));
});
