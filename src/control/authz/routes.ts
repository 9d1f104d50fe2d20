/** `/api/v1/authz`: who may call whom, and why. */
import { isIP } from "node:net";

import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import * as z from "zod";

import { ApiError } from "../api-error.ts";
import { jsonBody, knownParameters, windowOf } from "../api-query.ts";
import type { ExplainRequest, Explanation } from "./explain.ts";
import type { Generated, GenerateQuery } from "./generate.ts";
import type { AuthzQuery, AuthzRow } from "./list.ts";

/** Bytes of a question: the head of a request and the claims of a token. */
export const QUESTION_BYTES_MAX = 256 * 1024;

export interface AuthzState {
  readonly list: (query: AuthzQuery) => readonly AuthzRow[];
  readonly explain: (request: ExplainRequest) => Explanation;
  readonly generate: (query: GenerateQuery) => Generated;
}

const NAME = 'expected a name like "price" or "price.shop"';

function text(lengthMax: number, error: string): z.ZodString {
  return z.string({ error }).min(1, { error }).max(lengthMax, { error });
}

const question = z.strictObject(
  {
    from: text(512, 'expected a caller: "price", "price.shop", a SPIFFE id or an IP address'),
    to: text(512, NAME),
    namespace: text(63, "expected a namespace").default("default"),
    port: z
      .int({ error: "expected a port, 1 to 65535" })
      .min(1, { error: "expected a port, 1 to 65535" })
      .max(65_535, { error: "expected a port, 1 to 65535" })
      .optional(),
    method: text(64, "expected a method").optional(),
    path: z
      .string({ error: 'expected a path like "/admin"' })
      .regex(/^\//, { error: 'expected a path that begins with "/"' })
      .optional(),
    host: text(512, "expected a host").optional(),
    headers: z
      .array(z.tuple([text(256, "expected a name"), z.string()]), { error: "expected a list of [name, value]" })
      .max(100, { error: "expected at most 100 headers" })
      .default([]),
    claims: z.record(z.string(), z.unknown(), { error: "expected the claims of a token, an object" }).optional(),
    address: z
      .string({ error: "expected an IP address" })
      .refine((value) => isIP(value) !== 0, { error: "expected an IP address" })
      .optional(),
    tcp: z.boolean({ error: "expected true or false" }).default(false),
    plaintext: z.boolean({ error: "expected true or false" }).default(false),
  },
  { error: (issue) => (issue.code === "invalid_type" ? "expected a JSON object" : undefined) },
);

export function authzRoutes(state: AuthzState): Hono {
  const app = new Hono();
  app.get("/", (c) => {
    knownParameters(c, ["window", "of", "namespace"]);
    const { of, namespace } = c.req.query();
    return c.json(state.list({ windowMs: windowOf(c), of, namespace }));
  });
  app.get("/generate", (c) => {
    knownParameters(c, ["window", "namespace"]);
    return c.json(state.generate({ windowMs: windowOf(c), namespace: c.req.query("namespace") }));
  });
  app.post(
    "/explain",
    bodyLimit({
      maxSize: QUESTION_BYTES_MAX,
      onError: () => {
        throw new ApiError("too-large", `the body has more than ${QUESTION_BYTES_MAX} bytes`);
      },
    }),
    async (c) => {
      const parsed = question.safeParse(await jsonBody(c));
      if (!parsed.success) throw badQuestion(parsed.error);
      const { port, method, path, host, claims, address, ...rest } = parsed.data;
      return c.json(state.explain({ ...rest, port, method, path, host, claims, address }));
    },
  );
  return app;
}

function badQuestion({ issues }: z.ZodError): ApiError {
  const errors = issues.map((issue) => {
    const field = issue.path.join(".");
    if (issue.code === "unrecognized_keys") return { field, message: `unknown: ${issue.keys.join(", ")}` };
    return { field, message: issue.message };
  });
  const said = errors.map(({ field, message }) => (field === "" ? message : `${field}: ${message}`));
  return new ApiError("bad-fields", said.join("; "), "", errors);
}
