import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";

import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

import { call } from "./support/application.ts";
import { startLoad } from "./support/load.ts";
import { metricSum } from "./support/mesh.ts";
import { until } from "./support/until.ts";
import { heddle, root, up, type Up } from "./support/up.ts";

const run = promisify(execFile);

interface Price {
  readonly productId: number;
  readonly amount: number;
  readonly currency: string;
}

/** The generated client, as far as it is used here. */
interface PriceClient extends grpc.Client {
  GetPrice(request: object, callback: (error: grpc.ServiceError | null, price: Price) => void): grpc.ClientUnaryCall;
  WatchPrice(request: object): grpc.ClientReadableStream<Price>;
  SumPrices(
    callback: (error: grpc.ServiceError | null, sum: { products: number }) => void,
  ): grpc.ClientWritableStream<object>;
  QuotePrices(): grpc.ClientDuplexStream<object, Price>;
}

const { shop } = grpc.loadPackageDefinition(
  loadSync(join(root, "examples/shop/price.proto"), { defaults: true }),
) as unknown as {
  shop: { v1: { PriceService: new (...args: ConstructorParameters<typeof grpc.Client>) => PriceClient } };
};

describe("the shop", () => {
  let mesh: Up;

  before(async () => {
    mesh = await up(join(root, "examples/shop/mesh.yaml"));
  });
  after(() => mesh.stop());

  it("answers the joined product with its price", async () => {
    await until("price-1 serves it", async () => {
      const { status, body } = await call(mesh.outbound, "gateway", "/api/products/1");
      if (status !== 200) return false;
      const product = JSON.parse(body) as { id: number; name: string; description: string; price: Price };
      assert.equal(product.id, 1);
      assert.ok(product.name.length > 0 && product.description.length > 0);
      assert.ok(product.price.amount > 0);
      return true;
    });
  });

  it("is listed by `heddle stat -o json` with its golden metrics", async () => {
    const load = startLoad(mesh.outbound, "gateway", "/api/products/1", 20);
    type Row = { name: string; success: number; rps: number; latency_ms_p99: number };
    let rows: Row[] = [];
    await until(
      "each service is seen with traffic",
      async () => {
        const { stdout } = await run(process.execPath, [heddle, "stat", "-o", "json", "--control", mesh.api]);
        rows = JSON.parse(stdout) as Row[];
        return ["gateway", "product", "price"].every((name) => (rows.find((row) => row.name === name)?.rps ?? 0) > 1);
      },
      20_000,
    );
    await load.stop();
    const product = rows.find(({ name }) => name === "product");
    assert.equal(product?.success, 1);
    assert.ok((product?.latency_ms_p99 ?? 0) > 0);
  });

  it("sends clearly less than half of the traffic to the slow price", async () => {
    const load = startLoad(mesh.outbound, "gateway", "/api/products/2", 100);
    await until("there is enough to count", () => load.sent.length >= 300, 10_000);
    await load.stop();
    const metrics = await mesh.metrics("gateway-1");
    const sentTo = (workload: string): number =>
      metricSum(metrics, "request_total", 'direction="outbound"', `dst_workload="${workload}"`);
    const share = sentTo("price-2") / (sentTo("price-1") + sentTo("price-2"));
    assert.ok(share > 0 && share < 0.25, `price-2 got ${(share * 100).toFixed(1)} % of the requests`);
  });

  describe("over gRPC, by an ordinary client through two sidecars", () => {
    let client: PriceClient;

    before(() => {
      client = new shop.v1.PriceService(new URL(mesh.outbound).host, grpc.credentials.createInsecure(), {
        "grpc.default_authority": "price-grpc",
      });
    });
    after(() => client.close());

    it("unary, with trailers and with a failing status", async () => {
      const { promise, resolve, reject } = Promise.withResolvers<Price>();
      const unary = client.GetPrice({ productId: 1 }, (error, price) =>
        error === null ? resolve(price) : reject(error),
      );
      const status = Promise.withResolvers<grpc.StatusObject>();
      unary.on("status", status.resolve);
      assert.ok((await promise).amount > 0);
      assert.deepEqual((await status.promise).metadata.get("served-by"), ["price-grpc-1"]);
      const failure = await new Promise<grpc.ServiceError | null>((done) =>
        client.GetPrice({ productId: 999 }, (error) => done(error)),
      );
      assert.equal(failure?.code, grpc.status.NOT_FOUND);
      assert.match(failure?.details ?? "", /no price for product 999/);
      assert.deepEqual(failure?.metadata.get("served-by"), ["price-grpc-1"]);
    });

    it("server streaming", async () => {
      const prices: Price[] = [];
      const stream = client.WatchPrice({ productId: 1, count: 500, intervalMs: 0 });
      for await (const price of stream) prices.push(price as Price);
      assert.equal(prices.length, 500);
    });

    it("client streaming", async () => {
      const { promise, resolve, reject } = Promise.withResolvers<{ products: number }>();
      const stream = client.SumPrices((error, sum) => (error === null ? resolve(sum) : reject(error)));
      for (let i = 0; i < 300; i++) stream.write({ productId: (i % 5) + 1 });
      stream.end();
      assert.equal((await promise).products, 300);
    });

    it("bidirectional: each answer comes before the next question is asked", async () => {
      const stream = client.QuotePrices();
      const answers = stream[Symbol.asyncIterator]();
      for (let i = 0; i < 20; i++) {
        stream.write({ productId: (i % 5) + 1 });
        const { value } = (await answers.next()) as IteratorResult<Price>;
        assert.equal((value as Price).productId, (i % 5) + 1);
      }
      stream.end();
      assert.equal((await answers.next()).done, true);
    });

    it("a cancellation crosses both sidecars and frees the far side", async () => {
      const stream = client.WatchPrice({ productId: 1, count: 1_000, intervalMs: 1_000 });
      stream.on("data", () => {});
      const { promise, resolve } = Promise.withResolvers<grpc.ServiceError>();
      stream.on("error", resolve);
      setTimeout(() => stream.cancel(), 50);
      assert.equal((await promise).code, grpc.status.CANCELLED);
      await until("the far sidecar has noticed", async () => {
        const metrics = await mesh.metrics("price-grpc-1");
        return metricSum(metrics, "response_total", 'direction="inbound"', 'classification="failure"') >= 1;
      });
    });
  });

  it("is joined by `heddle run`, which needs to know the control plane only", async () => {
    const program = [process.execPath, join(root, "test/fixtures/pair/echo.ts")];
    const joined = spawn(process.execPath, [heddle, "run", "--service", "extra", "--", ...program], {
      env: { ...process.env, HEDDLE_CONTROL: mesh.api },
      stdio: "ignore",
    });
    try {
      await until("it serves", async () => (await call(mesh.outbound, "extra")).status === 200, 15_000);
    } finally {
      joined.kill("SIGINT");
      await once(joined, "exit");
    }
    await until("it has left", async () => (await call(mesh.outbound, "extra")).status !== 200);
  });

  it("over gRPC, by a client that has no sidecar and asks our control plane itself", async () => {
    const script = join(root, "test/support/xds-caller.ts");
    const { stdout } = await run(process.execPath, [script, "xds:///price-grpc"], {
      env: {
        ...process.env,
        GRPC_XDS_BOOTSTRAP_CONFIG: JSON.stringify({
          xds_servers: [{ server_uri: mesh.xds, channel_creds: [{ type: "insecure" }] }],
          node: { id: "bare-client", locality: { region: "", zone: "", sub_zone: "" } },
        }),
      },
      timeout: 20_000,
    });
    const answer = JSON.parse(stdout) as { price: Price; servedBy: string[] };
    assert.equal(answer.price.productId, 1);
    assert.deepEqual(answer.servedBy, ["price-grpc-1"]);
  });
});
