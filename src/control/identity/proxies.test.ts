import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { DISCONNECTED_LIVES_MS, Proxies, PROXIES_MAX } from "./proxies.ts";

const PRICE = { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "price" };
const report = { roots: ["r"], issuer: "i", notAfter: 1 };

describe("living proxies", () => {
  it("are those connected, and those that were a short while ago", () => {
    let now = 0;
    const proxies = new Proxies(() => now);
    const seat = proxies.join("price-1", PRICE);
    seat?.report(report);
    assert.deepEqual(
      proxies.living().map(({ workload, lostAt, report: said }) => [workload, lostAt, said]),
      [["price-1", undefined, report]],
    );
    seat?.leave();
    now = DISCONNECTED_LIVES_MS - 1;
    assert.equal(proxies.living()[0]?.lostAt, 0);
    now = DISCONNECTED_LIVES_MS;
    assert.deepEqual(proxies.living(), []);
  });

  it("are known by their newest stream: what an older one says or how it ends changes nothing", () => {
    const proxies = new Proxies(() => 0);
    const old = proxies.join("price-1", PRICE);
    const fresh = proxies.join("price-1", PRICE);
    fresh?.report(report);
    old?.report({ ...report, issuer: "old" });
    old?.leave();
    assert.deepEqual(
      proxies.living().map(({ lostAt, report: said }) => [lostAt, said?.issuer]),
      [[undefined, "i"]],
    );
  });

  it("of the same name in two namespaces are two", () => {
    const proxies = new Proxies(() => 0);
    proxies.join("price-1", PRICE);
    proxies.join("price-1", { ...PRICE, namespace: "other" });
    assert.equal(proxies.living().length, 2);
  });

  it("are no more than so many; those that left make room", () => {
    let now = 0;
    const proxies = new Proxies(() => now);
    const seats = Array.from({ length: PROXIES_MAX }, (_, index) => proxies.join(`price-${index}`, PRICE));
    assert.equal(proxies.join("late", PRICE), undefined);
    assert.ok(proxies.join("price-0", PRICE));
    seats[1]?.leave();
    now = DISCONNECTED_LIVES_MS;
    assert.ok(proxies.join("late", PRICE));
    assert.equal(proxies.living().length, PROXIES_MAX);
  });
});
