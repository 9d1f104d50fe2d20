import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { ControlClient, ControlError, DEFAULT_CONTROL, type WorkloadRegistration } from "./control-client.ts";
import { Failure, UsageError } from "./errors.ts";
import { capturedIo } from "./testing/captured-io.ts";
import { FakeControl, type FakeAnswers } from "./testing/fake-control.ts";

const registration: WorkloadRegistration = {
  serviceAccount: "",
  labels: {},
  locality: { region: "", zone: "", subZone: "" },
  weight: 1,
  health: "healthy",
  ports: [],
  ttlSeconds: 15,
};

async function withControl(
  answers: FakeAnswers,
  body: (client: ControlClient, fake: FakeControl) => Promise<void>,
): Promise<void> {
  const fake = await FakeControl.start(answers);
  try {
    await body(new ControlClient(fake.address), fake);
  } finally {
    await fake.close();
  }
}

describe("ControlClient.from", () => {
  it("takes the flag, else the variable, else the default", () => {
    const io = capturedIo({ HEDDLE_CONTROL: "there:2" });
    assert.equal(ControlClient.from("here:1", io).address, "here:1");
    assert.equal(ControlClient.from(undefined, io).address, "there:2");
    assert.equal(ControlClient.from(undefined, capturedIo({ HEDDLE_CONTROL: "" })).address, DEFAULT_CONTROL);
  });

  it("names what is wrong: the flag or the variable", () => {
    for (const address of ["", "x", "x:0", "x:65536", "http://x:1", "x:1/y", "a b:1", "a@b:1"]) {
      assert.throws(() => ControlClient.from(address, capturedIo()), UsageError);
    }
    assert.throws(() => ControlClient.from(undefined, capturedIo({ HEDDLE_CONTROL: "x" })), /HEDDLE_CONTROL/);
  });
});

describe("ControlClient", () => {
  it("asks what the API offers", async () => {
    const answers = {
      "GET /ready": { body: "ok" },
      "GET /api/v1/stat": { body: [] },
      "PUT /api/v1/workloads/default/price-1": { body: {} },
      "DELETE /api/v1/workloads/default/price-1": { status: 204, body: "" },
    };
    await withControl(answers, async (client, fake) => {
      assert.equal(await client.ready(), true);
      assert.deepEqual(await client.stat({ windowSeconds: 10, by: "workload", namespace: "shop" }), []);
      await client.register("default", "price-1", registration);
      await client.deregister("default", "price-1");
      const [, stat, put] = fake.requests;
      assert.equal(stat?.target, "/api/v1/stat?window=10s&by=workload&namespace=shop");
      assert.deepEqual(put?.body, registration);
    });
  });

  it("passes on the API's own errors", async () => {
    const body = { error: { code: "CONFLICT", message: "the name is taken", hint: "choose another" } };
    await withControl({ "GET /api/v1/workloads": { status: 409, body } }, async (client) => {
      await assert.rejects(client.workloads(), (error) => {
        assert.ok(error instanceof ControlError);
        assert.deepEqual([error.status, error.message, error.hint], [409, "the name is taken", "choose another"]);
        return true;
      });
    });
  });

  it("knows when something else answers there", async () => {
    const answers = {
      "GET /api/v1/workloads": { body: "<html>" },
      "GET /api/v1/endpoints": { status: 500, body: "x" },
    };
    await withControl(answers, async (client) => {
      await assert.rejects(client.workloads(), /is not Heddle's control plane.*GET .*status 200/);
      await assert.rejects(client.endpoints(), /is not Heddle's control plane.*status 500/);
      assert.equal(await client.ready(), false);
    });
  });

  it("says what to do when nothing answers, or something that is no HTTP", async () => {
    await assert.rejects(new ControlClient("127.0.0.1:1").about(), (error) => {
      assert.ok(error instanceof Failure);
      assert.match(error.message, /127\.0\.0\.1:1: nothing listens there/);
      assert.match(error.hint, /heddle up[^]*--control HOST:PORT/);
      return true;
    });
    const server = createServer((socket) => socket.end("hello\n"));
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const { port } = server.address() as AddressInfo;
    await assert.rejects(new ControlClient(`127.0.0.1:${port}`).about(), Failure);
    server.close();
  });

  it("does not read an answer without end", async () => {
    const chunk = Buffer.alloc(1024 * 1024, " ");
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      const more = (): void => {
        while (!socket.destroyed && socket.write(chunk));
      };
      socket.on("drain", more);
      more();
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const { port } = server.address() as AddressInfo;
    await assert.rejects(new ControlClient(`127.0.0.1:${port}`).about(), /longer than \d+ bytes/);
    server.close();
  });
});
