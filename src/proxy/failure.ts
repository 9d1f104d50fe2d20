/**
 * Everything that can go wrong in a proxy, each with its one status, code and explanation. No other file turns a cause
 * into a status. Statuses follow Linkerd's map (fail-fast 504, shed load 503, no connection 502, no route 404, …).
 */
import type { ResetCause, ResetCode } from "../protocol/exchange.ts";
import { ErrorCode } from "../protocol/http2/frames.ts";

export interface Failure {
  /** Stable; printed with every answer that Heddle makes itself. */
  readonly code: string;
  /** Stable and short: the `error` label of `{in,out}bound_http_errors_total`. */
  readonly kind: string;
  readonly status: number;
  /** The gRPC status for gRPC requests. */
  readonly grpcStatus: number;
  /** One sentence for the body of the answer. */
  readonly summary: string;
  /** What `heddle explain` says: why it happens, what to look at. */
  readonly advice: string;
}

const CANCELLED = 1;
const DEADLINE_EXCEEDED = 4;
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

export const failures = {
  unknownService: {
    code: "HED1001",
    kind: "unknown_service",
    status: 404,
    grpcStatus: NOT_FOUND,
    summary: "No service of this name exists in the mesh.",
    advice:
      "The sidecar asked the control plane for the name in the Host or :authority field and was told that there is none. " +
      "Compare the name with `heddle stat` and `heddle endpoints`; a service of another namespace is called name.namespace.",
  },
  discoveryTimeout: {
    code: "HED1002",
    kind: "discovery_timeout",
    status: 504,
    grpcStatus: UNAVAILABLE,
    summary: "The control plane did not say in time what this name stands for.",
    advice:
      "The name was never used through this sidecar before and the control plane does not answer. Names already known keep " +
      "working. Is the control plane running? Try `heddle version`.",
  },
  failfast: {
    code: "HED1003",
    kind: "failfast",
    status: 504,
    grpcStatus: UNAVAILABLE,
    summary: "The service has had no reachable endpoint for too long.",
    advice:
      "Requests wait up to 3 s for an endpoint and then fail; later ones fail at once until an endpoint is back. " +
      "`heddle endpoints` shows which there are and how they are.",
  },
  loadShed: {
    code: "HED1004",
    kind: "loadshed",
    status: 503,
    grpcStatus: UNAVAILABLE,
    summary: "Too many requests are waiting or in flight.",
    advice:
      "A bound of the sidecar was reached: requests in flight, or requests waiting for an endpoint. Add instances or slow down.",
  },
  connect: {
    code: "HED1005",
    kind: "connect",
    status: 502,
    grpcStatus: UNAVAILABLE,
    summary: "No connection could be made.",
    advice:
      "Nothing accepted the connection. With hop inbound it is the application itself: is it running, does it listen on the " +
      "port that PORT names? With hop outbound it is the other sidecar.",
  },
  closed: {
    code: "HED1006",
    kind: "closed",
    status: 502,
    grpcStatus: UNAVAILABLE,
    summary: "The connection ended before the answer did.",
    advice:
      "The far side closed or reset the connection while the request was in its hands, so it may or may not have been " +
      "processed. With hop inbound the application crashed or cut the connection; look at its log.",
  },
  badAnswer: {
    code: "HED1007",
    kind: "bad_answer",
    status: 502,
    grpcStatus: INTERNAL,
    summary: "The answer broke the HTTP protocol.",
    advice: "The far side sent something that is not valid HTTP. The sidecar's log names what was found.",
  },
  timeout: {
    code: "HED1008",
    kind: "timeout",
    status: 504,
    grpcStatus: DEADLINE_EXCEEDED,
    summary: "The time limit of the route has passed.",
    advice: "The route sets a limit for the whole exchange. Look at the service's latency in `heddle stat`.",
  },
  cancelled: {
    code: "HED1009",
    kind: "cancelled",
    status: 502,
    grpcStatus: CANCELLED,
    summary: "The far side cancelled the exchange.",
    advice: "The application or the sidecar before it reset the stream without an answer.",
  },
  badRequest: {
    code: "HED1010",
    kind: "bad_request",
    status: 400,
    grpcStatus: INTERNAL,
    summary: "The request is not valid HTTP.",
    advice: "The sidecar refuses what could be read in two ways. The body of the answer names what was found.",
  },
  unsupported: {
    code: "HED1011",
    kind: "unsupported",
    status: 501,
    grpcStatus: UNIMPLEMENTED,
    summary: "This kind of request is not carried.",
    advice:
      "The request asks to switch to another protocol, as WebSocket does, and the service cannot be asked that way: it " +
      "speaks HTTP/2 without extended CONNECT (RFC 8441), or it gave a caller in HTTP/2 an ordinary answer instead.",
  },
  unprocessed: {
    code: "HED1012",
    kind: "unprocessed",
    status: 503,
    grpcStatus: UNAVAILABLE,
    summary: "Every endpoint that was tried refused the request before it read it.",
    advice: "The endpoints were going away or at their limits. The request was not processed, so it may be sent again.",
  },
  internal: {
    code: "HED1013",
    kind: "unexpected",
    status: 500,
    grpcStatus: INTERNAL,
    summary: "The sidecar itself made a mistake.",
    advice: "This is a defect of Heddle. The sidecar's log has more; please report it.",
  },
  deadline: {
    code: "HED1014",
    kind: "deadline",
    status: 504,
    grpcStatus: DEADLINE_EXCEEDED,
    summary: "The caller's deadline has passed.",
    advice:
      "The gRPC caller said with grpc-timeout how long it waits, and that was too short for the service, or for the queues " +
      "before it: time spent waiting for an endpoint counts. Look at the service's latency in `heddle stat`.",
  },
  forbidden: {
    code: "HED1015",
    kind: "forbidden",
    status: 403,
    grpcStatus: PERMISSION_DENIED,
    summary: "The policy of the service does not allow this call.",
    advice:
      "The sidecar of the service judged who calls, and what, and a rule or a default refused it. Its log names the rule " +
      "with file and line, the caller, and the `heddle authz explain` command that says what would change it.",
  },
  invalidToken: {
    code: "HED1016",
    kind: "invalid_token",
    status: 401,
    grpcStatus: UNAUTHENTICATED,
    summary: "The token that came with the request is not valid.",
    advice:
      "A RequestAuthentication of the service asks for valid tokens where there are any. The body says what is wrong: " +
      "issuer, audience, signature, time, size, or that the keys to verify it with cannot be had.",
  },
  rateLimited: {
    code: "HED1017",
    kind: "rate_limited",
    status: 429,
    grpcStatus: RESOURCE_EXHAUSTED,
    summary: "There are more requests than the service takes.",
    advice:
      "A rate limit of the service was reached, by all callers together or by this one. Send less, or raise the limit in " +
      "the HTTPLocalRateLimitPolicy that the body names.",
  },
  externalDenied: {
    code: "HED1018",
    kind: "external_denied",
    status: 403,
    grpcStatus: PERMISSION_DENIED,
    summary: "The external authorizer of the service does not allow this call.",
    advice:
      "A rule of the service asks an authorizer (Envoy's ext_authz protocol), and that said no. The status, the fields and " +
      "the body of the answer may be of its making; its own log knows why.",
  },
  authorizerUnavailable: {
    code: "HED1019",
    kind: "authorizer_unavailable",
    status: 403,
    grpcStatus: PERMISSION_DENIED,
    summary: "The external authorizer of the service could not be asked.",
    advice:
      "A rule of the service asks an authorizer, which did not answer properly or in time, and without its consent nothing " +
      "passes. Is it running at the address of its provider? The sidecar's log says what went wrong.",
  },
} as const satisfies Record<string, Failure>;

