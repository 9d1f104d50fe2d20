import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { RecordedResponse, requestHead } from "../../../test/support/exchange-recorder.ts";
import type { Discovery, ServiceWatcher } from "../../model/discovery.ts";
import { defaultBackendPolicy } from "../../model/backend-policy.ts";
import type { ServiceView } from "../../model/mesh.ts";
import { defaultRoute, type Route } from "../../model/route.ts";
import { getHeader } from "../../protocol/headers.ts";
import { Logger } from "../../telemetry/log.ts";
import { failureOf } from "../failure.ts";
import { GrpcDeadlines } from "../grpc-deadline.ts";
import { fakeEndpoint, FakeWorld, settled } from "../testing/fake-world.ts";
import { Services } from "./services.ts";
import { NamedTarget } from "./target.ts";

const KEY = "price.default:80";

function view(...routes: readonly Partial<Route>[]): ServiceView {
  return {
    key: KEY,
    name: "price",
    namespace: "default",
    port: { name: "http", port: 80, protocol: "http" },
    routes: routes.map((route) => ({ ...defaultRoute(KEY), ...route })),
    backends: new Map([[KEY, { key: KEY, policy: defaultBackendPolicy, endpoints: [fakeEndpoint({ port: 1 })] }]]),
  };
}

interface Rig {
  readonly world: FakeWorld;
  readonly asked: string[];
  readonly services: Services;
  readonly open: (host: string, path?: string) => RecordedResponse;
  /** Has discovery say something else. */
  readonly publish: (view: ServiceView) => void;
}

/** @param known what discovery says of "price"; it says nothing of "silence", and at once that nothing else exists */
function rig(known: ServiceView, fixed?: string): Rig {
  const world = new FakeWorld();
  const asked: string[] = [];
  const watchers: ServiceWatcher[] = [];
  const discovery: Discovery = {
    watch(authority: string, watcher: ServiceWatcher) {
      asked.push(authority);
      watchers.push(watcher);
      if (authority === "silence") return () => {};
      if (authority.startsWith("price")) watcher.onView(known);
      else watcher.onUnknown();
      return () => {};
    },
    watchPolicy: () => () => {},
  };
  const services = new Services({
    clock: world.clock,
    discovery,
    logger: new Logger({ level: "error", format: "plain", sink: { write: () => true } }),
    makeBackend: () => world.backend,
  });
  const target = new NamedTarget(services, world.clock, Math.random, fixed);
  const open = (host: string, path = "/"): RecordedResponse => {
    const response = new RecordedResponse();
    target.open({ ...requestHead("GET", path), authority: host }, true, response);
    return response;
  };
  const publish = (changed: ServiceView): void => watchers.forEach((watcher) => watcher.onView(changed));
  return { world, asked, services, open, publish };
}

