import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { ControlError, type WorkloadRegistration } from "../control-client.ts";
import { FakeHost, settle } from "../testing/fake-host.ts";
import { Registration, RENEW_EVERY_MS, RETRY_EVERY_MS } from "./registration.ts";

const healthy: WorkloadRegistration = {
  serviceAccount: "",
  labels: {},
  locality: { region: "", zone: "", subZone: "" },
  weight: 1,
  health: "healthy",
  ports: [],
  ttlSeconds: 15,
};
const unhealthy: WorkloadRegistration = { ...healthy, health: "unhealthy" };

describe("Registration", () => {
  let host: FakeHost;
  let accepted: string[];
  let refused: string[];
  let registration: Registration;
  beforeEach(() => {
    host = new FakeHost();
    accepted = [];
    refused = [];
    registration = new Registration({
      namespace: "default",
      name: "price-1",
      client: host.client,
      clock: host.clock,
      onRefused: (reason) => refused.push(reason),
      onAccepted: ({ health }) => accepted.push(health),
    });
  });

  it("tells a change at once, and renews the lease", async () => {
    registration.set(healthy);
    await settle();
    assert.deepEqual(host.calls, ["PUT default/price-1 healthy"]);
    host.clock.advance(RENEW_EVERY_MS);
    await settle();
    registration.set(unhealthy);
    await settle();
    assert.deepEqual(accepted, ["healthy", "healthy", "unhealthy"]);
    assert.equal(host.clock.pending, 1);
  });

  it("never lets an older word arrive after a newer one", async () => {
    registration.set(unhealthy);
    registration.set(healthy);
    registration.set(unhealthy);
    await settle();
    assert.deepEqual(host.calls, ["PUT default/price-1 unhealthy", "PUT default/price-1 unhealthy"]);
  });

  it("tries again soon while the control plane is away", async () => {
    host.trouble = new Error("gone");
    registration.set(healthy);
    await settle();
    for (let retry = 0; retry < 3; retry++) {
      host.clock.advance(RETRY_EVERY_MS);
      await settle();
    }
    assert.equal(host.calls.length, 4);
    assert.deepEqual([accepted, refused], [[], []]);
    host.trouble = undefined;
    host.clock.advance(RETRY_EVERY_MS);
    await settle();
    assert.deepEqual(accepted, ["healthy"]);
  });

  it("says once why it is refused", async () => {
    host.trouble = new ControlError(409, "the name is taken", "");
    registration.set(healthy);
    await settle();
    host.clock.advance(RETRY_EVERY_MS);
    await settle();
    assert.deepEqual(refused, ["the name is taken"]);
  });

  it("says nothing more after it was removed", async () => {
    registration.set(healthy);
    await registration.remove();
    registration.set(unhealthy);
    registration.renew();
    host.clock.advance(60_000);
    await settle();
    assert.deepEqual(host.calls, ["PUT default/price-1 healthy", "DELETE default/price-1"]);
    assert.equal(host.clock.pending, 0);
  });

  it("is removed even if the control plane is away", async () => {
    registration.set(healthy);
    await settle();
    host.trouble = new Error("gone");
    await registration.remove();
    assert.equal(host.clock.pending, 0);
  });
});
