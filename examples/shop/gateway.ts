/** The way in: asks product and price at the same time, and answers with both joined. */
import { Agent, get } from "node:http";
import { serve, type Answer } from "./service.ts";

/** Milliseconds that product or price may take. */
const UPSTREAM_TIMEOUT_MS = 5_000;

// The mesh tells where its ends are: each is a port of our own sidecar, which finds the instances.
const upstreams = {
  product: process.env["HEDDLE_UPSTREAM_PRODUCT"] ?? "127.0.0.1:8081",
  price: process.env["HEDDLE_UPSTREAM_PRICE"] ?? "127.0.0.1:8082",
};
const agent = new Agent({ keepAlive: true });

interface Reply {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function ask(upstream: keyof typeof upstreams, path: string): Promise<Reply> {
  const url = `http://${upstreams[upstream]}${path}`;
  return new Promise((resolve, reject) => {
    const fail = (cause: Error): void => reject(new Error(`${upstream}: ${cause.message}`, { cause }));
    const request = get(url, { agent, headers: { host: upstream }, timeout: UPSTREAM_TIMEOUT_MS }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", fail);
      response.on("end", () => {
        try {
          const body = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
          resolve({ status: response.statusCode ?? 0, body });
        } catch {
          fail(new Error(`status ${response.statusCode}, and the body is not JSON`));
        }
      });
    });
    request.on("timeout", () => request.destroy(new Error(`no answer within ${UPSTREAM_TIMEOUT_MS} ms`)));
    request.on("error", fail);
  });
}

async function joinedProduct(id: string): Promise<Answer> {
  let product: Reply;
  let price: Reply;
  try {
    [product, price] = await Promise.all([
      ask("product", `/api/products/${id}`),
      ask("price", `/api/prices?productId=${id}`),
    ]);
  } catch (error) {
    return { status: 502, body: { error: (error as Error).message } };
  }
  if (product.status === 404) return product;
  for (const [name, reply] of Object.entries({ product, price })) {
    if (reply.status === 200) continue;
    return { status: 502, body: { error: `${name} answered ${reply.status}`, answer: reply.body } };
  }
  const { amount, currency } = price.body;
  return { status: 200, body: { ...product.body, price: { amount, currency } } };
}

serve({
  answer({ pathname }) {
    if (pathname === "/") return { status: 200, body: { try: [1, 2, 3, 4, 5].map((id) => `/api/products/${id}`) } };
    const id = /^\/api\/products\/(\d{1,9})$/.exec(pathname)?.[1];
    return id === undefined ? undefined : joinedProduct(id);
  },
  openapi: {
    openapi: "3.0.3",
    info: { title: "gateway", version: "1.0.0", description: "Products with their prices." },
    paths: {
      "/api/products/{id}": {
        get: {
          operationId: "getProductWithPrice",
          parameters: [{ name: "id", in: "path", required: true, schema: { type: "integer", minimum: 1 } }],
          responses: {
            200: {
              description: "The product and what it costs",
              content: { "application/json": { schema: { $ref: "#/components/schemas/PricedProduct" } } },
            },
            404: { description: "There is no such product" },
            502: { description: "Product or price failed; the body says which and why" },
          },
        },
      },
    },
    components: {
      schemas: {
        PricedProduct: {
          type: "object",
          required: ["id", "name", "description", "price"],
          properties: {
            id: { type: "integer" },
            name: { type: "string" },
            description: { type: "string" },
            price: {
              type: "object",
              required: ["amount", "currency"],
              properties: { amount: { type: "number" }, currency: { type: "string", example: "EUR" } },
            },
          },
        },
      },
    },
  },
});
