import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { emptyMesh, type Mesh } from "../model/mesh.ts";
import { VirtualClock } from "../net/virtual-clock.ts";
import { BUILD_INTERVAL_MS, MeshPublisher } from "./mesh-publisher.ts";
import { recordingLogger } from "./testing/logger.ts";

function service(name: string): Mesh {
  return {
    ...emptyMesh,
    services: [{ name, namespace: "default", ports: [{ name: "http", port: 80, protocol: "http" }] }],
  };
}

function setUp() {
  const clock = new VirtualClock();
  const { logger, lines } = recordingLogger();
  const world = { mesh: emptyMesh, warnings: [] as string[], builds: 0 };
  const published: Mesh[] = [];
  const publisher = new MeshPublisher({
    clock,
    logger,
    build: () => {
      world.builds++;
      return { mesh: world.mesh, warnings: world.warnings };
    },
    publish: (mesh) => published.push(mesh),
  });
  return { clock, lines, world, published, publisher };
}

describe("MeshPublisher", () => {
  it("publishes at once, and then gathers changes", () => {
    const { clock, world, published, publisher } = setUp();
    world.mesh = service("a");
    publisher.changed();
    clock.advance(0);
    assert.equal(published.length, 1);
    for (let i = 0; i < 1_000; i++) {
      world.mesh = service(`b${i}`);
      publisher.changed();
    }
    clock.advance(BUILD_INTERVAL_MS - 1);
    assert.equal(published.length, 1);
    clock.advance(1);
    assert.equal(published.at(-1)?.services[0]?.name, "b999");
    assert.deepEqual([world.builds, published.length], [2, 2]);
    assert.equal(clock.pending, 0);
  });

  it("does not publish what is the same", () => {
    const { clock, world, published, publisher } = setUp();
    world.mesh = service("a");
    publisher.changed();
    clock.advance(0);
    world.mesh = service("a");
    publisher.changed();
    clock.advance(BUILD_INTERVAL_MS);
    assert.equal(world.builds, 2);
    assert.equal(published.length, 1);
  });

  it("gives whoever asks the newest mesh, and publishes it then", () => {
    const { clock, world, published, publisher } = setUp();
    world.mesh = service("a");
    publisher.changed();
    assert.equal(publisher.mesh.services[0]?.name, "a");
    assert.equal(published.length, 1);
    clock.advance(BUILD_INTERVAL_MS);
    assert.equal(world.builds, 1);
  });

  it("says each warning once, and again after it was gone", () => {
    const { world, lines, publisher } = setUp();
    for (const warnings of [["x"], ["x", "y"], [], ["x"]]) {
      world.warnings = warnings;
      publisher.changed();
      void publisher.mesh;
    }
    assert.deepEqual(
      lines.map((line) => line.slice(-1)),
      ["x", "y", "x"],
    );
  });

  it("is silent after close", () => {
    const { clock, world, published, publisher } = setUp();
    world.mesh = service("a");
    publisher.changed();
    publisher.close();
    clock.advance(1_000);
    assert.deepEqual([published, clock.pending], [[], 0]);
  });
});
