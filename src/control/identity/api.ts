/** The part of the HTTP API that is about certificates. */
import type { Env, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import * as z from "zod";

import { ApiError } from "../api-error.ts";
import type { ControlIdentity } from "./identity.ts";
import { TOKEN_LIFETIME_MS } from "./join-tokens.ts";

/** Bytes of a request's body. */
export const IDENTITY_BODY_BYTES_MAX = 4 * 1024;

export type IdentityApi = Pick<ControlIdentity, "joinToken" | "rotate" | "status">;

const name = z
  .string({ error: "expected a DNS label" })
  .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, { error: 'expected small letters, digits and "-", at most 63' });

const tokenSubject = z.strictObject(
  { namespace: name, serviceAccount: name, workload: name },
  { error: "expected an object with namespace, serviceAccount and workload, and nothing else" },
);

const rotation = z.strictObject(
  { what: z.enum(["all", "issuer"], { error: 'expected "all" or "issuer"' }) },
  { error: 'expected an object like {"what": "all"}' },
);

export function addIdentityRoutes<E extends Env>(app: Hono<E>, identity: IdentityApi): void {
  const limited = bodyLimit({
    maxSize: IDENTITY_BODY_BYTES_MAX,
    onError: () => {
      throw new ApiError("too-large", `the body has more than ${IDENTITY_BODY_BYTES_MAX} bytes`);
    },
  });

  app.get("/api/v1/identity", (c) => c.json(identity.status));

  app.post("/api/v1/join-tokens", limited, async (c) => {
    const made = identity.joinToken(read(tokenSubject, c.req.header("content-type"), await c.req.text()));
    if (made === "full") throw new ApiError("full", "too many join tokens wait to be used", "each waits ten minutes");
    if (made === "bad-name") {
      const hint = "shorten the namespace or the service account";
      throw new ApiError("bad-fields", "the names do not fit into a certificate", hint);
    }
    if (made === "reserved") {
      const hint = "give the workload another service account";
      throw new ApiError("bad-fields", "this is the control plane's own identity, which nobody else may have", hint);
    }
    return c.json({ ...made, expiresInSeconds: TOKEN_LIFETIME_MS / 1_000 }, 201);
  });

  app.post("/api/v1/identity/rotation", limited, async (c) => {
    const { what } = read(rotation, c.req.header("content-type"), await c.req.text());
    const outcome = await identity.rotate(what);
    if (outcome === "under way") {
      throw new ApiError("conflict", "a rotation is under way", "GET /api/v1/identity says how far it is");
    }
    if (outcome === "not ours") {
      const hint = "replace those files; what changes in them is rotated in the same steps";
      throw new ApiError("conflict", "the roots and the issuer come from files that somebody else keeps", hint);
    }
    return c.json(identity.status, 202);
  });
}

/**
 * A page in a browser can send a body of this type only where it was allowed to.
 *
 * @throws ApiError
 */
function read<T>(schema: z.ZodType<T>, contentType: string | undefined, text: string): T {
  if (!/^application\/json\b/i.test(contentType ?? "")) {
    throw new ApiError("bad-json", "expected a body of the type application/json");
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ApiError("bad-json", `the body is not JSON: ${(error as Error).message}`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map(({ path, message }) => ({ field: path.join("."), message }));
  const message = fields.map(({ field, message: what }) => (field === "" ? what : `${field}: ${what}`)).join("; ");
  throw new ApiError("bad-fields", message, "", fields);
}
