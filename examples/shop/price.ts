/**
 * Knows what each product costs. DELAY_MS makes it slow and FAIL_PERCENT lets it fail now and then, to see what a mesh does
 * about such an instance.
 */
import { setTimeout } from "node:timers/promises";
import { PRICES } from "./price-list.ts";
import { serve } from "./service.ts";

const delayMs = Number(process.env["DELAY_MS"] ?? 0);
const failPercent = Number(process.env["FAIL_PERCENT"] ?? 0);
const workload = process.env["HEDDLE_WORKLOAD"] ?? "price";

serve({
  async answer({ pathname, searchParams }) {
    if (pathname !== "/api/prices") return undefined;
    if (delayMs > 0) await setTimeout(delayMs);
    if (Math.random() * 100 < failPercent)
      return { status: 500, body: { error: `${workload} cannot read its price list` } };
    const productId = searchParams.get("productId") ?? "";
    const amount = PRICES.get(Number(productId));
    if (amount === undefined) return { status: 404, body: { error: `there is no price for product "${productId}"` } };
    return { status: 200, body: { productId: Number(productId), amount, currency: "EUR" } };
  },
  openapi: {
    openapi: "3.0.3",
    info: { title: "price", version: "1.0.0", description: "What each product costs." },
    paths: {
      "/api/prices": {
        get: {
          operationId: "getPrice",
          parameters: [{ name: "productId", in: "query", required: true, schema: { type: "integer", minimum: 1 } }],
          responses: {
            200: {
              description: "The price",
              content: { "application/json": { schema: { $ref: "#/components/schemas/Price" } } },
            },
            404: { description: "There is no such product" },
            500: { description: "The price list cannot be read" },
          },
        },
      },
    },
    components: {
      schemas: {
        Price: {
          type: "object",
          required: ["productId", "amount", "currency"],
          properties: {
            productId: { type: "integer" },
            amount: { type: "number" },
            currency: { type: "string", example: "EUR" },
          },
        },
      },
    },
  },
});
