import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { defaultBackendPolicy } from "../../model/backend-policy.ts";
import type { Discovery, ServiceWatcher } from "../../model/discovery.ts";
import type { ServiceView } from "../../model/mesh.ts";
import { defaultRoute } from "../../model/route.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { Logger } from "../../telemetry/log.ts";
import { Backend } from "../backend.ts";
import { ABSENT_MS, DISCOVERY_TIMEOUT_MS, IDLE_MS, type Resolution, Services, SERVICES_MAX } from "./services.ts";

class FakeDiscovery implements Discovery {
  readonly watchers = new Map<string, ServiceWatcher>();
  watch(authority: string, watcher: ServiceWatcher): () => void {
    this.watchers.set(authority, watcher);
    return () => this.watchers.delete(authority);
  }

  watchPolicy(): () => void {
    return () => {};
  }
}

function view(name: string): ServiceView {
  const key = `${name}.default:80`;
  return {
    key,
    name,
    namespace: "default",
    port: { name: "http", port: 80, protocol: "http" },
    routes: [defaultRoute(key)],
    backends: new Map([[key, { key, policy: defaultBackendPolicy, endpoints: [] }]]),
  };
}

function rig(): { services: Services; discovery: FakeDiscovery; clock: VirtualClock; made: string[]; lines: string[] } {
  const discovery = new FakeDiscovery();
  const clock = new VirtualClock();
  const made: string[] = [];
  const lines: string[] = [];
  const services = new Services({
    clock,
    discovery,
    logger: new Logger({ level: "info", format: "plain", sink: { write: (line) => lines.push(line) } }),
    makeBackend: (_service, backend) => {
      made.push(backend.key);
      return new Backend(backend.policy, {
        name: backend.key,
        clock,
        random: Math.random,
        single: false,
        onRepeat() {},
        endpoint: () => assert.fail("there are no endpoints"),
      });
    },
  });
  return { services, discovery, clock, made, lines };
}

function outcome(resolution: Resolution): string {
  return typeof resolution === "string" ? resolution : resolution.view.key;
}

describe("Services", () => {
  it("asks discovery once for a name, and answers all that wait", () => {
    const { services, discovery } = rig();
    const answers: string[] = [];
    services.resolve("price", (resolution) => answers.push(outcome(resolution)));
    services.resolve("price", (resolution) => answers.push(outcome(resolution)));
    assert.equal(services.known("price"), undefined);
    discovery.watchers.get("price")?.onView(view("price"));
    assert.deepEqual(answers, ["price.default:80", "price.default:80"]);
    assert.equal(services.known("price")?.view.name, "price");
    assert.equal(discovery.watchers.size, 1);
  });

  it("gives up after 3 s, and still takes the answer when it comes", () => {
    const { services, discovery, clock } = rig();
    const answers: string[] = [];
    services.resolve("price", (resolution) => answers.push(outcome(resolution)));
    clock.advance(DISCOVERY_TIMEOUT_MS);
    assert.deepEqual(answers, ["timeout"]);
    discovery.watchers.get("price")?.onView(view("price"));
    assert.notEqual(services.known("price"), undefined);
  });

  it("believes that a name is absent for a while, then asks again", () => {
    const { services, discovery, clock } = rig();
    const answers: string[] = [];
    services.resolve("nobody", (resolution) => answers.push(outcome(resolution)));
    discovery.watchers.get("nobody")?.onUnknown();
    services.resolve("nobody", (resolution) => answers.push(outcome(resolution)));
    assert.deepEqual(answers, ["absent", "absent"]);
    clock.advance(ABSENT_MS + IDLE_MS);
    assert.equal(discovery.watchers.size, 0);
    assert.equal(services.size, 0);
  });

  it("shares one backend among the names of one port, and lets it go with the last", () => {
    const { services, discovery, clock, made } = rig();
    for (const name of ["price", "price.default"]) {
      services.resolve(name, () => {});
      discovery.watchers.get(name)?.onView(view("price"));
    }
    assert.deepEqual(made, ["price.default:80"]);
    assert.equal(
      services.known("price")?.backend("price.default:80"),
      services.known("price.default")?.backend("price.default:80"),
    );
    clock.advance(IDLE_MS / 2);
    services.known("price");
    clock.advance(IDLE_MS / 2 + 1);
    assert.equal(services.known("price.default"), undefined, "unused for a minute");
    assert.equal([...services.backends()].length, 1);
    clock.advance(IDLE_MS * 2);
    assert.equal([...services.backends()].length, 0);
  });

  it("makes a new backend when the protocol of the port changes", () => {
    const { services, discovery } = rig();
    services.resolve("price", () => {});
    const watcher = discovery.watchers.get("price");
    watcher?.onView(view("price"));
    const before = services.known("price")?.backend("price.default:80");
    watcher?.onView({ ...view("price"), port: { name: "grpc", port: 80, protocol: "grpc" } });
    assert.notEqual(services.known("price")?.backend("price.default:80"), before);
    assert.equal([...services.backends()].length, 1);
  });

  it("keeps the last good routes when new ones do not compile", () => {
    const { services, discovery, lines } = rig();
    services.resolve("price", () => {});
    const watcher = discovery.watchers.get("price");
    watcher?.onView(view("price"));
    const good = services.known("price");
    const bad = { ...defaultRoute("price.default:80") };
    watcher?.onView({
      ...view("price"),
      routes: [{ ...bad, match: { ...bad.match, path: { kind: "regex", value: "[" } } }],
    });
    assert.equal(services.known("price"), good);
    assert.match(lines.join(""), /last good routes stay/);
  });

  it("bounds the names followed at once", () => {
    const { services } = rig();
    for (let i = 0; i < SERVICES_MAX; i++) services.resolve(`s${i}`, () => {});
    let answer = "";
    services.resolve("one-more", (resolution) => (answer = outcome(resolution)));
    assert.equal(answer, "absent");
    assert.equal(services.size, SERVICES_MAX);
  });

  it("does not let names that do not exist keep others out for long", () => {
    const { services, discovery, clock } = rig();
    for (let i = 0; i < SERVICES_MAX; i++) {
      services.resolve(`s${i}`, () => {});
      discovery.watchers.get(`s${i}`)?.onUnknown();
    }
    services.resolve("price", (resolution) => assert.equal(resolution, "absent"));
    clock.advance(ABSENT_MS);
    const outcomes: string[] = [];
    services.resolve("price", (resolution) => outcomes.push(outcome(resolution)));
    discovery.watchers.get("price")?.onView(view("price"));
    assert.deepEqual(outcomes, ["price.default:80"]);
  });

  it("closes without a timer or a watch left", () => {
    const { services, discovery, clock } = rig();
    services.resolve("a", () => {});
    discovery.watchers.get("a")?.onView(view("a"));
    services.resolve("b", () => {});
    services.close();
    assert.equal(discovery.watchers.size, 0);
    assert.equal(clock.pending, 0);
  });
});
