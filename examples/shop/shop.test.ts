import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { until } from "../../test/support/until.ts";

interface Running {
  readonly process: ChildProcess;
  /** HOST:PORT */
  readonly address: string;
}

const running: ChildProcess[] = [];

async function start(file: string, env: Readonly<Record<string, string>> = {}): Promise<Running> {
  const child = spawn(process.execPath, [join(import.meta.dirname, file)], {
    env: { ...process.env, PORT: "0", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  running.push(child);
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  await until(`${file} listens`, () => output.includes("listens on"), 15_000);
  return { process: child, address: /listens on (\S+)/.exec(output)?.[1] ?? "" };
}

async function get(service: Running, path: string): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`http://${service.address}${path}`);
  return { status: response.status, body: await response.json() };
}

after(() => {
  for (const child of running) child.kill("SIGKILL");
});

describe("the shop without a mesh", () => {
  let product: Running;
  let price: Running;
  let gateway: Running;
  before(async () => {
    [product, price] = await Promise.all([start("product.ts"), start("price.ts")]);
    const upstreams = { HEDDLE_UPSTREAM_PRODUCT: product.address, HEDDLE_UPSTREAM_PRICE: price.address };
    gateway = await start("gateway.ts", upstreams);
  });

  it("joins a product and its price", async () => {
    assert.deepEqual(await get(gateway, "/api/products/2"), {
      status: 200,
      body: {
        id: 2,
        name: "Boat shuttle",
        description: "Cherry wood, holds a ten-centimetre bobbin.",
        price: { amount: 38.5, currency: "EUR" },
      },
    });
  });

  it("knows what it does not have", async () => {
    assert.equal((await get(gateway, "/api/products/99")).status, 404);
    assert.equal((await get(gateway, "/api/products/x")).status, 404);
    assert.equal((await get(price, "/api/prices")).status, 404);
    assert.equal((await fetch(`http://${price.address}/healthz`, { method: "POST" })).status, 405);
  });

  it("describes itself, and says that it is well", async () => {
    for (const service of [gateway, product, price]) {
      const { status, body } = await get(service, "/openapi.json");
      const { openapi, paths } = body as { openapi: string; paths: object };
      assert.equal(status, 200);
      assert.match(openapi, /^3\./);
      assert.ok(Object.keys(paths).length > 0);
      assert.equal((await get(service, "/healthz")).status, 200);
    }
  });

  it("answers 502 and says who failed", async () => {
    const failing = await start("price.ts", { FAIL_PERCENT: "100", DELAY_MS: "1", HEDDLE_WORKLOAD: "price-2" });
    const env = { HEDDLE_UPSTREAM_PRODUCT: product.address };
    const broken = await start("gateway.ts", { ...env, HEDDLE_UPSTREAM_PRICE: failing.address });
    const alone = await start("gateway.ts", { ...env, HEDDLE_UPSTREAM_PRICE: "127.0.0.1:1" });
    const answer = await get(broken, "/api/products/1");
    assert.equal(answer.status, 502);
    assert.match(JSON.stringify(answer.body), /price answered 500.*price-2 cannot read/);
    const refused = await get(alone, "/api/products/1");
    assert.equal(refused.status, 502);
    assert.match(JSON.stringify(refused.body), /price: .*ECONNREFUSED/);
  });

  it("ends cleanly on SIGTERM", async () => {
    for (const file of ["product.ts", "price.ts", "gateway.ts", "price-grpc.ts"]) {
      const { process: child } = await start(file);
      child.kill("SIGTERM");
      await until(`${file} ends`, () => child.exitCode !== null || child.signalCode !== null, 10_000);
      assert.deepEqual([child.exitCode, child.signalCode], [0, null], file);
    }
  });
});

describe("price-grpc", () => {
  interface Price {
    readonly productId: number;
    readonly amount: number;
  }
  let client: grpc.Client & Record<string, CallableFunction>;
  before(async () => {
    const { address } = await start("price-grpc.ts", { HEDDLE_WORKLOAD: "price-grpc-1" });
    const definition = loadSync(join(import.meta.dirname, "price.proto"), { defaults: true });
    const { shop } = grpc.loadPackageDefinition(definition) as unknown as {
      shop: { v1: { PriceService: new (target: string, credentials: grpc.ChannelCredentials) => typeof client } };
    };
    client = new shop.v1.PriceService(address, grpc.credentials.createInsecure());
  });
  after(() => client.close());

  /** What a call sent back, and how it ended. */
  async function ended(
    call: grpc.ClientReadableStream<Price>,
  ): Promise<{ prices: Price[]; status: grpc.StatusObject }> {
    const prices: Price[] = [];
    return new Promise((resolve) => {
      call.on("data", (price: Price) => prices.push(price));
      call.on("error", () => undefined);
      call.on("status", (status: grpc.StatusObject) => resolve({ prices, status }));
    });
  }

  it("answers a unary call, with a trailer", async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const call = client["GetPrice"]?.({ productId: 1 }, (_error: unknown, price: unknown) =>
      resolve(price),
    ) as grpc.ClientUnaryCall;
    const status = new Promise<grpc.StatusObject>((settle) => {
      call.on("status", settle);
    });
    assert.deepEqual(await promise, { productId: 1, amount: 1890, currency: "EUR" });
    assert.deepEqual((await status).metadata.get("served-by"), ["price-grpc-1"]);
  });

  it("says NOT_FOUND for what it does not have", async () => {
    const { promise, resolve } = Promise.withResolvers<grpc.ServiceError>();
    client["GetPrice"]?.({ productId: 99 }, (error: grpc.ServiceError) => resolve(error));
    const { code, details } = await promise;
    assert.deepEqual([code, details], [grpc.status.NOT_FOUND, "there is no price for product 99"]);
  });

  it("streams to the caller", async () => {
    const call = client["WatchPrice"]?.({ productId: 3, count: 4, intervalMs: 1 }) as grpc.ClientReadableStream<Price>;
    const { prices, status } = await ended(call);
    assert.deepEqual(
      prices.map(({ amount }) => amount),
      [24, 24, 24, 24],
    );
    assert.deepEqual([status.code, status.metadata.get("served-by")], [grpc.status.OK, ["price-grpc-1"]]);
    const wrong = client["WatchPrice"]?.({ productId: 3, count: 0 }) as grpc.ClientReadableStream<Price>;
    assert.equal((await ended(wrong)).status.code, grpc.status.INVALID_ARGUMENT);
  });

  it("takes a stream from the caller", async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const call = client["SumPrices"]?.((_error: unknown, sum: unknown) =>
      resolve(sum),
    ) as grpc.ClientWritableStream<object>;
    for (const productId of [2, 5, 5]) call.write({ productId });
    call.end();
    assert.deepEqual(await promise, { amount: 78.3, currency: "EUR", products: 3 });
  });

  it("answers each message of a stream as it comes", async () => {
    const call = client["QuotePrices"]?.() as grpc.ClientDuplexStream<object, Price>;
    const end = ended(call);
    const first = new Promise<Price>((resolve) => {
      call.once("data", resolve);
    });
    call.write({ productId: 4 });
    assert.equal((await first).amount, 86);
    call.write({ productId: 99 });
    const { status } = await end;
    assert.deepEqual([status.code, status.details], [grpc.status.NOT_FOUND, "there is no price for product 99"]);
  });
});
