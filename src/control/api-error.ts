/** Errors of the HTTP API: `{error: {code, message, hint}}`, with what is wrong field by field where that helps. */
import type { ContentfulStatusCode } from "hono/utils/http-status";

import type { FieldError } from "./sources/registration.ts";

export type ApiErrorCode =
  | "unauthorized"
  | "bad-host"
  | "bad-origin"
  | "bad-query"
  | "bad-json"
  | "bad-fields"
  | "too-large"
  | "not-found"
  | "method-not-allowed"
  | "conflict"
  | "full"
  | "internal";

/** One place for which code has which status. */
const STATUS: Readonly<Record<ApiErrorCode, ContentfulStatusCode>> = {
  unauthorized: 401,
  "bad-host": 403,
  "bad-origin": 403,
  "bad-query": 400,
  "bad-json": 400,
  "bad-fields": 422,
  "too-large": 413,
  "not-found": 404,
  "method-not-allowed": 405,
  conflict: 409,
  full: 507,
  internal: 500,
};

export class ApiError extends Error {
  readonly code: ApiErrorCode;
  readonly hint: string;
  readonly fields: readonly FieldError[] | undefined;

  constructor(code: ApiErrorCode, message: string, hint = "", fields?: readonly FieldError[]) {
    super(message);
    this.code = code;
    this.hint = hint;
    this.fields = fields;
  }

  get status(): ContentfulStatusCode {
    return STATUS[this.code];
  }

  get body(): object {
    const { code, message, hint, fields } = this;
    return { error: { code, message, hint, ...(fields === undefined ? {} : { fields }) } };
  }
}
