import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { UsageError } from "./errors.ts";
import { formatAddress, parseAddress, parseAuthority, parseDuration, parseLabel, parsePort } from "./values.ts";

function rejects(parse: () => unknown, ...parts: string[]): void {
  assert.throws(parse, (error) => {
    assert.ok(error instanceof UsageError);
    for (const part of parts)
      assert.ok(`${error.message} ${error.hint}`.includes(part), `${part} in: ${error.message}`);
    return true;
  });
}

describe("parseAddress", () => {
  it("reads IPv4 and IPv6, and is undone by formatAddress", () => {
    for (const text of ["127.0.0.1:4140", "0.0.0.0:0", "[::1]:65535"]) {
      assert.equal(formatAddress(parseAddress("--api", text)), text);
    }
  });

  it("names the flag, what was found and the form", () => {
    for (const text of [
      "",
      "4140",
      "127.0.0.1",
      "127.0.0.1:",
      "127.0.0.1:65536",
      "::1:80",
      "[127.0.0.1]:80",
      "a.b:1",
    ]) {
      rejects(() => parseAddress("--api", text), "--api", `"${text}"`, "127.0.0.1:4140");
    }
    rejects(() => parseAddress("--api", "localhost:4180"), "127.0.0.1:4180");
  });
});

describe("parseDuration", () => {
  it("reads every unit", () => {
    const read = ["500ms", "20s", "1.5m", "1h"].map((text) => parseDuration("--for", text, ["0s", "24h"]));
    assert.deepEqual(read, [500, 20_000, 90_000, 3_600_000]);
  });

  it("says the range", () => {
    for (const text of ["", "20", "s", "-1s", "4s", "11m", "1e3s", "1d"]) {
      rejects(() => parseDuration("--for", text, ["5s", "10m"]), "--for", `"${text}"`, "5s to 10m");
    }
  });
});

describe("ports, labels, authorities", () => {
  it("are read", () => {
    assert.equal(parsePort("--port", "65535"), 65_535);
    assert.equal(parseLabel("--service", "price-1"), "price-1");
    assert.equal(parseAuthority("--upstream", "Price.shop:80"), "price.shop:80");
  });

  it("are refused with a reason", () => {
    for (const text of ["0", "65536", "80a", ""]) rejects(() => parsePort("--port", text), "--port", `"${text}"`);
    for (const text of ["", "-a", "A", "a.b", "a".repeat(64)]) rejects(() => parseLabel("-n", text), "-n");
    for (const text of ["", "price:", "price:0", "price:65536", "a b", ".x"]) {
      rejects(() => parseAuthority("--upstream", text), "--upstream", `"${text}"`);
    }
  });
});
