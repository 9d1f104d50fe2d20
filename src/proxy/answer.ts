/**
 * The answers that a sidecar gives in its own name. Each one says so: a stable code, the hop, the request's id and the
 * command that explains it, so that nobody takes the proxy's 503 for the application's.
 */
import { randomUUID } from "node:crypto";

import type { HeaderList, RequestHead, ResponseHead, ServerStream } from "../protocol/exchange.ts";
import { encodeGrpcMessage, isGrpc } from "../protocol/grpc.ts";
import { getHeader } from "../protocol/headers.ts";
import { type Failure, failures } from "./failure.ts";
import { UNPROCESSED_HEADER } from "./own-fields.ts";

/** Which sidecar answers: "inbound price-1.default". */
export interface Speaker {
  readonly direction: "inbound" | "outbound";
  readonly workload: string;
}

/** At the application's own sidecar these say that the application has seen nothing of the request. */
const UNPROCESSED: ReadonlySet<Failure> = new Set([failures.connect, failures.failfast, failures.unprocessed]);

/** Answers a request with a failure: HTTP with a plain text body, gRPC as trailers-only. */
export function answerFailure(
  stream: ServerStream,
  request: RequestHead,
  speaker: Speaker,
  failure: Failure,
  detail: string,
): void {
  const requestId = printable(getHeader(request.headers, "x-request-id") ?? randomUUID());
  const headers = failureHeaders(speaker, failure, requestId);
  if (speaker.direction === "inbound" && UNPROCESSED.has(failure)) {
    headers.push(UNPROCESSED_HEADER, "1");
  }
  // A 200 to a request for a tunnel would grant it.
  if (isGrpc(request.headers) && request.upgrade === "") {
    const message = encodeGrpcMessage(`${failure.code}: ${failure.summary} ${detail}`);
    headers.push(
      "content-type",
      "application/grpc",
      "grpc-status",
      String(failure.grpcStatus),
      "grpc-message",
      message,
    );
    stream.sendHead({ status: 200, reason: "", headers, upgrade: "" }, true);
    return;
  }
  const body = Buffer.from(failureText(speaker, failure, detail, requestId));
  headers.push("content-type", "text/plain; charset=utf-8", "content-length", String(body.length));
  const bodiless = request.method === "HEAD";
  stream.sendHead({ status: failure.status, reason: "", headers, upgrade: "" }, bodiless);
  if (!bodiless) stream.sendData(body, true);
}

/** The answer to what could not even be read as a request. */
export function answerFault(
  speaker: Speaker,
  status: number,
  detail: string,
): { readonly head: ResponseHead; readonly body: string } {
  const requestId = randomUUID();
  const headers = failureHeaders(speaker, failures.badRequest, requestId);
  headers.push("content-type", "text/plain; charset=utf-8");
  return {
    head: { status, reason: "", headers, upgrade: "" },
    body: failureText(speaker, failures.badRequest, detail, requestId),
  };
}

function failureHeaders(speaker: Speaker, failure: Failure, requestId: string): HeaderList {
  return [
    "heddle-error",
    `${failure.code} ${failure.kind}`,
    "heddle-hop",
    `${speaker.direction} ${speaker.workload}`,
    "x-request-id",
    requestId,
  ];
}

function failureText(speaker: Speaker, failure: Failure, detail: string, requestId: string): string {
  return [
    `${failure.code}: ${failure.summary}`,
    detail,
    `hop: ${speaker.direction} sidecar of ${speaker.workload}`,
    `request: ${requestId}`,
    `explain: heddle explain ${failure.code}`,
    "",
  ].join("\n");
}

/** An id from outside goes back only as far as it can do no harm in a header or a terminal. */
function printable(id: string): string {
  return /^[!-~]{1,128}$/.test(id) ? id : randomUUID();
}
