import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { VirtualClock } from "../../net/virtual-clock.ts";
import { recordingLogger } from "../testing/logger.ts";
import { Registry, WORKLOADS_MAX } from "./registry.ts";
import { registration } from "../testing/registration.ts";

function setUp() {
  const clock = new VirtualClock();
  const { logger, lines } = recordingLogger();
  const seen = { changes: 0 };
  const registry = new Registry({ clock, logger, onChange: () => seen.changes++ });
  return { clock, lines, seen, registry };
}

describe("Registry", () => {
  it("keeps a workload as long as its lease is renewed", () => {
    const { clock, lines, seen, registry } = setUp();
    assert.equal(registry.put(registration("a")), "created");
    assert.equal(seen.changes, 1);
    for (let i = 0; i < 5; i++) {
      clock.advance(9_000);
      assert.equal(registry.put(registration("a")), "renewed");
    }
    assert.equal(seen.changes, 1);
    clock.advance(9_000);
    assert.equal(registry.size, 1);
    clock.advance(2_000);
    assert.equal(registry.size, 0);
    assert.equal(seen.changes, 2);
    assert.match(lines.at(-1) ?? "", /did not renew .* workload=a\.default/);
    assert.equal(clock.pending, 0);
  });

  it("tells a change from a renewal, and has what changed last at the end", () => {
    const { seen, registry } = setUp();
    registry.put(registration("a"));
    registry.put(registration("b"));
    assert.equal(registry.put(registration("a", { weight: 3 })), "changed");
    assert.deepEqual(
      registry.all().map(({ name, weight }) => [name, weight]),
      [
        ["b", 1],
        ["a", 3],
      ],
    );
    assert.equal(registry.put(registration("b")), "renewed");
    assert.equal(registry.all().at(-1)?.name, "a");
    assert.equal(seen.changes, 3);
    assert.equal(registry.get("default", "a")?.weight, 3);
  });

  it("forgets on request", () => {
    const { seen, registry } = setUp();
    registry.put(registration("a"));
    assert.equal(registry.delete("default", "b"), false);
    assert.equal(registry.delete("other", "a"), false);
    assert.equal(registry.delete("default", "a"), true);
    assert.deepEqual([registry.size, seen.changes], [0, 2]);
  });

  it("takes so many and no more, but renews those that it has", () => {
    const { registry } = setUp();
    for (let i = 0; i < WORKLOADS_MAX; i++) registry.put(registration(`w-${i}`));
    assert.equal(registry.put(registration("one-more")), "full");
    assert.equal(registry.put(registration("w-0")), "renewed");
    registry.delete("default", "w-1");
    assert.equal(registry.put(registration("one-more")), "created");
    assert.equal(registry.size, WORKLOADS_MAX);
  });

  it("begins the leases of restored workloads anew", () => {
    const { clock, seen, registry } = setUp();
    clock.advance(100_000);
    registry.restore([registration("a"), registration("b")]);
    assert.equal(seen.changes, 1);
    clock.advance(8_000);
    registry.put(registration("a"));
    clock.advance(3_000);
    assert.deepEqual(
      registry.all().map(({ name }) => name),
      ["a"],
    );
    registry.close();
    assert.equal(clock.pending, 0);
  });
});
