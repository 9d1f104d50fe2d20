import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type TokenFile, tokenFolder, writeTokenFile } from "../control/token-file.ts";
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
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const fake = await FakeControl.start(answers);
  try {
    await body(new ControlClient(fake.address, capturedIo(env)), fake);
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
    });
    for (const body of [{}, [], "null", { version: 1 }]) {
      await withControl({ "GET /api/v1/version": { body } }, async (client) => {
        await assert.rejects(client.about(), /is not Heddle's control plane.*status 200/, JSON.stringify(body));
      });
    }
    await withControl({ "GET /api/v1/version": { body: { version: "1.2.3", xds: "" } } }, async (client) => {
      assert.deepEqual(await client.about(), { version: "1.2.3", xds: "", insecureXds: false });
      assert.equal(await client.ready(), false);
    });
  });

  it("says what to do when nothing answers, or something that is no HTTP", async () => {
    await assert.rejects(new ControlClient("127.0.0.1:1", capturedIo()).about(), (error) => {
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
    await assert.rejects(new ControlClient(`127.0.0.1:${port}`, capturedIo()).about(), Failure);
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
    await assert.rejects(new ControlClient(`127.0.0.1:${port}`, capturedIo()).about(), /longer than \d+ bytes/);
    server.close();
  });
});

describe("ControlClient, when it changes something", () => {
  const given = "g".repeat(40);
  const found = "f".repeat(40);
  const path = "/api/v1/workloads/default/price-1";
  const answers = {
    [`PUT ${path}`]: { body: {} },
    "POST /api/v1/authz/explain": { body: {} },
    [`GET ${path}`]: { body: {} },
  };
  const refusal = { status: 401, body: { error: { code: "unauthorized", message: "no", hint: "" } } };
  const refuses = { [`PUT ${path}`]: refusal, [`DELETE ${path}`]: refusal };
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "heddle-client-"));
  });
  afterEach(() => rmSync(home, { recursive: true }));

  const leave = (fake: FakeControl, token: string, host = "127.0.0.1"): TokenFile =>
    writeTokenFile(tokenFolder({ HOME: home }), { host, port: Number(fake.address.split(":")[1]) }, token);

  it("shows the token in the file for the address, read each time, and for nothing else", async () => {
    await withControl(
      answers,
      async (client, fake) => {
        leave(fake, found);
        await client.register("default", "price-1", registration);
        leave(fake, given);
        await client.register("default", "price-1", registration);
        await client.explain({ from: "a", to: "b", headers: [], plaintext: false, tcp: false });
        await client.about().catch(() => undefined);
        assert.deepEqual(sent(fake), [`Bearer ${found}`, `Bearer ${given}`, undefined, undefined]);
        assert.deepEqual(fake.requests[0]?.body, registration);
      },
      { HOME: home },
    );
  });

  it("shows the one that was given before that in a file", async () => {
    await withControl(
      answers,
      async (client, fake) => {
        leave(fake, found);
        await client.register("default", "price-1", registration);
        assert.deepEqual(sent(fake), [`Bearer ${given}`]);
      },
      { HOME: home, HEDDLE_API_TOKEN: given },
    );
  });

  it("shows none to whoever else listens beside the control plane, under a name that both have", async () => {
    const { promise: took, resolve } = Promise.withResolvers<string>();
    const taker = createServer((socket) => {
      socket.once("data", (data) => {
        resolve(data.toString());
        socket.end("HTTP/1.1 401 Unauthorized\r\n\r\n");
      });
    });
    const other = createServer((socket) => socket.end());
    const port = await listen(other, "127.0.0.1");
    await listen(taker, "127.0.0.2", port);
    try {
      writeTokenFile(tokenFolder({ HOME: home }), { host: "127.0.0.1", port }, found);
      const client = new ControlClient(`127.0.0.2:${port}`, capturedIo({ HOME: home }));
      await assert.rejects(client.register("default", "price-1", registration));
      assert.ok(!/authorization/i.test(await took));
    } finally {
      taker.close();
      other.close();
    }
  });

  it("says what it showed, or where it looked, when that was not the right one", async () => {
    const failed = async (
      env: Readonly<Record<string, string>>,
      leaves?: (fake: FakeControl) => void,
    ): Promise<string> => {
      let text = "";
      await withControl(
        refuses,
        async (client, fake) => {
          leaves?.(fake);
          await assert.rejects(client.register("default", "price-1", registration), (error) => {
            assert.ok(error instanceof ControlError);
            assert.equal(error.status, 401);
            assert.match(error.hint, /as the user who runs the control plane, or set HEDDLE_API_TOKEN/);
            text = error.message;
            return true;
          });
        },
        env,
      );
      assert.ok(!text.includes(given) && !text.includes(found));
      return text;
    };
    assert.match(
      await failed({ HOME: home }),
      /at 127\.0\.0\.1:\d+ demands its API token: there is no file .*\.token$/,
    );
    assert.match(await failed({ HOME: home, HEDDLE_API_TOKEN: given }), /HEDDLE_API_TOKEN has another$/);
    assert.match(await failed({ HOME: home }, (fake) => void leave(fake, found)), /the one in .*\.token is another$/);
    const open = await failed({ HOME: home }, (fake) => chmodSync(leave(fake, found).file, 0o644));
    assert.match(open, /can be read by others than its owner/);
  });

  it("refuses a variable that has no token, without telling it", () => {
    for (const bad of ["short-secret", "s".repeat(2_000), `${"s".repeat(40)}\n`]) {
      assert.throws(
        () => ControlClient.from(undefined, capturedIo({ HEDDLE_API_TOKEN: bad })),
        (error) => {
          assert.ok(error instanceof UsageError);
          assert.match(error.message, /^HEDDLE_API_TOKEN: expected 32 to 1024 characters/);
          assert.ok(!`${error.message}${error.hint}`.includes(bad));
          return true;
        },
      );
    }
    ControlClient.from(undefined, capturedIo({ HEDDLE_API_TOKEN: "" }));
  });
});

function sent(fake: FakeControl): (string | undefined)[] {
  return fake.requests.map(({ authorization }) => authorization);
}

async function listen(server: Server, host: string, port = 0): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(port, host, resolve);
  });
  return (server.address() as AddressInfo).port;
}
