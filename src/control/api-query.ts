/** What requests to the API say: parameters of the query, and bodies. */
import type { Context } from "hono";

import { closest } from "../dialects/closest.ts";
import { ApiError } from "./api-error.ts";
import type { StatQuery } from "./stat/stat-table.ts";
import { WINDOW_MAX_MS } from "./stat/window.ts";

/** Milliseconds of the window of `/api/v1/stat` and its like. */
const WINDOW_DEFAULT_MS = 60_000;
const WINDOW_MIN_MS = 1_000;

/** @throws ApiError */
export function windowQuery(c: Context): Omit<StatQuery, "service"> {
  const by = c.req.query("by") ?? "service";
  if (by !== "service" && by !== "workload") {
    throw new ApiError("bad-query", `by: expected service or workload; found "${by}"`);
  }
  return { by, windowMs: windowOf(c), namespace: c.req.query("namespace") };
}

/** Milliseconds. @throws ApiError */
export function windowOf(c: Context): number {
  const window = c.req.query("window");
  const windowMs = window === undefined ? WINDOW_DEFAULT_MS : durationMs(window);
  if (windowMs === undefined || windowMs < WINDOW_MIN_MS || windowMs > WINDOW_MAX_MS) {
    throw new ApiError("bad-query", `window: expected a time from 1s to 10m, like 60s; found "${window}"`);
  }
  return windowMs;
}

function durationMs(text: string): number | undefined {
  const match = /^(\d{1,6}(?:\.\d{1,3})?)(ms|s|m)$/.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * { ms: 1, s: 1_000, m: 60_000 }[match[2] as "ms" | "s" | "m"];
}

/** @throws ApiError about any other */
export function knownParameters(c: Context, known: readonly string[]): void {
  for (const name of Object.keys(c.req.query())) {
    if (known.includes(name)) continue;
    const near = closest(name, known);
    const hint = near === undefined ? `known: ${known.join(", ")}` : `did you mean ${near}?`;
    throw new ApiError("bad-query", `unknown parameter "${name}"`, hint);
  }
}

/** @throws ApiError */
export async function jsonBody(c: Context): Promise<unknown> {
  const text = await c.req.text();
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new ApiError("bad-json", `the body is not JSON: ${(error as Error).message}`);
  }
}
