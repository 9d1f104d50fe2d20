/** The prices over gRPC: one call of each kind. Every call ends with the trailer `served-by`. */
import { setTimeout } from "node:timers/promises";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { PRICES } from "./price-list.ts";

interface GetPriceRequest {
  readonly productId: number;
}

interface WatchPriceRequest extends GetPriceRequest {
  readonly count: number;
  readonly intervalMs: number;
}

interface Price {
  readonly productId: number;
  readonly amount: number;
  readonly currency: string;
}

interface PriceSum {
  readonly amount: number;
  readonly currency: string;
  readonly products: number;
}

/** Milliseconds that calls may still take after SIGTERM. */
const SHUTDOWN_GRACE_MS = 2_000;

const currency = "EUR";
const trailers = new grpc.Metadata();
trailers.set("served-by", process.env["HEDDLE_WORKLOAD"] ?? "price-grpc");

/** @throws a gRPC status NOT_FOUND */
function priceOf({ productId }: GetPriceRequest): Price {
  const amount = PRICES.get(productId);
  if (amount === undefined) throw failure(grpc.status.NOT_FOUND, `there is no price for product ${productId}`);
  return { productId, amount, currency };
}

function failure(code: grpc.status, details: string): grpc.ServiceError {
  return Object.assign(new Error(details), { code, details, metadata: trailers });
}

const getPrice: grpc.handleUnaryCall<GetPriceRequest, Price> = (call, callback) => {
  try {
    callback(null, priceOf(call.request), trailers);
  } catch (error) {
    callback(error as grpc.ServiceError);
  }
};

const watchPrice: grpc.handleServerStreamingCall<WatchPriceRequest, Price> = (call) => {
  const send = async (): Promise<void> => {
    const { count, intervalMs } = call.request;
    const inRange = count >= 1 && count <= 1_000 && intervalMs >= 0 && intervalMs <= 10_000;
    if (!inRange) throw failure(grpc.status.INVALID_ARGUMENT, "count is 1 to 1000, interval_ms 0 to 10000");
    const price = priceOf(call.request);
    for (let sent = 0; sent < count && !call.cancelled; sent++) {
      if (sent > 0) await setTimeout(intervalMs);
      call.write(price);
    }
    call.end(trailers);
  };
  send().catch((error: unknown) => call.emit("error", error));
};

const sumPrices: grpc.handleClientStreamingCall<GetPriceRequest, PriceSum> = (call, callback) => {
  const prices: Price[] = [];
  let failed = false;
  call.on("data", (request: GetPriceRequest) => {
    if (failed) return;
    try {
      prices.push(priceOf(request));
    } catch (error) {
      failed = true;
      callback(error as grpc.ServiceError);
    }
  });
  call.on("end", () => {
    if (failed) return;
    const cents = prices.reduce((sum, { amount }) => sum + Math.round(amount * 100), 0);
    callback(null, { amount: cents / 100, currency, products: prices.length }, trailers);
  });
};

const quotePrices: grpc.handleBidiStreamingCall<GetPriceRequest, Price> = (call) => {
  call.on("data", (request: GetPriceRequest) => {
    try {
      call.write(priceOf(request));
    } catch (error) {
      call.emit("error", error);
    }
  });
  call.on("end", () => call.end(trailers));
};

const { shop } = grpc.loadPackageDefinition(
  loadSync(join(import.meta.dirname, "price.proto"), { defaults: true }),
) as unknown as { shop: { v1: { PriceService: grpc.ServiceClientConstructor } } };

const server = new grpc.Server();
server.addService(shop.v1.PriceService.service, {
  GetPrice: getPrice,
  WatchPrice: watchPrice,
  SumPrices: sumPrices,
  QuotePrices: quotePrices,
});
server.bindAsync(`127.0.0.1:${process.env["PORT"] ?? 0}`, grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  console.log(`price-grpc listens on 127.0.0.1:${port}`);
});
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => {
    server.tryShutdown(() => undefined);
    // A stream may have long to go.
    globalThis.setTimeout(() => server.forceShutdown(), SHUTDOWN_GRACE_MS).unref();
  });
}
