import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { ADDRESSES_MAX, AddressPool, hostsLines } from "./addresses.ts";

describe("the addresses of a transparent mesh", () => {
  it("are kept by who has them", () => {
    const pool = new AddressPool("workload");
    const first = pool.addressOf("price-1");
    assert.deepEqual(first, { v4: "10.77.0.2", v6: "fd77::1:2" });
    assert.deepEqual(pool.addressOf("price-2"), { v4: "10.77.0.3", v6: "fd77::1:3" });
    assert.deepEqual(pool.addressOf("price-1"), first);
    assert.equal(new AddressPool("service").addressOf("price.shop").v4, "10.78.0.2");
  });

  it("run out with a clear word, and are used again once given back", () => {
    const pool = new AddressPool("workload");
    const seen = new Set<string>();
    for (let i = 0; i < ADDRESSES_MAX; i++) seen.add(pool.addressOf(`w${i}`).v4);
    assert.equal(seen.size, ADDRESSES_MAX);
    assert.ok(!seen.has("10.77.0.1") && !seen.has("10.77.255.255"));
    assert.throws(() => pool.addressOf("one more"), /more than 65533 addresses/);
    const { v4 } = pool.addressOf("w7");
    pool.release("w7");
    assert.equal(pool.addressOf("one more").v4, v4);
  });

  it("stand in /etc/hosts by every name of a service", () => {
    const text = hostsLines([{ name: "price", namespace: "shop", addresses: ["10.78.0.2", "fd77::2:2"] }]);
    const names = "price price.shop price.shop.svc price.shop.svc.cluster.local";
    assert.equal(text, `10.78.0.2\t${names}\nfd77::2:2\t${names}\n`);
  });
});
