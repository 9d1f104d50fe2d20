/**
 * The answers that a sidecar gives in its own name. Each one says so: a stable code, the hop, the request's id and the
 * command that explains it, so that nobody takes the proxy's 503 for the application's.
 */
import { randomUUID } from "node:crypto";

import type { HeaderList, RequestHead, ResponseHead, ServerStream } from "../protocol/exchange.ts";
import { encodeGrpcMessage, grpcKind, isGrpc } from "../protocol/grpc.ts";
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

/** Answers a request with a failure: HTTP with a plain text body, gRPC and gRPC-Web as trailers-only. */
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
  // A 200 to a request that asks for a tunnel would grant it.
  const kind = request.upgrade === "" ? grpcKind(request.headers) : "";
  if (kind !== "") {
    if (kind === "grpc") headers.push("content-type", "application/grpc");
    else headers.push("content-type", mediaType(request.headers), "content-length", "0");
    headers.push("grpc-status", String(failure.grpcStatus), "grpc-message", grpcMessage(failure, detail));
    stream.sendHead({ status: 200, reason: "", headers, upgrade: "" }, true);
    return;
  }
  const body = Buffer.from(failureText(speaker, failure, detail, requestId));
  headers.push("content-type", "text/plain; charset=utf-8", "content-length", String(body.length));
  // RFC 9110 §11.6.1, RFC 6750 §3.
  if (failure.status === 401) headers.push("www-authenticate", 'Bearer error="invalid_token"');
  const bodiless = request.method === "HEAD";
  stream.sendHead({ status: failure.status, reason: "", headers, upgrade: "" }, bodiless);
  if (!bodiless) stream.sendData(body, true);
}

/**
 * Ends an answer that has begun with the reason for its end, for a gRPC caller: a reset would say less, or something
 * else. Linkerd does the same.
 *
 * @returns false, and has done nothing, for a caller without gRPC or without interest in trailers
 */
export function explainCut(
  stream: ServerStream,
  request: RequestHead,
  speaker: Speaker,
  failure: Failure,
  detail: string,
): boolean {
  const { headers, version } = request;
  if (version !== "2" || !isGrpc(headers) || getHeader(headers, "te") === undefined) return false;
  stream.sendTrailers([
    "grpc-status",
    String(failure.grpcStatus),
    "grpc-message",
    grpcMessage(failure, detail),
    ...sourceHeaders(speaker, failure),
  ]);
  return true;
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
  return [...sourceHeaders(speaker, failure), "x-request-id", requestId];
}

function sourceHeaders(speaker: Speaker, failure: Failure): HeaderList {
  return ["heddle-error", `${failure.code} ${failure.kind}`, "heddle-hop", `${speaker.direction} ${speaker.workload}`];
}

function grpcMessage(failure: Failure, detail: string): string {
  return encodeGrpcMessage(`${failure.code}: ${failure.summary} ${detail}`);
}

/** The content type without parameters: gRPC-Web is answered in its own encoding. */
function mediaType(headers: HeaderList): string {
  return (getHeader(headers, "content-type") ?? "").split(";", 1)[0]?.trim() ?? "";
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
