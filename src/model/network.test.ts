import assert from "node:assert/strict";
import { BlockList, isIP, isIPv6 } from "node:net";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { inNetwork, parseAddress, parseNetwork } from "./network.ts";

function within(address: string, network: string): boolean {
  const a = parseAddress(address);
  const n = parseNetwork(network);
  assert.ok(a !== undefined && n !== undefined);
  return inNetwork(a, n);
}

describe("a network", () => {
  it("takes what is one, and nothing else", () => {
    for (const text of [
      "10.0.0.0/8",
      "0.0.0.0/0",
      "1.2.3.4",
      "::1",
      "::/0",
      "fd00::/8",
      "::ffff:10.0.0.0/104",
      "1:2:3:4:5:6:7:8/128",
    ]) {
      assert.notEqual(parseNetwork(text), undefined, text);
    }
    for (const text of [
      "",
      "10.0.0.0/33",
      "10.0.0/8",
      "10.0.0.0/",
      "10.0.0.0/08",
      "256.1.1.1",
      "01.2.3.4",
      "::1/129",
      ":::",
      "1::2::3",
      "fe80::1%eth0",
      "a",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7::8:9",
      "::1.2.3",
    ]) {
      assert.equal(parseNetwork(text), undefined, text);
    }
  });

  it("has IPv4 addresses in both forms, and keeps the versions apart", () => {
    assert.equal(within("::ffff:10.1.2.3", "10.0.0.0/8"), true);
    assert.equal(within("::ffff:a01:203", "10.0.0.0/8"), true);
    assert.equal(within("10.1.2.3", "::ffff:10.0.0.0/104"), true);
    assert.equal(within("10.1.2.3", "::/0"), false);
    assert.equal(within("::1", "0.0.0.0/0"), false);
    assert.equal(within("fe80::1%eth0", "fe80::/10"), true);
    assert.equal(within("255.255.255.255", "128.0.0.0/1"), true);
    assert.equal(within("127.255.255.255", "128.0.0.0/1"), false);
  });

  it("reads the addresses that Node reads", () => {
    const group = fc.integer({ min: 0, max: 0xffff }).map((value) => value.toString(16));
    const text = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.array(fc.oneof(group, fc.constant(""), fc.ipV4()), { maxLength: 9 }).map((parts) => parts.join(":")),
    );
    fc.assert(
      fc.property(text, (one) => {
        assert.equal(parseAddress(one) !== undefined, isIP(one) !== 0, one);
      }),
      { numRuns: 3_000 },
    );
  });

  it("has in it what Node's block list has", () => {
    const ip = fc.oneof(
      fc.ipV4(),
      fc.ipV6().filter((one) => !one.includes(".")),
    );
    fc.assert(
      fc.property(ip, ip, fc.nat(128), (address, network, bits) => {
        const family = isIPv6(network) ? "ipv6" : "ipv4";
        const prefix = family === "ipv6" ? bits : bits % 33;
        const list = new BlockList();
        list.addSubnet(network, prefix, family);
        const a = parseAddress(address);
        const n = parseNetwork(`${network}/${prefix}`);
        assert.ok(a !== undefined && n !== undefined);
        if (isIPv6(address) !== isIPv6(network)) return;
        assert.equal(inNetwork(a, n), list.check(address, family));
      }),
    );
  });
});