describe("NamedTarget", () => {
  it("asks once for a name, whatever its case, and then knows it", async () => {
    const { world, asked, open } = rig(view({}));
    const responses = [open("price"), open("PRICE")];
    await settled();
    responses.push(open("Price"));
    world.accept();
    for (const stream of world.streams) stream.answer(200, true);
    assert.deepEqual(asked, ["price"]);
    assert.deepEqual(
      responses.map(({ head }) => head?.status),
      [200, 200, 200],
    );
  });

  it("sends everything to one name if it is told to", async () => {
    const { world, asked, open } = rig(view({}), "price");
    open("elsewhere.example:8080");
    await settled();
    world.accept();
    assert.deepEqual(asked, ["price"]);
    assert.equal(world.last.head.authority, "elsewhere.example:8080", "as it was");
  });

  it("does not ask for what cannot be a name, which discovery might take for something else", async () => {
    const { asked, open } = rig(view({}));
    for (const host of ["", "*", "[::1]:80", "a b", "a/b", "x".repeat(300), "price:"]) {
      const response = open(host);
      await settled();
      assert.ok(response.reset !== undefined && failureOf(response.reset).code === "HED1001", host);
    }
    assert.deepEqual(asked, []);
  });

  it("says that no route takes the request", async () => {
    const { open } = rig(view({ match: { path: { kind: "exact", value: "/only" }, method: "", headers: [] } }));
    for (let i = 0; i < 2; i++) {
      const response = open("price", "/other");
      await settled();
      assert.ok(response.reset !== undefined && failureOf(response.reset).status === 404);
      assert.match(response.reset.detail, /no route of price takes GET \/other/);
    }
  });

  it("holds the request to its route's time, and to none where there is none", async () => {
    const { world, services, open } = rig(
      view({ match: { path: { kind: "prefix", value: "/fast" }, method: "", headers: [] }, timeoutMs: 100 }, {}),
    );
    const fast = open("price", "/fast");
    const slow = open("price", "/slow");
    await settled();
    world.accept();
    world.clock.advance(100);
    assert.ok(fast.reset !== undefined && failureOf(fast.reset).code === "HED1008");
    world.clock.advance(100_000);
    assert.equal(slow.reset, undefined);
    services.destroy();
    await settled();
    assert.equal(world.clock.pending, 0);
  });

  it("waits for discovery no longer than a gRPC caller does, and gives the rest of its time to the service", async () => {
    const { world, services, publish } = rig(view({}));
    const target = new GrpcDeadlines(new NamedTarget(services, world.clock, Math.random, "silence"), world.clock);
    const open = (timeout: string): RecordedResponse => {
      const response = new RecordedResponse();
      const headers = ["content-type", "application/grpc", "grpc-timeout", timeout];
      target.open({ ...requestHead("POST", "/a.B/C", headers), version: "2" }, true, response);
      return response;
    };
    const short = open("50m");
    open("90m");
    world.clock.advance(50);
    assert.ok(short.reset !== undefined && failureOf(short.reset).code === "HED1014");
    publish(view({}));
    await settled();
    world.accept();
    assert.equal(world.streams.length, 1, "only for the one that still waits");
    assert.equal(getHeader(world.last.head.headers, "grpc-timeout"), "40000000n");
    services.destroy();
  });

  it("leaves what has begun alone when the routes change", async () => {
    const { world, services, open, publish } = rig(view({ timeoutMs: 100 }));
    const limited = open("price");
    await settled();
    world.accept();
    world.last.answer(200, false);
    const first = world.last;
    publish(view({ match: { path: { kind: "exact", value: "/other" }, method: "", headers: [] } }));
    const refused = open("price");
    await settled();
    assert.ok(refused.reset !== undefined && failureOf(refused.reset).code === "HED1001");
    first.data("still here", false);
    assert.equal(limited.text, "still here");
    world.clock.advance(100);
    assert.ok(limited.reset !== undefined && failureOf(limited.reset).code === "HED1008", "by the route that it took");
    publish(view({}));
    const free = open("price");
    await settled();
    world.accept();
    world.last.answer(200, false);
    publish(view({ timeoutMs: 100 }));
    world.clock.advance(1_000);
    world.last.data("and here", true);
    assert.equal(free.text, "and here");
    services.destroy();
  });

  it("holds a gRPC request to the smaller of its route's time and its caller's, and tells the service which", async () => {
    const { world, services } = rig(view({ timeoutMs: 100 }));
    const target = new GrpcDeadlines(new NamedTarget(services, world.clock, Math.random, "price"), world.clock);
    const failed = async (timeout: string, afterMs: number): Promise<[string, string | undefined]> => {
      const response = new RecordedResponse();
      const headers = ["content-type", "application/grpc", "grpc-timeout", timeout];
      target.open({ ...requestHead("POST", "/a.B/C", headers), version: "2" }, true, response);
      await settled();
      world.accept();
      world.clock.advance(afterMs - 1);
      assert.equal(response.reset, undefined);
      world.clock.advance(1);
      assert.ok(response.reset !== undefined);
      return [failureOf(response.reset).code, getHeader(world.last.head.headers, "grpc-timeout")];
    };
    assert.deepEqual(await failed("5S", 100), ["HED1008", "100000u"]);
    assert.deepEqual(await failed("20m", 20), ["HED1014", "20000000n"]);
  });
});
