/** Which requests to a service port go where. The first route whose match holds is taken. */
import type { PortKey } from "./service.ts";

export type StringMatch =
  | { readonly kind: "exact"; readonly value: string }
  | { readonly kind: "prefix"; readonly value: string }
  /** RE2 syntax, matched against the whole value. */
  | { readonly kind: "regex"; readonly value: string };

export type HeaderMatch = {
  /** Lower case. */
  readonly name: string;
  /** undefined: the field must merely be there. */
  readonly value: StringMatch | undefined;
};

/** All of it must hold. */
export interface RouteMatch {
  /** A prefix match is by characters, not by path segments (Envoy's `prefix`). */
  readonly path: StringMatch;
  /** "" for any. */
  readonly method: string;
  readonly headers: readonly HeaderMatch[];
}

export interface WeightedBackend {
  readonly backend: PortKey;
  /** Share of the requests, 0 to 1000000; at least one of a route's backends has more than 0. */
  readonly weight: number;
}

export interface Route {
  /** Unique within the port. */
  readonly name: string;
  readonly match: RouteMatch;
  /** At least one. */
  readonly backends: readonly WeightedBackend[];
  /** Milliseconds that the whole exchange may take; 0 for no limit. */
  readonly timeoutMs: number;
}

/** What holds where nothing is configured: everything goes to the service itself. */
export function defaultRoute(key: PortKey): Route {
  return {
    name: "default",
    match: { path: { kind: "prefix", value: "/" }, method: "", headers: [] },
    backends: [{ backend: key, weight: 1 }],
    timeoutMs: 0,
  };
}
