/** Knows the name and the description of each product. */
import { serve } from "./service.ts";

interface Product {
  readonly id: number;
  readonly name: string;
  readonly description: string;
}

const PRODUCTS: readonly Product[] = [
  { id: 1, name: "Floor loom", description: "Eight shafts, counterbalanced, seats one weaver." },
  { id: 2, name: "Boat shuttle", description: "Cherry wood, holds a ten-centimetre bobbin." },
  { id: 3, name: "Texsolv heddles", description: "A hundred polyester heddles, 260 mm." },
  { id: 4, name: "Reed", description: "Stainless steel, ten dents to the inch." },
  { id: 5, name: "Merino yarn", description: "Two-ply, undyed, 200 grams." },
];

serve({
  answer({ pathname }) {
    if (pathname === "/api/products") return { status: 200, body: PRODUCTS };
    const id = /^\/api\/products\/(\d{1,9})$/.exec(pathname)?.[1];
    if (id === undefined) return undefined;
    const product = PRODUCTS.find((candidate) => candidate.id === Number(id));
    if (product === undefined) return { status: 404, body: { error: `there is no product ${id}` } };
    return { status: 200, body: product };
  },
  openapi: {
    openapi: "3.0.3",
    info: { title: "product", version: "1.0.0", description: "Name and description of each product." },
    paths: {
      "/api/products": {
        get: {
          operationId: "listProducts",
          responses: {
            200: {
              description: "All products",
              content: {
                "application/json": { schema: { type: "array", items: { $ref: "#/components/schemas/Product" } } },
              },
            },
          },
        },
      },
      "/api/products/{id}": {
        get: {
          operationId: "getProduct",
          parameters: [{ name: "id", in: "path", required: true, schema: { type: "integer", minimum: 1 } }],
          responses: {
            200: {
              description: "The product",
              content: { "application/json": { schema: { $ref: "#/components/schemas/Product" } } },
            },
            404: { description: "There is no such product" },
          },
        },
      },
    },
    components: {
      schemas: {
        Product: {
          type: "object",
          required: ["id", "name", "description"],
          properties: { id: { type: "integer" }, name: { type: "string" }, description: { type: "string" } },
        },
      },
    },
  },
});
