/** A program with a gRPC client that finds its service over xDS (its bootstrap is in the environment): asks for one price. */
import { join } from "node:path";

import * as grpc from "@grpc/grpc-js";
import { register } from "@grpc/grpc-js-xds";
import { loadSync } from "@grpc/proto-loader";

register();

const definition = grpc.loadPackageDefinition(loadSync(join(import.meta.dirname, "../../examples/shop/price.proto")));
const { PriceService } = (definition as unknown as { shop: { v1: { PriceService: grpc.ServiceClientConstructor } } })
  .shop.v1;
const client = new PriceService(process.argv[2] ?? "", grpc.credentials.createInsecure());

let price: unknown;
const answer = client.GetPrice?.(
  { productId: 1 },
  { deadline: Date.now() + 10_000 },
  (error: Error | null, value: unknown) => {
    if (error !== null) throw error;
    price = value;
  },
) as grpc.ClientUnaryCall;
answer.on("status", (status: grpc.StatusObject) => {
  console.log(JSON.stringify({ price, servedBy: status.metadata.get("served-by") }));
  client.close();
});
