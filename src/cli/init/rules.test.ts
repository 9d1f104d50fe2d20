import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { type CaptureRules, iptablesScript, iptablesUndo, nftScript } from "./rules.ts";

const linkerds: CaptureRules = {
  incomingPort: 4143,
  outgoingPort: 4140,
  uid: 2102,
  gid: undefined,
  inboundPortsToIgnore: [4190, 4191, 4567, 4568].map(one),
  outboundPortsToIgnore: [4567, 4568].map(one),
  subnetsToIgnore: [],
};

const everything: CaptureRules = {
  incomingPort: 5143,
  outgoingPort: 5140,
  uid: 1337,
  gid: 1338,
  // More than one rule of multiport holds, in any order, and overlapping.
  inboundPortsToIgnore: [
    { first: 100, last: 200 },
    { first: 150, last: 160 },
    one(22),
    ...Array.from({ length: 14 }, (_, i) => one(1_000 + 2 * i)),
  ],
  outboundPortsToIgnore: [one(5432), { first: 5433, last: 5440 }, one(25)],
  subnetsToIgnore: ["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"],
};

function one(port: number) {
  return { first: port, last: port };
}

/** The outputs are files, so that a change of a rule is seen as one. */
function matchesGolden(name: string, text: string): void {
  const file = join(import.meta.dirname, "..", "golden", "rules", name);
  if (process.env.UPDATE_GOLDEN === "1") writeFileSync(file, text);
  assert.equal(text, readFileSync(file, "utf8"));
}

describe("capture rules", () => {
  it("for nft are these", () => {
    matchesGolden("linkerd.nft", nftScript(linkerds));
    matchesGolden("everything.nft", nftScript(everything));
  });

  it("for iptables are these", () => {
    matchesGolden("linkerd.iptables", iptablesScript(linkerds, 4, ""));
    matchesGolden("everything.iptables", iptablesScript(everything, 4, ""));
    matchesGolden("everything.ip6tables", iptablesScript(everything, 6, ""));
  });

  it("are not jumped to twice in iptables", () => {
    const present = "*nat\n:HEDDLE_INBOUND - [0:0]\n-A PREROUTING -j HEDDLE_INBOUND\nCOMMIT\n";
    const script = iptablesScript(linkerds, 4, present);
    assert.ok(!script.includes("-A PREROUTING"));
    assert.ok(script.includes("-A OUTPUT -j HEDDLE_OUTBOUND"));
  });

  it("are undone in iptables as far as they are there", () => {
    assert.equal(iptablesUndo("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"), undefined);
    const present =
      "*nat\n:HEDDLE_INBOUND - [0:0]\n:HEDDLE_OUTBOUND - [0:0]\n-A PREROUTING -j HEDDLE_INBOUND\n-A OUTPUT -j HEDDLE_OUTBOUND\n-A OUTPUT -j HEDDLE_OUTBOUND\n";
    matchesGolden("undo.iptables", iptablesUndo(present) ?? "");
  });

  it("name at most 15 ports in one rule, every port that was given and no other", () => {
    const range = fc
      .tuple(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 0, max: 5 }))
      .map(([first, size]) => ({ first, last: first + size }));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 60 }), (ranges) => {
        const script = iptablesScript({ ...linkerds, inboundPortsToIgnore: ranges }, 4, "");
        const named = new Set<number>();
        for (const [, list = ""] of script.matchAll(/HEDDLE_INBOUND .*--dports (\S+)/g)) {
          assert.ok(list.split(/[,:]/).length <= 15);
          for (const part of list.split(",")) {
            const [first = 0, last = first] = part.split(":").map(Number);
            for (let port = first; port <= last; port++) named.add(port);
          }
        }
        const wanted = new Set(
          ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, i) => first + i)),
        );
        assert.deepEqual(named, wanted);
      }),
    );
  });
});
