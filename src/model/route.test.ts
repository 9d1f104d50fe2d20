import assert from "node:assert/strict";
import { it } from "node:test";

import { defaultRoute } from "./route.ts";

it("the default route takes every request to the service itself, without a limit", () => {
  const { match, backends, timeoutMs } = defaultRoute("price.shop:80");
  assert.deepEqual(match, { path: { kind: "prefix", value: "/" }, method: "", headers: [] });
  assert.deepEqual(backends, [{ backend: "price.shop:80", weight: 1 }]);
  assert.equal(timeoutMs, 0);
});