const byResetCode: Record<ResetCode, Failure> = {
  refused: failures.unprocessed,
  cancelled: failures.cancelled,
  protocol: failures.badAnswer,
  closed: failures.closed,
  connect: failures.connect,
  timeout: failures.timeout,
  overflow: failures.loadShed,
  internal: failures.internal,
};

/** A reset that a proxy itself decided on, with the failure that it stands for. */
export interface FailureCause extends ResetCause {
  readonly failure: Failure;
}

/**
 * HTTP/2 errors that say more than "protocol" or "cancelled" does: HTTP/1 is wanted for this request; and to a gRPC caller
 * what it would have made of the others itself (PROTOCOL-HTTP2 of the gRPC project, "Errors").
 */
const byErrorCode = new Map<number, Failure>([
  [ErrorCode.http11Required, failures.unsupported],
  [ErrorCode.noError, { ...failures.cancelled, grpcStatus: INTERNAL }],
  [ErrorCode.enhanceYourCalm, { ...failures.badAnswer, grpcStatus: RESOURCE_EXHAUSTED }],
  [ErrorCode.inadequateSecurity, { ...failures.badAnswer, grpcStatus: PERMISSION_DENIED }],
]);

/** What a reset of the far side comes to for the caller. */
export function failureOf(cause: ResetCause): Failure {
  const { failure } = cause as Partial<FailureCause>;
  if (failure !== undefined) return failure;
  const said = cause.code === "protocol" || cause.code === "cancelled" ? cause.http2Code : undefined;
  return (said === undefined ? undefined : byErrorCode.get(said)) ?? byResetCode[cause.code];
}

/** A reset that says more than its code. */
export function failureCause(failure: Failure, code: ResetCode, detail: string): FailureCause {
  return { code, detail, http2Code: undefined, failure };
}
